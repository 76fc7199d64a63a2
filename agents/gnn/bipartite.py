"""A heterogeneous graph network: antennas and users are nodes of two kinds, channels are the edges."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from agents.gnn.network import PrecodingNetwork
from ran.phy.precoding.streams import Streams


class Bipartite(PrecodingNetwork):
    """Edge features that hear the means over their user's and over their antenna's edges, K x M at a time.

    Equivariant to permutations of users and of antennas, as in Zhao, Guo & Yang, arXiv 2212.08020; it must find
    out by itself what an inverse is. The last layer's two numbers an edge are V itself; it is returned as the
    coefficients of its projection on the channels, since what is outside their span only costs power.
    """

    def __init__(self, layers: int = 4, width: int = 24) -> None:
        super().__init__()
        sizes = [3] + [width] * (layers - 1) + [2]
        self.layers = nn.ModuleList(nn.Linear(3 * a, b) for a, b in pairwise(sizes))

    def forward(self, streams: Streams) -> list[Tensor]:
        """Return the coefficients of the last layer, complex [..., K, K], alone."""
        scale = streams.direction.shape[-1] ** 0.5
        snr = (-(streams.noise * streams.count).log().clamp(-14.0, 14.0) / 4.0)[..., None, None]
        edges = torch.view_as_real(streams.direction.resolve_conj()) * scale
        edges = torch.cat([edges, snr.expand(*edges.shape[:-1], 1)], -1)  # [..., K, M, 3]
        present = streams.present[..., None, None].to(edges.dtype)
        for index, layer in enumerate(self.layers):
            edges = edges * present
            users = edges.mean(-2, keepdim=True).expand_as(edges)
            antennas = (edges.sum(-3, keepdim=True) / streams.count[..., None, None]).expand_as(edges)
            edges = layer(torch.cat([edges, users, antennas], -1))
            if index + 1 < len(self.layers):
                edges = torch.tanh(edges)
        v = torch.view_as_complex((edges * present).contiguous()).mH  # [..., M, K]
        gram = streams.gram()
        ridge = 1e-5 * torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
        return [torch.linalg.solve(gram + ridge, streams.direction @ v)]
