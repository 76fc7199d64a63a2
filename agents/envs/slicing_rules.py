"""Heuristics for the share of learning, each as good as its one parameter allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envs.slicing import Slicing, SlicingState
    from ran.mac.sharing import Sharing


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
class OfScenarios:
    """What `mac.slice_shares` does in scenarios, by the same numbers."""

    sharing: Sharing

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return the rule's share."""
        return environment.nearest(self.sharing.share(environment.queues(state)))


@dataclass(frozen=True)
class Threshold:
    """Everything to learning until some packet has waited ``wait`` of its budget, then everything to traffic."""

    wait: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return 0 or 1."""
        waited = state.driven.wait(environment.direction).max(axis=2) > self.wait
        return environment.nearest((state.driven.by_cell(waited) == 0).astype(np.float64))


@dataclass(frozen=True)
class Urgency:
    """Shares in proportion to the airtime that both want of the time they have, learning's ``weight`` times."""

    weight: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return w l / (w l + t)."""
        values = environment.values(state)
        learning, traffic = self.weight * values["learning_load"], values["traffic_load"]
        return environment.nearest(learning / np.maximum(learning + traffic, 1e-9))


@dataclass(frozen=True)
class QuorumFirst:
    """As `deadline_first`, but for the airtime after which the quorum is there instead of that of all updates."""

    margin: float
    most: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return margin x the quorum's load."""
        load = environment.queues(state).quorum_load()
        return environment.nearest(np.where(load <= self.most, self.margin * load, 0.0))


@dataclass(frozen=True)
class Slack:
    """As QuorumFirst, but everything to learning while no packet has waited ``wait`` of its budget."""

    wait: float
    margin: float
    most: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return 1, or margin x the quorum's load."""
        queues = environment.queues(state)
        load, pressed = queues.quorum_load(), queues.by_cell(queues.wait > self.wait) > 0
        return environment.nearest(np.where(~pressed, 1.0, np.where(load <= self.most, self.margin * load, 0.0)))


@dataclass(frozen=True)
class CMu:
    """Whichever is worth more for its airtime comes first (the c-mu rule of Cox and Smith, Queues, 1961).

    Learning: what a round adds to the reward, over the airtime after which its quorum is there; nothing where it cannot
    be in time. Traffic: what users whose packets have waited ``wait`` of their budgets cost in ``horizon`` steps, over
    the airtime of their queues.
    """

    horizon: float
    wait: float

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return 0 or 1."""
        queues = environment.queues(state)
        weight = {term.name: term.weight for term in environment.terms()}
        load = queues.quorum_load()
        enough = (queues.missing > 0) & (queues.missing <= (queues.left > 0).sum(axis=1))
        possible = (enough & (load <= 1.0).all(axis=1))[:, None]
        round_s = load.sum(axis=1, keepdims=True) * queues.left_s[:, None]
        learning = np.where(possible, weight["rounds"] / np.maximum(round_s, 1e-9), 0.0)
        pressed = (queues.wait > self.wait) & (queues.backlog > 0)
        queue_s = queues.by_cell(np.where(pressed, queues.demand * queues.budget_s, 0.0))
        late = self.horizon * queues.by_cell(pressed) / len(queues.users)
        traffic = -weight["late"] * late / np.maximum(queue_s, 1e-9)
        return environment.nearest((learning >= traffic).astype(np.float64))
