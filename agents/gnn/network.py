"""What every precoding network offers, and how its weights are kept."""

from __future__ import annotations

import importlib
import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from channel.errors import UserError
from channel.registry import did_you_mean
from ran.phy.precoding.streams import Streams

N = TypeVar("N", bound=nn.Module)


class PrecodingNetwork(nn.Module):
    """A network that steers K streams from M antennas."""

    @abstractmethod
    def forward(self, streams: Streams) -> list[Tensor]:
        """Return the coefficients A of V = U^H A after every stage, up to scale, complex [..., K, K] each.

        U are the unit channels ``streams.direction``; the last stage is the precoder, the others also train.
        """

    def steer(self, streams: Streams) -> Tensor:
        """Return the precoder of the last stage with the full power, without gradients, complex [..., M, K]."""
        with torch.no_grad():
            coefficients: Tensor = self(streams)[-1]
        return streams.total_power(coefficients.mH @ streams.direction)


NETWORKS = {
    "icgnn": "agents.gnn.icgnn_network:IcgnnNetwork",
    "unfolded_wmmse": "agents.gnn.unfolded_wmmse:UnfoldedWmmse",
    "bipartite": "agents.gnn.bipartite:Bipartite",
    "direct": "agents.gnn.direct:Direct",
    "mlp": "agents.gnn.fixed_mlp:FixedMlp",
}
"""Precoding networks by name, as module:class."""

POWER_NETWORKS = {
    "cell_free": "agents.gnn.cell_free_network:CellFreeNetwork",
    "wcgcn": "agents.gnn.wcgcn:Wcgcn",
}
"""Networks that allocate power, likewise."""


def build(name: str, options: Mapping[str, int | bool | str]) -> nn.Module:
    """Return a new network; raises UserError where there is none of this name or it lacks an option."""
    known = {**NETWORKS, **POWER_NETWORKS}
    if name not in known:
        raise UserError(f"unknown network {name!r}{did_you_mean(name, list(known))} Known: {', '.join(known)}")
    module, _, kind = known[name].partition(":")
    try:
        return cast("nn.Module", getattr(importlib.import_module(module), kind)(**options))
    except (TypeError, ValueError) as error:
        raise UserError(f"network {name}: {error}; correct `options`") from None


def save(network: nn.Module, name: str, options: Mapping[str, int | bool | str], path: Path) -> None:
    """Write weights, and what the network is, as safetensors."""
    about = {"network": name, "options": json.dumps(options)}
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path, metadata=about)


def load(path: Path) -> PrecodingNetwork:
    """Return the precoding network of a file of ``save``; raises UserError where it is none."""
    return load_as(path, PrecodingNetwork)  # type: ignore[type-abstract]


def load_as(path: Path, kind: type[N]) -> N:
    """Return the network of a file of ``save``; raises UserError where it is none, or none of this kind."""
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - no mapping
        network = build(about["network"], json.loads(about["options"]))
        network.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{path} holds no precoding network ({error}); give what `airtune train-precoder` wrote"
        ) from None
    if not isinstance(network, kind):
        raise UserError(f"{path} holds the network {about['network']}, which is for another task; train one for this")
    return network.eval().requires_grad_(requires_grad=False)
