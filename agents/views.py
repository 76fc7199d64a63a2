"""What an agent is shown, where that is not the environment's own observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Environment


@dataclass(frozen=True)
class View:
    """An observation of one's own: one function, and how many values it returns.

    Attributes:
        function: from the environment and its state to values, [batch, count]; what lies outside [-1, 1] is cut off.
            None: the environment's own observation.
        count: values of a replica.
    """

    function: Callable[[Any, Any], NDArray[np.float64]] | None = None
    count: int = 0

    def of(self, environment: Environment, state: Any) -> NDArray[np.float32]:
        """Return what is shown of every replica, float32 [batch, size]."""
        if self.function is None:
            seen = environment.observe(state)
            return seen.reshape(len(seen), -1)
        return np.clip(self.function(environment, state), -1.0, 1.0).astype(np.float32)

    def size(self, environment: Environment) -> int:
        """Return the values of a replica."""
        if self.function is None:
            return environment.observation_size * (environment.num_agents or 1)
        return self.count
