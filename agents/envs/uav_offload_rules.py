"""Baselines of UavOffload, and what no policy can beat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.draws import uniforms
from agents.environment import Bound, Rule
from agents.envs import uav_offload_kernels as kernels
from agents.particle_swarm import particle_swarm
from agents.rules import Random
from agents.tabular import backward_induction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envs.uav_offload import UavOffload, UavState


def rules(environment: UavOffload) -> dict[str, Rule]:
    """Return all of them by name; a single UAV over fixed UEs also has an oracle."""
    found: dict[str, Rule] = {
        "random": Random(), "hover": Hover(), "greedy": Greedy(), "particle_swarm": Swarm(), "bound": AloneBound(),
    }  # fmt: skip
    if environment.uavs == 1 and environment.users == "fixed":
        found["oracle"] = Oracle()
    return found


class Hover:
    """Stay where the episode began."""

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_uavs]."""
        return _shaped(np.zeros(state.place.shape, np.int64))


class Greedy:
    """UAV after UAV takes the move after which the sum of this step's rewards is largest, the others staying."""

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_uavs]."""
        action, place = np.zeros(state.place.shape, np.int64), state.place.copy()
        allowed = environment.mask(state).reshape(*place.shape, 5)
        for uav in range(environment.uavs):
            worth = np.empty((len(place), 5))
            for move in range(5):
                place[:, uav] = environment.moved(state.place[:, uav], np.full(len(place), move))
                worth[:, move] = _rewards(environment, state.need_hz, place, place != state.place)
            action[:, uav] = np.where(allowed[:, uav], worth, -np.inf).argmax(axis=1)
            place[:, uav] = environment.moved(state.place[:, uav], action[:, uav])
        return _shaped(action)


class Swarm:
    """Fly to where a particle swarm would place all UAVs for this episode's UEs, and hover there.

    The swarm looks at the reward of a step spent hovering. Placements of episodes under way are kept, by their keys.
    """

    def __init__(self) -> None:
        self._target: dict[int, NDArray[np.int64]] = {}

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_uavs]."""
        keys = [int(key) for key in state.key]
        self._target = {key: self._target[key] for key in keys if key in self._target}
        for replica, key in enumerate(keys):
            if key not in self._target:
                self._target[key] = _placement(environment, state, replica)
        away = np.stack([self._target[key] for key in keys]) - np.stack(np.divmod(state.place, environment.side), -1)
        y, x = away[..., 0], away[..., 1]
        sideways = np.where(x > 0, 1, 3)
        upwards = np.where(y > 0, 2, 4)
        return _shaped(np.where((x == 0) & (y == 0), 0, np.where(np.abs(x) >= np.abs(y), sideways, upwards)))


def _placement(environment: UavOffload, state: UavState, replica: int) -> NDArray[np.int64]:
    """Return row and column of each UAV's place to be, [num_uavs, 2]."""
    from scipy.optimize import linear_sum_assignment

    side, uavs = environment.side, environment.uavs

    def cells(points: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.minimum(points.astype(np.int64), side - 1).reshape(-1, uavs, 2)

    def worth(points: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = cells(points)
        place = rows[..., 0] * side + rows[..., 1]
        need_hz = np.broadcast_to(state.need_hz[replica], (len(place), *state.need_hz.shape[1:]))
        return _rewards(environment, need_hz, place, np.zeros(place.shape, bool))

    rng = np.random.default_rng(int(uniforms(state.key[replica : replica + 1], 1 << 41, 1)[0, 0] * 2**32))
    low = np.zeros(2 * uavs)
    best, _ = particle_swarm(worth, low, low + side, rng)
    target = cells(best[None])[0]
    now = np.stack(np.divmod(state.place[replica], side), -1)
    way = np.abs(now[:, None] - target).sum(axis=-1)
    return target[linear_sum_assignment(way)[1]]


class AloneBound(Bound):
    """No policy gets more: every UAV flies the best way that it could fly if all UEs were its own.

    UAVs share the UEs out among them, so all together get no more than the sum of what each would get if it might
    choose its UEs freely; and for one UAV, which then depends on no other, backward induction finds the best way. Holds
    where service is worth something and flying costs: weights of the signs that they have by default.
    """

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_uavs]."""
        return _shaped(self._solved(environment, state)[0])

    def most(self, environment: UavOffload, state: UavState) -> dict[str, NDArray[np.float64]]:
        """Return the terms of the step that begins."""
        action, count, rate = self._solved(environment, state)
        row, after = np.arange(len(action))[:, None], environment.moved(state.place, action)
        moves = environment.energy_kj(after != state.place)
        return {**environment.earned(count[row, after], rate[row, after]), "energy": moves}

    def _solved(self, environment: UavOffload, state: UavState) -> tuple[Any, ...]:
        from agents.envs.uav_offload import _moved

        weight = {term.name: environment.weights.get(term.name, term.weight) for term in environment.terms()}
        count = np.empty(state.need_hz.shape[:2], np.int64)
        rate = np.empty(state.need_hz.shape[:2])
        each = weight["qos"] / environment.ues / 2
        kernels.alone(
            state.need_hz, environment.bandwidth_hz, environment.adequate_bit_s, environment.desired_bit_s, each, each,
            weight["offloaded"] * environment.step_s / 8e6, count, rate,
        )  # fmt: skip
        following, inside = _moved(environment.side)
        terms = environment.earned(count, rate)
        gain = weight["qos"] * terms["qos"] + weight["offloaded"] * terms["offloaded"]
        costs = weight["energy"] * environment.energy_kj(np.arange(5) > 0)
        reward = np.where(inside, gain[:, following] + costs, -np.inf)
        # Episodes of one batch may have different ages.
        action = np.empty(state.place.shape, np.int64)
        for left in np.unique(environment.steps - state.step):
            rows = np.flatnonzero(environment.steps - state.step == left)
            best = backward_induction(following, reward[rows], int(left))[1]
            action[rows] = np.take_along_axis(best, state.place[rows], axis=1)
        return action, count, rate


class Oracle:
    """The best way of a single UAV over fixed UEs, by backward induction over what is left of the episode."""

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch]."""
        problem, action = environment.finite(), np.empty(state.place.shape, np.int64)
        for left in np.unique(environment.steps - state.step):
            rows = environment.steps - state.step == left
            action[rows] = backward_induction(problem.following, problem.reward, int(left))[1][state.place[rows]]
        return _shaped(action)


def _rewards(
    environment: UavOffload, need_hz: NDArray[np.float32], place: NDArray[np.int64], moves: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the sum over UAVs of a step's rewards, [batch]."""
    server, rate = np.empty((len(place), environment.ues), np.int64), np.empty(place.shape)
    count = environment.offer(place, need_hz, server, rate)
    terms = {**environment.earned(count, rate), "energy": environment.energy_kj(moves)}
    return np.asarray(environment.reward(terms).sum(axis=1))


def _shaped(action: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return actions as the space has them: of one UAV without its axis."""
    return action[:, 0] if action.shape[1] == 1 else action
