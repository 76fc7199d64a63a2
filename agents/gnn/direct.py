"""A graph network that names its precoder in one go, with or without being told how many streams there are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.gnn.icgnn_network import Graph, coefficients_of
from agents.gnn.network import PrecodingNetwork
from ran.phy.precoding.streams import Streams


class Direct(PrecodingNetwork):
    """Weights and amplitudes of V = U^H (G + diag(K n_k / lambda_k))^-1 diag(c) straight from a node's features.

    A node knows log(1 / (K n_k)), its SNR at an equal share of the power, and its load sum_j |g_kj|^2, and hears
    others by |g_kj|^2; fresh, all lambda_k are 1: RZF's directions. With ``log_count`` it also knows log K. Unlike in
    ICGNN nothing ties what comes out to a precoder that has been looked at: what a number of streams beyond those of
    the training leads to is up to the network.
    """

    def __init__(self, layers: int = 3, width: int = 56, steps: int = 32, log_count: bool = False) -> None:
        super().__init__()
        self.steps, self.log_count = steps, log_count
        self.embed = nn.Linear(2 + log_count, width)
        self.layers = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(layers))
        self.head = nn.Linear(width, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, streams: Streams) -> list[Tensor]:
        """Return the coefficients, complex [..., K, K], alone."""
        graph = Graph.of(streams)
        # Where K is a feature, the network is to find out by itself what it does to SNR and regularisation.
        share = torch.zeros_like(graph.log_count) if self.log_count else -graph.log_count
        features = [(share - graph.log_noise).clamp(-14.0, 14.0) / 4.0, graph.load]
        if self.log_count:
            features.append(graph.log_count.expand_as(graph.load))
        weight = torch.view_as_real(graph.gram).square().sum(-1)  # |g_kj|^2
        weight = weight - torch.diag_embed(weight.diagonal(dim1=-2, dim2=-1))
        hidden = torch.relu(self.embed(torch.stack(features, -1)))
        for layer in self.layers:
            hidden = torch.relu(layer(torch.cat([hidden, weight @ hidden], -1)))
        log_lambda, log_power = self.head(hidden).unbind(-1)
        count = graph.log_noise.shape[-1]
        found = coefficients_of(graph, log_lambda + share, log_power, min(count, self.steps), 0.0)
        return [found.reshape(*streams.noise.shape, count)]
