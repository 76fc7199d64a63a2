"""The interface of a precoder: the transmit column of every stream, from the channels of all streams."""

from __future__ import annotations

import sys
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from ran.phy.precoding.streams import Streams


class Precoder(Component):
    """Steers K streams from M antennas under a power constraint."""

    power_constraint: Literal["total", "per_antenna", "per_access_point"] = Field(
        default="total",
        description="total: sum power P; per_antenna: moreover at most P / M each; per_access_point: at most an equal "
        "share for each of access_points groups of antennas; met by one common scaling",
    )
    access_points: int = Field(
        default=1, ge=1, le=1024, description="access points, or panels, that share the antennas evenly, in their order"
    )

    def problems(self) -> list[str]:
        """Return what is wrong with the number of access points."""
        if (self.power_constraint == "per_access_point") == (self.access_points > 1):
            return []
        return [
            f"`access_points`: {self.access_points} with power_constraint {self.power_constraint}; set two or more and "
            "per_access_point, or leave both out"
        ]

    def precode(self, h: Tensor, noise_w: Tensor | float, power_w: Tensor | float) -> Tensor:
        """Return the precoding matrix v; stream j reaches the user of stream k with amplitude (h @ v)[k, j].

        Args:
            h: effective channels, complex64 or complex128 [..., num_streams K, num_tx_ant M]; row k is h_k^T in
                y_k = h_k^T x + n_k. A row of zeros means "no stream": its column is zero and the others share
                the full power. Streams whose noise differs: divide each row by the square root of its noise and
                pass ``noise_w=1``.
            noise_w: noise and residual interference power, W, > 0, scalar or [...], broadcast with h's leading axes.
            power_w: transmit power P, W, likewise.

        Returns:
            v, [..., M, K], of h's type and on h's device, with sum_k ||v_k||^2 = P under the ``total`` constraint.

        Raises:
            ValueError: where h is not complex or has fewer than two axes, or where access points cannot share its
                antennas evenly.
        """
        from ran.phy.precoding.streams import Streams

        v = self.solve(Streams.of(h, noise_w, power_w)).resolve_conj()
        if self.power_constraint == "total":
            return v
        antennas = v.shape[-2]
        groups = antennas if self.power_constraint == "per_antenna" else self.access_points
        if antennas % groups:
            raise ValueError(f"{antennas} antennas cannot be shared evenly by {groups} access points")
        return limit_power(v, _column(power_w, v) / groups, access_point=_owners(groups, v))

    @abstractmethod
    def solve(self, streams: Streams) -> Tensor:
        """Return the precoding matrix under the total power constraint, complex [..., M, K]."""


class PrecoderRegistry(Registry[Precoder]):
    """Precoders by name, of this package and of the entry-point group ``airtune.precoders``.

    Each entry point names a module, whose import registers its precoder under the entry point's name. Modules are
    imported when the names are listed or an unknown one is asked for, so they keep heavy imports inside functions.
    """

    group = "airtune.precoders"

    def __init__(self) -> None:
        super().__init__("precoder", Precoder)
        self._plugins_loaded = False

    def names(self) -> list[str]:
        """Return all registered names, sorted."""
        self._load_plugins()
        return super().names()

    def get(self, name: str) -> type[Precoder]:
        """Return the class registered as ``name``; raise UnknownComponent with the nearest name."""
        if name not in self._classes:
            self._load_plugins()
        return super().get(name)

    def _load_plugins(self) -> None:
        if self._plugins_loaded:
            return
        self._plugins_loaded = True
        installed = (file for folder in sys.path for file in Path(folder).glob("*-info/entry_points.txt"))
        if not any(self.group in file.read_text(errors="ignore") for file in installed):
            return  # importlib.metadata takes ten times as long to say so
        from importlib.metadata import entry_points

        for plugin in entry_points(group=self.group):
            try:
                plugin.load()
            except ImportError as error:
                message = f"precoder {plugin.name!r} of entry-point group {self.group} does not import: {error}"
                raise ImportError(message) from error


PRECODERS = PrecoderRegistry()


def sum_rate(h: Tensor, v: Tensor, noise_w: Tensor | float) -> Tensor:
    """Return sum_k log2(1 + SINR_k), bit/s/Hz, real [...].

    SINR_k = |h_k^T v_k|^2 / (sum_{j != k} |h_k^T v_j|^2 + noise).

    Args:
        h: channels, complex [..., K, M].
        v: precoding matrix, complex [..., M, K].
        noise_w: noise power, W, > 0, scalar or [...].
    """
    import torch

    gain = torch.view_as_real(h @ v).square().sum(-1)  # [..., K, K]
    signal = gain.diagonal(dim1=-2, dim2=-1)
    # Summed without its diagonal: subtracting the signal would lose a weak interference to rounding.
    others = 1.0 - torch.eye(gain.shape[-1], dtype=gain.dtype, device=gain.device)
    interference = (gain * others).sum(-1)
    return torch.log2(1.0 + signal / (interference + _column(noise_w, v))).sum(-1)


def limit_power(v: Tensor, limit_w: Tensor | float, *, access_point: Tensor | None = None) -> Tensor:
    """Return v scaled down, each batch element by one factor, until every antenna, or access point, obeys its limit.

    v' = v min(1, min_a sqrt(limit_a / P_a)), P_a the power that antenna (or access point) a sends. A common factor
    keeps the directions, so zero-forcing stays zero-forcing; it leaves power unused on all antennas but the busiest,
    and is not the optimum under such constraints (Zhao et al., arXiv 2205.06225, seek that).

    Args:
        v: precoding matrix, complex [..., M, K].
        limit_w: limits in W, scalar or broadcastable to [..., M], or [..., num_access_points].
        access_point: index of each antenna's access point, int64 [M]; None limits every antenna by itself.
    """
    import torch

    power = torch.view_as_real(v).square().sum((-2, -1))  # [..., M]
    if access_point is not None:
        shared = power.new_zeros((*power.shape[:-1], int(access_point.max()) + 1))
        power = shared.index_add(-1, access_point, power)
    limit = torch.as_tensor(limit_w, dtype=power.dtype, device=power.device)
    share = torch.where(power > limit, limit / power, 1.0).amin(-1)
    return v * share.sqrt()[..., None, None]


def _owners(groups: int, v: Tensor) -> Tensor:
    """Return the group of every antenna, int64 [M], where groups are equal and in the antennas' order."""
    import torch

    return torch.arange(v.shape[-2], device=v.device) * groups // v.shape[-2]


def _column(value: Tensor | float, like: Tensor) -> Tensor:
    """Return a scalar or [...] quantity as real [..., 1], of the precision and on the device of ``like``."""
    import torch

    return torch.as_tensor(value, dtype=like.real.dtype, device=like.device)[..., None]
