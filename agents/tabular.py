"""Finite decision problems: their exact solution, and SARSA and Q-learning on tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numba
import numpy as np

from agents.batched import Replicas
from channel.seeding import stream

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Environment

_STATES_MOST = 1_000_000


@dataclass(frozen=True)
class FiniteProblem:
    """A deterministic decision problem with finitely many states.

    Attributes:
        following: state after each action, int64 [num_states, num_actions].
        reward: of each action in each state, [num_states, num_actions]; minus infinity where it is not allowed.
    """

    following: NDArray[np.int64]
    reward: NDArray[np.float64]


def value_iteration(
    problem: FiniteProblem, discount: float, tolerance: float = 1e-12
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the optimal values and actions of all states, [num_states] each (Bellman 1957).

    V <- max_a r(s, a) + discount V(s') until no value changes by more than ``tolerance`` times (1 - discount); so the
    values are within ``tolerance`` of the optimum.
    """
    value = np.zeros(len(problem.reward))
    while True:
        worth = problem.reward + discount * value[problem.following]
        better = worth.max(axis=1)
        if np.abs(better - value).max() <= tolerance * (1 - discount):
            return better, worth.argmax(axis=1)
        value = better


def policy_value(problem: FiniteProblem, action: NDArray[np.int64], discount: float) -> NDArray[np.float64]:
    """Return the discounted values of all states under a policy, [num_states]: solves V = r + discount P V."""
    states = np.arange(len(action))
    moves = np.zeros((len(action), len(action)))
    moves[states, problem.following[states, action]] = 1.0
    return np.asarray(np.linalg.solve(np.eye(len(action)) - discount * moves, problem.reward[states, action]))


def backward_induction(
    following: NDArray[np.int64], reward: NDArray[np.float64], steps: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the largest sum of rewards over ``steps`` steps, and the first action of it, [..., num_states] each.

    Args:
        following: state after each action, [num_states, num_actions].
        reward: [..., num_states, num_actions]; minus infinity where an action is not allowed.
        steps: at least 1.
    """
    value = np.zeros(reward.shape[:-1])
    for _ in range(steps):
        worth = reward + value[..., following]
        value = worth.max(axis=-1)
    return value, worth.argmax(axis=-1)


@dataclass(frozen=True)
class Table:
    """A learned policy: of every agent, in every state, the action of largest value.

    Attributes:
        value: Q of agents, states, actions, [num_agents, num_states, num_actions].
        state_of: from an environment and its state to the agents' states, int64 [batch, num_agents].
    """

    value: NDArray[np.float64]
    state_of: Callable[[Any, Any], NDArray[np.int64]]

    def __call__(self, environment: Any, state: Any, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_agents], or [batch] of a single one."""
        where = self.state_of(environment, state)
        allowed = _allowed(environment, state, *where.shape)
        worth = np.where(allowed, self.value[np.arange(where.shape[1]), where], -np.inf)
        chosen = worth.argmax(axis=-1)
        return chosen[:, 0] if where.shape[1] == 1 else chosen


def learn(
    environment: Environment,
    method: Literal["sarsa", "q_learning"],
    state_of: Callable[[Any, Any], NDArray[np.int64]],
    num_states: int,
    *,
    steps: int = 4000,
    replicas: int = 16,
    discount: float = 0.9,
    learning_rate: float = 0.2,
    seed: int = 0,
) -> Table:
    """Return what each agent learns for itself on a table, the others being part of its world.

    Q(s, a) <- Q(s, a) + rate (r + discount Q' - Q(s, a)), where Q' is Q(s', a') of the action taken next (SARSA:
    Rummery and Niranjan 1994) or max_a' Q(s', a') (Q-learning: Watkins 1989). Actions are random with a probability
    that falls linearly from 1 to 0. Time running out ends an episode but no value: the last state's counts on.

    Args:
        environment: discrete, one choice an agent.
        method: which.
        state_of: from the environment and its state to the agents' states, int64 [batch, num_agents].
        num_states: how many there are.
        steps: of every replica.
        replicas: that fill the same tables, one after another in each step.
        discount: of rewards to come.
        learning_rate: 0 .. 1; the smaller, the less does noise matter: of SARSA's explorations, or of other agents.
        seed: of what is random here; episodes are those of seeds ``seed``, ``seed`` + 1, ...
    """
    agents, (actions,) = environment.num_agents or 1, set(environment.options())
    assert num_states * actions <= _STATES_MOST, "too many states for a table"
    table, rng = np.zeros((agents, num_states, actions)), stream(seed, method)
    under_way = Replicas(environment, replicas)
    under_way.restart(seed + np.arange(replicas))

    def choose(exploring: float) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        where = state_of(environment, under_way.state)
        allowed = _allowed(environment, under_way.state, replicas, agents)
        greedy = np.where(allowed, table[np.arange(agents), where], -np.inf)
        worth = np.where(allowed, rng.random(allowed.shape), -np.inf)
        at_random = rng.random((replicas, agents, 1)) < exploring
        return where, np.where(at_random, worth, greedy).argmax(axis=-1), allowed

    where, action, _ = choose(1.0)
    for step in range(steps):
        got, terminated, truncated, _ = under_way.step(action[:, 0] if agents == 1 else action)
        reward = np.broadcast_to(np.asarray(got).reshape(replicas, -1), (replicas, agents))
        then, following, allowed = choose(1 - (step + 1) / steps)
        update(
            table, where, action, reward, then, following, allowed, terminated, learning_rate, discount,
            method == "sarsa",
        )  # fmt: skip
        done = np.flatnonzero(terminated | truncated)
        if len(done):
            under_way.restart(None, done)
            then, following, _ = choose(1 - (step + 1) / steps)
        where, action = then, following
    return Table(table, state_of)


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def update(  # type: ignore[no-untyped-def]
    table, where, action, reward, then, following, allowed, terminated, learning_rate, discount, on_policy
):  # fmt: skip
    """Learn from one step of every replica, one after another, in place."""
    for b in range(where.shape[0]):
        for k in range(where.shape[1]):
            ahead = -np.inf
            if terminated[b]:
                ahead = 0.0
            elif on_policy:
                ahead = table[k, then[b, k], following[b, k]]
            else:
                for option in range(table.shape[2]):
                    if allowed[b, k, option]:
                        ahead = max(ahead, table[k, then[b, k], option])
            old = table[k, where[b, k], action[b, k]]
            table[k, where[b, k], action[b, k]] = old + learning_rate * (reward[b, k] + discount * ahead - old)


def _allowed(environment: Any, state: Any, batch: int, agents: int) -> NDArray[np.bool_]:
    """Return which actions each agent may take, [batch, num_agents, num_actions]."""
    mask = environment.mask(state)
    if mask is None:
        return np.ones((batch, agents, environment.options()[0]), bool)
    return np.asarray(mask).reshape(batch, agents, -1)
