"""What no policy can beat in UavOffload."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.environment import Bound
from agents.envs import uav_offload_kernels as kernels
from agents.envs.uav_offload_rules import shaped
from agents.tabular import backward_induction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envs.uav_offload import UavOffload, UavState

_MOST_PLACEMENTS = 1_000_000


class Best(Bound):
    """No policy gets more, for two reasons; in each episode the one that allows less counts.

    Alone: every UAV flies the best way that it could fly if all UEs were its own, found by backward induction. UAVs
    share the UEs out among them, so all together get no more than the sum of that.

    Together: k steps on, UAVs serve no better than from the best places that they all can have reached by then, and
    nobody takes less energy than the cheaper of flying and hovering. The best places are found by search through all;
    this is left out for a single UAV and where there are more than a million.

    Holds where service is worth something and flying costs: weights of the signs that they have by default. What was
    found for episodes under way is kept, by their keys.
    """

    def __init__(self) -> None:
        self._together: dict[int, Together | None] = {}

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_uavs]."""
        alone = Alone.of(environment, state)
        keys = [int(key) for key in state.key]
        self._together = {key: self._together[key] for key in keys if key in self._together}
        for replica, key in enumerate(keys):
            if key not in self._together:
                found = Together.of(environment, state, replica)
                is_less = found is not None and found.total(environment) < alone.total[replica]
                self._together[key] = found if is_less else None
        return shaped(alone.action)

    def most(self, environment: UavOffload, state: UavState) -> dict[str, NDArray[np.float64]]:
        """Return the terms of the step that begins."""
        terms = Alone.of(environment, state).terms(environment, state)
        for replica, key in enumerate(state.key):
            together = self._together.get(int(key))
            if together is not None:
                for name, value in together.terms(environment, int(state.step[replica])).items():
                    terms[name][replica] = value
        return terms


@dataclass(frozen=True)
class Alone:
    """The best way of each UAV if all UEs were its own.

    Attributes:
        action: first move of it, [batch, num_uavs].
        total: rewards of all UAVs over what is left of the episode, [batch].
        count, rate: UEs that one would serve from each place, and how fast, [batch, num_places].
    """

    action: NDArray[np.int64]
    total: NDArray[np.float64]
    count: NDArray[np.int64]
    rate: NDArray[np.float64]

    @staticmethod
    def of(environment: UavOffload, state: UavState) -> Alone:
        """Return it for episodes under way."""
        from agents.envs.uav_offload import ways

        count, rate = _served_alone(environment, state.need_hz)
        following, inside = ways(environment.side)
        costs = _weights(environment)["energy"] * environment.energy_kj(np.arange(5) > 0)
        reward = np.where(inside, _gain(environment, count, rate)[:, following] + costs, -np.inf)
        # Episodes of one batch may have different ages.
        action, total = np.empty(state.place.shape, np.int64), np.empty(len(state.place))
        for left in np.unique(environment.steps - state.step):
            rows = np.flatnonzero(environment.steps - state.step == left)
            value, best = backward_induction(following, reward[rows], int(left))
            action[rows] = np.take_along_axis(best, state.place[rows], axis=1)
            total[rows] = np.take_along_axis(value, state.place[rows], axis=1).sum(axis=1)
        return Alone(action, total, count, rate)

    def terms(self, environment: UavOffload, state: UavState) -> dict[str, NDArray[np.float64]]:
        """Return the terms of the step that begins."""
        row, after = np.arange(len(self.action))[:, None], environment.moved(state.place, self.action)
        moves = environment.energy_kj(after != state.place)
        return {**environment.earned(self.count[row, after], self.rate[row, after]), "energy": moves}


@dataclass(frozen=True)
class Together:
    """The best places within reach of all UAVs.

    Attributes:
        first: step from which reach is counted.
        count, rate: UEs of each UAV in the best places within 0, 1, ... steps, and how fast, [num_levels, num_uavs].
    """

    first: int
    count: NDArray[np.int64]
    rate: NDArray[np.float64]

    @staticmethod
    def of(environment: UavOffload, state: UavState, replica: int) -> Together | None:
        """Return it for one episode under way; None for a single UAV and where there are too many to search through."""
        uavs, side, places = environment.uavs, environment.side, environment.num_places
        if uavs == 1 or comb(places + uavs - 1, uavs) > _MOST_PLACEMENTS:
            return None
        here, everywhere = (np.stack(np.divmod(each, side), -1) for each in (state.place[replica], np.arange(places)))
        away = np.abs(everywhere - here[:, None]).sum(axis=-1)  # [num_uavs, num_places]
        need_hz = state.need_hz[replica : replica + 1]
        worth = _gain(environment, *_served_alone(environment, need_hz))[0]
        orders = np.array(list(permutations(range(uavs))), np.int64)
        levels = 2 * side - 1
        count, rate = np.zeros((levels, uavs), np.int64), np.zeros((levels, uavs))
        kernels.together(
            need_hz, environment.bandwidth_hz, environment.adequate_bit_s, environment.desired_bit_s,
            *_worths(environment), np.argsort(-worth), worth, away, orders, count, rate,
        )  # fmt: skip
        return Together(int(state.step[replica]), count, rate)

    def terms(self, environment: UavOffload, step: int) -> dict[str, NDArray[np.float64]]:
        """Return the terms of the step that begins after ``step`` steps, [num_uavs] each."""
        level = min(step + 1 - self.first, len(self.count) - 1)
        cheapest_kj = environment.energy_kj(np.array([False, True])).min()
        energy = np.full(self.count.shape[1], cheapest_kj)
        return {**environment.earned(self.count[level], self.rate[level]), "energy": energy}

    def total(self, environment: UavOffload) -> float:
        """Return the rewards of all UAVs over what is left of the episode."""
        steps = range(self.first, environment.steps)
        return float(sum(environment.reward(self.terms(environment, step)).sum() for step in steps))


class Oracle:
    """The best way of a single UAV over fixed UEs, by backward induction over what is left of the episode."""

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch]."""
        problem, action = environment.finite(), np.empty(state.place.shape, np.int64)
        for left in np.unique(environment.steps - state.step):
            rows = environment.steps - state.step == left
            action[rows] = backward_induction(problem.following, problem.reward, int(left))[1][state.place[rows]]
        return shaped(action)


def _weights(environment: UavOffload) -> dict[str, float]:
    return {term.name: environment.weights.get(term.name, term.weight) for term in environment.terms()}


def _worths(environment: UavOffload) -> tuple[float, float, float]:
    """Return what a UE brings at the adequate rate, what it adds at the desired one, and what a bit/s brings."""
    weight = _weights(environment)
    each = weight["qos"] / environment.ues / 2
    return each, each, weight["offloaded"] * environment.step_s / 8e6


def _served_alone(environment: UavOffload, need_hz: NDArray[np.float32]) -> tuple[Any, Any]:
    """Return how many UEs one UAV would best serve from each place, and how fast, [batch, num_places]."""
    count, rate = np.empty(need_hz.shape[:2], np.int64), np.empty(need_hz.shape[:2])
    kernels.alone(
        need_hz, environment.bandwidth_hz, environment.adequate_bit_s, environment.desired_bit_s,
        *_worths(environment), count, rate,
    )  # fmt: skip
    return count, rate


def _gain(environment: UavOffload, count: NDArray[np.int64], rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what serving brings, without energy."""
    weight, terms = _weights(environment), environment.earned(count, rate)
    return np.asarray(weight["qos"] * terms["qos"] + weight["offloaded"] * terms["offloaded"])
