"""What an environment is: one decision problem, written once, for any number of replicas at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as attributes
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from pydantic import Field as Parameter

import agents.threading_layer  # noqa: F401 - before Numba starts threads
from agents.fields import Choice, Field, Term, pack, size_of, unpack
from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass
class State:
    """What one step changes: arrays with a leading replica axis. Environments add theirs.

    Attributes:
        key: of every replica's episode, for ``agents.draws``, uint64 [batch].
        step: steps done in the episode, int64 [batch].
    """

    key: NDArray[np.uint64]
    step: NDArray[np.int64]

    def put(self, which: NDArray[np.int64], other: State) -> None:
        """Take over the replicas of ``other``, [len(which)], as those numbered ``which``."""
        for attribute in attributes(self):
            getattr(self, attribute.name)[which] = getattr(other, attribute.name)

    def replicas(self, which: NDArray[np.int64]) -> Any:
        """Return a copy of some replicas."""
        return replace(self, **{each.name: getattr(self, each.name)[which].copy() for each in attributes(self)})


@dataclass(frozen=True)
class Outcome:
    """What a step came to.

    Attributes:
        terms: terms of the reward by name, float64 [batch], or [batch, num_agents] where there are several agents.
        terminated: whether the problem itself ended, [batch]; time running out is not the environment's business.
        info: more that is worth knowing, [batch, ...] each.
    """

    terms: dict[str, NDArray[np.float64]]
    terminated: NDArray[np.bool_]
    info: dict[str, NDArray[Any]]


class Rule(Protocol):
    """A policy that needs no training: from a state, what is seen of it, and uniform numbers, to actions."""

    def __call__(self, environment: Any, state: Any, seen: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions [batch, ...] as the action space has them."""


class Bound:
    """A rule that shows what no policy can get: it acts, but is scored by ``most`` instead of by what comes of it."""

    @abstractmethod
    def __call__(self, environment: Any, state: Any, seen: NDArray[np.float32]) -> NDArray[Any]:
        """Return actions, as a ``Rule``."""

    @abstractmethod
    def most(self, environment: Any, state: Any) -> dict[str, NDArray[np.float64]]:
        """Return the terms of the reward to count for the coming step; asked before it is taken."""


Reward = Callable[[Mapping[str, "NDArray[np.float64]"]], "NDArray[np.float64]"]
"""From the terms of a step to its reward, [batch] or [batch, num_agents]."""


class Environment(Component):
    """A decision problem. Its fields are its parameters; all that changes lives in a State, updated in place.

    Replica b of a batch does, to the last bit, what it would do alone: whatever is random comes from its own key.
    """

    steps: int = Parameter(default=50, ge=1, le=1_000_000, description="steps of an episode")
    weights: dict[str, float] = Parameter(
        default_factory=dict, description="weights of the reward's terms; those not named keep their own"
    )

    title: ClassVar[str] = ""
    """The name that Gymnasium knows, without ``airtune/`` and the version."""
    training: ClassVar[Mapping[str, float]] = {}
    """Settings of ``agents.ppo`` that suit it."""
    agent: ClassVar[str] = "agent"
    """What an agent is called, e.g. `ue`."""

    @abstractmethod
    def observed(self) -> tuple[Field, ...]:
        """Return the blocks of an observation (of one agent's, where there are several)."""

    @abstractmethod
    def acted(self) -> tuple[Field, ...] | tuple[Choice, ...]:
        """Return the blocks of an action: all continuous or all discrete."""

    @abstractmethod
    def terms(self) -> tuple[Term, ...]:
        """Return the terms of the reward."""

    @abstractmethod
    def start(self, key: NDArray[np.uint64]) -> Any:
        """Return the state at the start of episodes with these keys."""

    @abstractmethod
    def values(self, state: Any) -> dict[str, NDArray[np.float64]]:
        """Return what is observed, in its units, by block, [batch, count] each."""

    @abstractmethod
    def advance(self, state: Any, action: NDArray[Any]) -> Outcome:
        """Take one step, in place; ``action`` is as the action space has it, [batch, size].

        The caller has counted the step already.
        """

    @abstractmethod
    def rules(self) -> dict[str, Rule]:
        """Return the baselines by name; one whose name starts with "oracle" or "bound" may see what agents may not."""

    @abstractmethod
    def draw(self, state: Any, replica: int, figure: Figure) -> None:
        """Draw one replica: cell, links, queues."""

    def mask(self, state: Any) -> NDArray[np.bool_] | None:  # noqa: ARG002
        """Return which options of the choices are allowed, one after another, [batch, sum of options]; None: all."""
        return None

    def observe(self, state: Any) -> NDArray[np.float32]:
        """Return the observation, in [-1, 1], [batch, size]."""
        return pack(self.observed(), self.values(state))

    def physical(self, action: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Return a continuous action in its units, by block."""
        return unpack(self._continuous(), action)

    def reward(self, terms: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the weighted sum of the terms."""
        weights = {term.name: self.weights.get(term.name, term.weight) for term in self.terms()}
        total = sum(weights[name] * np.asarray(value, np.float64) for name, value in terms.items())
        return np.asarray(total, np.float64)

    def problems(self) -> list[str]:
        """Return a sentence where a weight's term does not exist."""
        known = [term.name for term in self.terms()]
        return [
            f"`weights`: the reward has no term {name!r}; known: {', '.join(known)}"
            for name in self.weights
            if name not in known
        ]

    def in_scenario(self, policy: str) -> str:  # noqa: ARG002
        """Return the command that runs a scenario by the policy of a file, or an empty string where none can."""
        return ""

    @property
    def num_agents(self) -> int | None:
        """How many agents act, each with an observation, an action and a reward of its own; None: one."""
        return None

    @property
    def discrete(self) -> bool:
        """Whether actions are choices."""
        return isinstance(self.acted()[0], Choice)

    def options(self) -> list[int]:
        """Return the options of every single choice, in order."""
        return [block.options for block in self.acted() for _ in range(block.count) if isinstance(block, Choice)]

    @property
    def action_size(self) -> int:
        """Values of an action (of one agent)."""
        return size_of(self.acted())

    @property
    def observation_size(self) -> int:
        """Values of an observation (of one agent)."""
        return size_of(self.observed())

    def _continuous(self) -> Sequence[Field]:
        return [block for block in self.acted() if isinstance(block, Field)]


ENVIRONMENTS: Registry[Environment] = Registry("environment", Environment)
