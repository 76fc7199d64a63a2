"""Heuristics for the share of learning, each as good as its one parameter allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envs.slicing import Slicing, SlicingState


@dataclass(frozen=True)
class Fixed:
    """Always the same share."""

    share: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return the share."""
        return environment.nearest(np.full(state.share.shape, self.share))


@dataclass(frozen=True)
class Proportional:
    """Shares in proportion to the bytes that wait, those of updates ``weight`` times."""

    weight: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return w L / (w L + T)."""
        bearer = state.driven.state.link(environment.direction).bearer
        waiting = bearer["enqueued"] - bearer["delivered"] - bearer["lost"]
        updates = self.weight * state.driven.by_cell(np.where(state.done, 0, waiting[..., 0]))
        traffic = state.driven.by_cell(waiting[..., 1:].sum(axis=2))
        return environment.nearest(updates / np.maximum(updates + traffic, 1))


@dataclass(frozen=True)
class SlaFirst:
    """Traffic gets what it needs to stay within its budgets, times ``margin``; the rest is learning's."""

    margin: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return 1 - margin x traffic's load."""
        return environment.nearest(1 - self.margin * environment.values(state)["traffic_load"])


@dataclass(frozen=True)
class DeadlineFirst:
    """Learning gets what its updates need to be in time, times ``margin``; nothing where that is above ``most``.

    The rest is traffic's. Rounds that need more than the cell has are given up before they cost anything.
    """

    margin: float
    most: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return margin x learning's load."""
        load = environment.values(state)["learning_load"]
        return environment.nearest(np.where(load <= self.most, self.margin * load, 0.0))


@dataclass(frozen=True)
class Threshold:
    """Everything to learning until some packet has waited ``wait`` of its budget, then everything to traffic."""

    wait: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return 0 or 1."""
        waited = environment.values(state)["wait"] > self.wait
        return environment.nearest((state.driven.by_cell(waited.astype(np.float64)) == 0).astype(np.float64))


@dataclass(frozen=True)
class Urgency:
    """Shares in proportion to the airtime that both want of the time they have, learning's ``weight`` times."""

    weight: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return w l / (w l + t)."""
        values = environment.values(state)
        learning, traffic = self.weight * values["learning_load"], values["traffic_load"]
        return environment.nearest(learning / np.maximum(learning + traffic, 1e-9))
