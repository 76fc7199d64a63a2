"""WCGCN: the graph network of wireless channels of Shen et al., for power control of interfering pairs."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from agents.gnn.interference_channel import pair_rates, rayleigh_pairs
from agents.gnn.task import Training
from channel.seeding import stream


class Wcgcn(nn.Module):
    """Power control by messages over edges, the largest of which counts (Shen et al., arXiv 2007.07632, section IV-C).

    A node is a pair, its feature |h_kk|; an edge has |h_kj| and |h_jk|. Each of the layers, which share no weights, is

        y_k = max_{j != k} MLP1(x_j, |h_kj|, |h_jk|),    x_k = (|h_kk|, sigmoid(MLP2(x_k, y_k))),

    x_k's second part starting at 1 and ending as the power. Any number of pairs; sizes of the MLPs are ours.
    """

    def __init__(self, layers: int = 3, width: int = 32) -> None:
        super().__init__()
        self.messages = nn.ModuleList(_mlp(4, 16, width) for _ in range(layers))
        self.updates = nn.ModuleList(_mlp(2 + width, 16, 1, last=nn.Sigmoid()) for _ in range(layers))

    def forward(self, magnitude: Tensor) -> Tensor:
        """Return powers in [0, 1], real [..., K], for |h_kj| [..., K, K] over the root of the mean gain."""
        direct = magnitude.diagonal(dim1=-2, dim2=-1)[..., None]
        pairs = magnitude.shape[-1]
        edges = torch.stack([magnitude, magnitude.mT], -1)  # [..., k, j, 2]
        oneself = torch.eye(pairs, dtype=torch.bool, device=magnitude.device)[..., None]
        node = torch.cat([direct, torch.ones_like(direct)], -1)
        for message, update in zip(self.messages, self.updates, strict=True):
            sent = message(torch.cat([node[..., None, :, :].expand(*edges.shape[:-1], 2), edges], -1))
            heard = sent.masked_fill(oneself, 0.0).amax(-2)  # messages are not negative: 0 where nobody else is
            node = torch.cat([direct, update(torch.cat([node, heard], -1))], -1)
        return node[..., 1]


class WcgcnTraining(Training):
    """Sum rates of pairs over Rayleigh channels."""

    network: Literal["wcgcn"] = Field(description="wcgcn")
    pairs: tuple[int, int] = Field(default=(2, 20), description="fewest and most pairs")
    snr_db: float = Field(default=10.0, ge=-30, le=60, description="power over noise")

    reference: ClassVar[str] = "full power"

    def loss(self, network: nn.Module, step: int) -> tuple[Tensor, float]:
        """Return the loss of a step's channels, and the mean sum rate over that of full power."""
        rng = stream(self.seed, "wcgcn training", step)
        magnitude = rayleigh_pairs(self.batch, int(rng.integers(self.pairs[0], self.pairs[1] + 1)), rng)
        noise, direct = 10 ** (-self.snr_db / 10), magnitude.diagonal(dim1=-2, dim2=-1)
        rate = pair_rates(magnitude, network(magnitude), noise).sum(-1).mean()
        ratio = rate / pair_rates(magnitude, torch.ones_like(direct), noise).sum(-1).mean()
        return -ratio, float(ratio.detach())


def _mlp(inputs: int, width: int, outputs: int, last: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs), last or nn.ReLU())
