"""What an agent is shown, where that is not the environment's own observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.draws import episode_keys
from channel.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Environment


Look = Callable[[Any, Any], "NDArray[np.float64]"]
"""From an environment and its state to values, [batch, count]; of several agents, [batch, num_agents, count]."""


@dataclass(frozen=True)
class View:
    """An observation of one's own: one function, and how many values it returns.

    Attributes:
        function: what is shown; what lies outside [-1, 1] is cut off. None: the environment's own observation.
        count: values of a replica, those of all its agents together.
    """

    function: Look | None = None
    count: int = 0

    @staticmethod
    def given(chosen: View | Look | None, environment: Environment) -> View:
        """Return the view that a user chose: none, a view, or a function, whose values are counted by calling it."""
        if chosen is None or isinstance(chosen, View):
            return chosen or View()
        first = np.zeros(1, np.int64)
        return View(chosen, int(np.size(chosen(environment, environment.start(episode_keys(first, first))))))

    def of(self, environment: Environment, state: Any) -> NDArray[np.float32]:
        """Return what is shown of every replica, float32 [batch, size]; raises UserError for another size."""
        if self.function is None:
            seen = environment.observe(state)
            return seen.reshape(len(seen), -1)
        found = np.asarray(self.function(environment, state), np.float64)
        if found.size != len(state.key) * self.count:
            raise UserError(
                f"an observation has shape {list(found.shape)}, expected [{len(state.key)}, {self.count}]: return "
                "values for every replica, with the replicas first"
            )
        return np.clip(found, -1.0, 1.0).astype(np.float32).reshape(len(found), -1)

    def size(self, environment: Environment) -> int:
        """Return the values of a replica."""
        if self.function is None:
            return environment.observation_size * (environment.num_agents or 1)
        return self.count


def shared_out(size: int, agents: int) -> int:
    """Return how many of a replica's values each agent sees; raises UserError where they cannot be shared out."""
    if size % agents:
        raise UserError(
            f"an observation of {size} values cannot be shared out among {agents} agents; return [batch, num_agents, "
            "count], what each of them sees"
        )
    return size // agents
