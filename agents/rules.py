"""Baselines that every environment has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.draws import uniforms

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RANDOM_DRAW = 1 << 40


@dataclass(frozen=True)
class Random:
    """Any allowed action, all as likely: the same for the same episode and step."""

    def __call__(self, environment: Any, state: Any, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return actions, [batch, size]."""
        agents = environment.num_agents or 1
        size = environment.action_size * agents
        drawn = uniforms(state.key, _RANDOM_DRAW + state.step, size)
        if not environment.discrete:
            return (2 * drawn - 1).astype(np.float32)
        options = environment.options() * agents
        mask = environment.mask(state)
        if mask is None:
            mask = np.ones((len(drawn), sum(options)), bool)
        edges = np.cumsum([0, *options])
        chosen = np.empty(drawn.shape, np.int64)
        for place in range(size):
            allowed = mask[:, edges[place] : edges[place + 1]]
            rank = np.floor(drawn[:, place] * allowed.sum(axis=1)).astype(np.int64)
            chosen[:, place] = np.argmax(np.cumsum(allowed, axis=1) > rank[:, None], axis=1)
        return chosen[:, 0] if size == 1 else chosen
