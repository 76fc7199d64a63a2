"""Baselines of UavOffload."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from agents.draws import uniforms
from agents.environment import Rule
from agents.particle_swarm import particle_swarm
from agents.rules import Random
from agents.tabular import Table, learn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envs.uav_offload import UavOffload, UavState

_MOST_PLACES = 500
"""Of a grid that is still solved and learned on tables."""


def rules(environment: UavOffload) -> dict[str, Rule]:
    """Return all of them by name; fixed UEs add learners on tables, and a single UAV over them an oracle."""
    from agents.envs.uav_offload_bounds import Best, Oracle

    found: dict[str, Rule] = {"random": Random(), "hover": Hover(), "greedy": Greedy(), "particle_swarm": Swarm()}
    if environment.users == "fixed" and environment.num_places <= _MOST_PLACES:
        found |= {"sarsa": Learnt("sarsa"), "q_learning": Learnt("q_learning")}
        if environment.uavs == 1:
            found["oracle"] = Oracle()
    return {**found, "bound": Best()}


class Hover:
    """Stay where the episode began."""

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_uavs]."""
        return shaped(np.zeros(state.place.shape, np.int64))


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
        return shaped(action)


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
        return shaped(np.where((x == 0) & (y == 0), 0, np.where(np.abs(x) >= np.abs(y), sideways, upwards)))


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


class Learnt:
    """What SARSA or Q-learning makes of tables, one a UAV, over its own place: see ``agents.tabular.learn``.

    Learns when it is first asked, some seconds, in episodes that no comparison plays.
    """

    def __init__(self, method: Literal["sarsa", "q_learning"]) -> None:
        self._method = method
        self._table: Table | None = None

    def __call__(self, environment: UavOffload, state: UavState, seen: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return actions, [batch, num_uavs]."""
        if self._table is None:
            self._table = learn(environment, self._method, _places, environment.num_places)
        return self._table(environment, state, seen)


def _places(environment: UavOffload, state: UavState) -> NDArray[np.int64]:  # noqa: ARG001
    return state.place


def _rewards(
    environment: UavOffload, need_hz: NDArray[np.float32], place: NDArray[np.int64], moves: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the sum over UAVs of a step's rewards, [batch]."""
    server, rate = np.empty((len(place), environment.ues), np.int64), np.empty(place.shape)
    count = environment.offer(place, need_hz, server, rate)
    terms = {**environment.earned(count, rate), "energy": environment.energy_kj(moves)}
    return np.asarray(environment.reward(terms).sum(axis=1))


def shaped(action: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return actions as the space has them: of one UAV without its axis."""
    return action[:, 0] if action.shape[1] == 1 else action
