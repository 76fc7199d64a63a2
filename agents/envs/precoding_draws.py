"""Intervals of a cell with many antennas: channels, estimates, a neighbour's beams, and what precoders make of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

import agents.gnn.icgnn  # noqa: F401 - registers itself
from agents.envs.precoding import WMMSE_ITERATIONS
from agents.gnn.draws import rayleigh, umi
from ran.phy.precoding import PRECODERS, RZF, WMMSE, Precoder
from ran.threads import torch_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_ERROR_DB = (-40.0, -30.0, -25.0, -20.0, -15.0, -10.0, -6.0, -3.0)
_RAYLEIGH_SNR_DB, _UMI_POWER_DBM, _SPREAD_DB, _OTHER_CELL_DB = (-5.0, 30.0), (10.0, 40.0), 6.0, (-30.0, 0.0)
_UMI_WORLDS, _UMI_SEED = 4, 500


@dataclass(frozen=True)
class Cells:
    """Many cells of equally many users; thermal noise is 1.

    Attributes:
        h: true channels, complex64 [draws, K, M].
        known: estimates, likewise.
        power: transmit power, float32 [draws].
        reported, noise: thermal noise and interference of the neighbour, as reported and as it is, [draws, K].
        error: variance of an estimate's error over the channel's, [draws].
    """

    h: Tensor
    known: Tensor
    power: Tensor
    reported: Tensor
    noise: Tensor
    error: Tensor

    def seen(self) -> dict[str, NDArray[np.float64]]:
        """Return what the environment's observation holds, [draws] each, from estimates and reports alone."""
        known = self.known.to(torch.complex128)
        strength = known.abs().square().sum(-1)
        snr_db = 10 * torch.log10(self.power[:, None] * strength / self.reported)
        gram = known @ known.mH / (strength[:, :, None] * strength[:, None, :]).sqrt()
        others = gram.abs().square() * (1 - torch.eye(gram.shape[-1]))
        eigenvalue = torch.linalg.eigvalsh(gram).clamp(min=1e-9)
        interference = (self.reported - 1).mean(-1).clamp(min=1e-9)
        found = {
            "users": torch.full_like(strength[:, 0], gram.shape[-1]),
            "snr": snr_db.mean(-1),
            "spread": snr_db.std(-1, correction=0),
            "interference": 10 * torch.log10(interference),
            "csi_error": 10 * torch.log10(self.error),
            "load": others.sum(-1).mean(-1),
            "nearest": others.amax((-2, -1)),
            "condition": 10 * torch.log10(eigenvalue[:, -1] / eigenvalue[:, 0]),
        }
        return {name: values.double().numpy() for name, values in found.items()}


def drawn(channel: str, draws: int, users: int, antennas: int, rng: np.random.Generator, drawing: int) -> Cells:
    """Return cells of ``users`` users; each ``drawing`` has its own streets; see ``agents.envs.precoding.table_of``."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.from_numpy(rng.uniform(low, high, (draws, *shape))).float()

    if channel == "umi":
        h = umi(draws, users, antennas, rng, worlds=_UMI_WORLDS, seed=_UMI_SEED + _UMI_WORLDS * drawing)
        power = 10 ** (uniform(*_UMI_POWER_DBM) / 10 - 3)
    else:
        gain_db = torch.from_numpy(rng.standard_normal((draws, users, 1))).float() * _SPREAD_DB
        h = rayleigh(draws, users, antennas, rng) * 10 ** (gain_db / 20)
        power = 10 ** (uniform(*_RAYLEIGH_SNR_DB) / 10)
    error = 10 ** (torch.from_numpy(rng.choice(_ERROR_DB, draws)).float() / 10)
    amplitude = (h.abs().square().mean(-1) * (error * (1 - error))[:, None]).sqrt()[..., None]
    known = (1 - error)[:, None, None] * h + amplitude * rayleigh(draws, users, antennas, rng)
    leak = 10 ** (uniform(*_OTHER_CELL_DB, users) / 20) * h.abs().square().mean(-1).sqrt()
    cross = leak[..., None] * rayleigh(draws, users, antennas, rng)
    reported, noise = (1 + _received(cross, rayleigh(draws, users, antennas, rng), power) for _ in range(2))
    return Cells(h, known, power, reported, noise, error)


def _received(cross: Tensor, own: Tensor, power: Tensor) -> Tensor:
    """Return what users hear of a neighbour that serves users of its own by RZF, [draws, K]."""
    with torch_threads(1), torch.no_grad():
        v = RZF().precode(own, 0.1 * power, power)
    return (cross @ v).abs().square().sum(-1)


def solved(name: str, cells: Cells, streams: int) -> NDArray[np.float64]:
    """Return the sum spectral efficiency of a choice, bit/s/Hz, [draws]: SINRs are those of the true channels."""
    rows = cells.known / cells.reported.sqrt()[..., None]
    if streams < rows.shape[-2]:
        rows = rows * served(rows, streams)[..., None]
    with torch_threads(1), torch.no_grad():
        if name == "robust rzf":
            v = torch.empty_like(rows.mT)
            for error in sorted(set(cells.error.tolist())):
                which = cells.error == error
                robust = RZF(csi_error_variance=_odds(error))
                v[which] = robust.precode(rows[which], 1.0, cells.power[which])
        else:
            precoder, factor = _precoder(name)
            v = precoder.precode(rows, factor, cells.power)
    gain = (cells.h @ v).abs().square()
    signal = gain.diagonal(dim1=-2, dim2=-1)
    others = (gain * (1 - torch.eye(gain.shape[-1]))).sum(-1)
    return np.asarray(torch.log2(1 + signal / (others + cells.noise)).sum(-1).double().numpy())


def _precoder(name: str) -> tuple[Precoder, float]:
    """Return a precoder and what the noise is multiplied by: a factor of the regularisation."""
    if name == "wmmse":
        return WMMSE(tolerance=0.0, max_iterations=WMMSE_ITERATIONS), 1.0
    kind, _, factor = name.partition(" x ")
    return PRECODERS.get(kind)(), float(factor or 1)


def _odds(error: float) -> float:
    """Return the error's variance over the estimate's own, e / (1 - e): |h_hat|^2 is (1 - e) |h|^2 in the mean."""
    return error / (1 - error)


def served(rows: Tensor, streams: int) -> Tensor:
    """Return which users are served, bool [draws, K]: the strongest after projecting out those chosen before.

    Semi-orthogonal selection (Yoo & Goldsmith, IEEE JSAC 2006) without a limit on correlation.
    """
    left, chosen = rows.to(torch.complex128), torch.zeros(rows.shape[:-1], dtype=torch.bool)
    everyone = torch.arange(len(rows))
    for _ in range(streams):
        norm = left.abs().square().sum(-1)
        best = torch.where(chosen, -1.0, norm).argmax(-1)
        chosen[everyone, best] = True
        unit = left[everyone, best] / norm[everyone, best].clamp(min=math.ulp(0.0)).sqrt()[:, None]
        left = left - (left @ unit.conj()[..., None]) * unit[:, None]
    return chosen
