"""What every precoding network offers, and how its weights are kept."""

from __future__ import annotations

import importlib
import json
from abc import abstractmethod
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from channel.errors import UserError
from channel.registry import did_you_mean
from ran.phy.precoding.streams import Streams


class PrecodingNetwork(nn.Module):
    """A network that steers K streams from M antennas."""

    @abstractmethod
    def forward(self, streams: Streams) -> list[Tensor]:
        """Return the coefficients A of V = U^H A after every stage, up to scale, complex [..., K, K] each.

        U are the unit channels ``streams.direction``; the last stage is the precoder, the others also train.
        """

    def infer(self, streams: Streams) -> Tensor:
        """Return the coefficients of the last stage, without gradients, complex [..., K, K]."""
        with torch.no_grad():
            return self(streams)[-1]  # type: ignore[no-any-return]


NETWORKS = {
    "icgnn": "agents.gnn.icgnn_network:IcgnnNetwork",
    "unfolded_wmmse": "agents.gnn.unfolded_wmmse:UnfoldedWmmse",
    "bipartite": "agents.gnn.bipartite:Bipartite",
    "mlp": "agents.gnn.fixed_mlp:FixedMlp",
}
"""Networks by name, as module:class."""


def build(name: str, options: dict[str, int | bool]) -> PrecodingNetwork:
    """Return a new network; raises UserError where there is none of this name or it lacks an option."""
    if name not in NETWORKS:
        raise UserError(f"unknown network {name!r}{did_you_mean(name, list(NETWORKS))} Known: {', '.join(NETWORKS)}")
    module, _, kind = NETWORKS[name].partition(":")
    try:
        return cast("PrecodingNetwork", getattr(importlib.import_module(module), kind)(**options))
    except TypeError as error:
        raise UserError(f"network {name}: {error}; correct `options`") from None


def save(network: PrecodingNetwork, name: str, options: dict[str, int | bool], path: Path) -> None:
    """Write weights, and what the network is, as safetensors."""
    about = {"network": name, "options": json.dumps(options)}
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, path, metadata=about)


def load(path: Path) -> PrecodingNetwork:
    """Return the network of a file of ``save``; raises UserError where it is none."""
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
    return network.eval().requires_grad_(requires_grad=False)
