"""WMMSE of a fixed number of iterations with learned steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.gnn.icgnn_network import Graph, Reception, coefficients_of, weighted_mmse_shares
from agents.gnn.network import PrecodingNetwork
from ran.phy.precoding.streams import Streams


class UnfoldedWmmse(PrecodingNetwork):
    """Deep unfolding: each layer is a weighted-MMSE round that goes a learned part further, or less far.

    log q is moved by ``stride`` times what the algorithm would move it, and the weights w are raised to a learned
    power; freshly made it is WMMSE of so many iterations. After Hu et al., IEEE TWC 2021 (IAIDNN), whose learned
    matrices of fixed size it does not have, so that it serves any number of streams and antennas.
    """

    def __init__(self, layers: int = 4, steps: int = 12) -> None:
        super().__init__()
        self.stride = nn.Parameter(torch.ones(layers))
        self.exponent = nn.Parameter(torch.ones(layers))
        self.steps = steps

    def forward(self, streams: Streams) -> list[Tensor]:
        """Return the coefficients of every layer, complex [..., K, K]."""
        graph = Graph.of(streams)
        log_share = graph.log_shares(torch.zeros_like(graph.log_noise))
        found = [coefficients_of(graph, log_share, torch.zeros_like(log_share), self.steps, 0.0)]
        for stride, exponent in zip(self.stride, self.exponent, strict=True):
            reception = Reception.of(graph, found[-1])
            log_share = graph.log_shares(log_share + stride * (weighted_mmse_shares(graph, reception) - log_share))
            found.append(coefficients_of(graph, log_share, exponent * reception.log_weight, self.steps, 0.0))
        return [each.reshape(*streams.noise.shape, each.shape[-1]) for each in found[1:]]
