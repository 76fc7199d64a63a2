"""Training of power allocations in cell-free networks: without labels, on mixed sizes."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from agents.gnn.cell_free import CellFree, drops
from agents.gnn.task import Training
from channel.seeding import stream

_LEAST_SE = 1e-4


class CellFreeTraining(Training):
    """Drops of mixed sizes, and the utility of their users' spectral efficiencies.

    The least is learned as the power mean of an exponent that falls from -4 to -30, the equal of alpha-fair utilities
    whose alpha rises: at first all users pull, at last the least one. Logarithms make bad drops count like good ones.
    """

    network: Literal["cell_free"] = Field(description="cell_free")
    utility: Literal["max_min", "sum", "proportional_fair"] = Field(
        default="max_min", description="of the users' spectral efficiencies: the least, their sum, sum of logarithms"
    )
    aps: tuple[int, int] = Field(default=(10, 60), description="fewest and most APs")
    users: tuple[int, int] = Field(default=(3, 20), description="fewest and most users")
    antennas: tuple[int, ...] = Field(default=(1, 2, 4), description="numbers of antennas that APs have, at random")
    uncovered: tuple[float, float] = Field(
        default=(1e-4, 1e-1), description="range of the part of a user's path gain of APs that do not serve it"
    )
    propagation: Literal["umi", "three_slope"] = Field(
        default="umi", description="TR 38.901 UMi, or Ngo's three slopes"
    )

    reference: ClassVar[str] = "fractional power control"

    def building(self) -> dict[str, int | bool | str]:
        """Return what the network is built with: its passes pull towards the same utility."""
        return {**self.options, "utility": self.utility}

    def loss(self, network: nn.Module, step: int) -> tuple[Tensor, float]:
        """Return the loss of a step's drops, and the mean utility over that of fractional power control."""
        problem = self.drops(step)
        stages = [problem.spectral_efficiency(each) for each in network(problem)]
        exponent = -4.0 * (30.0 / 4.0) ** (step / self.steps)
        gains = [self._score(each, exponent).mean() for each in stages]
        reference = problem.spectral_efficiency(problem.fractional(0.5))
        ratio = self._utility(stages[-1]).mean() / self._utility(reference).mean()
        return -(gains[-1] + 0.3 * sum(gains[:-1]) / max(len(gains) - 1, 1)), float(ratio.detach())

    def drops(self, step: int) -> CellFree:
        """Return the drops of one step."""
        rng = stream(self.seed, "cell-free training", step)
        aps, users = (int(rng.integers(low, high + 1)) for low, high in (self.aps, self.users))
        return drops(
            self.batch, aps, users, rng, propagation=self.propagation, antennas=self.antennas, uncovered=self.uncovered
        )

    def _score(self, rate: Tensor, exponent: float) -> Tensor:
        """Return what is learned from rates [batch, K], [batch]."""
        log_rate = rate.clamp(min=_LEAST_SE).log()
        if self.utility == "max_min":
            return (torch.logsumexp(exponent * log_rate, -1) - np.log(rate.shape[-1])) / exponent
        return log_rate.mean(-1) if self.utility == "proportional_fair" else rate.mean(-1)

    def _utility(self, rate: Tensor) -> Tensor:
        """Return what progress tells of rates [batch, K], [batch]: the least, mean or geometric mean."""
        if self.utility == "max_min":
            return rate.amin(-1)
        return rate.clamp(min=_LEAST_SE).log().mean(-1).exp() if self.utility == "proportional_fair" else rate.mean(-1)
