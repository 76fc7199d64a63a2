"""Where UEs are at any time: pure functions of time, asked for in any order."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channel.area import Area
from channel.seeding import stream

_STOPS_AT_ONCE = 32
_EAST_NORTH_WEST_SOUTH = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])


class Trajectory(ABC):
    """The motion of all UEs."""

    @abstractmethod
    def position_at(self, time_s: float) -> NDArray[np.float64]:
        """Return positions at ``time_s`` >= 0 in metres, [num_ues, 3]."""

    @abstractmethod
    def velocity_at(self, time_s: float) -> NDArray[np.float64]:
        """Return velocities from ``time_s`` >= 0 on in m/s, [num_ues, 3]."""


@dataclass(frozen=True)
class StraightLine(Trajectory):
    """UEs that go straight on for ever: start in metres and velocity in m/s, [num_ues, 3] each."""

    start_m: NDArray[np.float64]
    velocity_m_s: NDArray[np.float64]

    def position_at(self, time_s: float) -> NDArray[np.float64]:
        """Return positions at ``time_s`` in metres, [num_ues, 3]."""
        return self.start_m + self.velocity_m_s * time_s

    def velocity_at(self, time_s: float) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the velocities in m/s, [num_ues, 3]."""
        return self.velocity_m_s


@dataclass
class Waypoints(Trajectory):
    """Straight legs between points; before the first and after the last point a UE stands still.

    Attributes:
        time_s: times at which each UE is at its points, never falling, [num_ues, num_points]; infinite for unused ones.
        point_m: the points in metres, [num_ues, num_points, 3].
    """

    time_s: NDArray[np.float64]
    point_m: NDArray[np.float64]

    def position_at(self, time_s: float) -> NDArray[np.float64]:
        """Return positions at ``time_s`` in metres, [num_ues, 3]."""
        start_s, _, start_m, velocity = self._leg(time_s)
        return start_m + velocity * np.maximum(time_s - start_s, 0.0)[:, None]

    def velocity_at(self, time_s: float) -> NDArray[np.float64]:
        """Return the velocities of the legs that hold ``time_s`` in m/s, [num_ues, 3]."""
        start_s, end_s, _, velocity = self._leg(time_s)
        return np.where(((start_s <= time_s) & (time_s < end_s))[:, None], velocity, 0.0)

    def _leg(self, time_s: float) -> tuple[NDArray[np.float64], ...]:
        """Return start s [num_ues], end s, start m [num_ues, 3] and velocity m/s of the legs that hold ``time_s``."""
        ue = np.arange(len(self.time_s))
        begin = np.maximum(np.sum(self.time_s <= time_s, axis=1) - 1, 0)
        end = np.minimum(begin + 1, self.time_s.shape[1] - 1)
        start_s, end_s = self.time_s[ue, begin], self.time_s[ue, end]
        way_m = self.point_m[ue, end] - self.point_m[ue, begin]
        moving = np.isfinite(end_s) & (end_s > start_s)
        duration_s = np.where(moving, end_s - start_s, 1.0)
        return start_s, end_s, self.point_m[ue, begin], np.where(moving[:, None], way_m / duration_s[:, None], 0.0)


class Walk(Waypoints):
    """Legs without end, drawn in batches as time goes on.

    What is drawn depends on the seed and the number of the batch only, so a walk remembers nothing but what it would
    draw again.
    """

    def __init__(self, start_m: NDArray[np.float64], seed: int) -> None:
        super().__init__(time_s=np.zeros((len(start_m), 1)), point_m=start_m[:, None, :])
        self._seed = seed
        self._batches = 0

    def _leg(self, time_s: float) -> tuple[NDArray[np.float64], ...]:
        while self.time_s[:, -1].min() <= time_s:
            duration_s, point_m = self._next(stream(self._seed, "mobility", "legs", self._batches))
            self._batches += 1
            self.time_s = np.hstack([self.time_s, self.time_s[:, -1:] + np.cumsum(duration_s, axis=1)])
            self.point_m = np.concatenate([self.point_m, point_m], axis=1)
        return super()._leg(time_s)

    @abstractmethod
    def _next(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return durations in s [num_ues, legs] and ends in m [num_ues, legs, 3] of the next legs."""


class RandomWaypointWalk(Walk):
    """Straight to a point uniform in ``area`` at a speed uniform in ``speed_m_s``, a pause, and on to another."""

    def __init__(
        self, start_m: NDArray[np.float64], seed: int, *, area: Area, speed_m_s: tuple[float, float], pause_s: float
    ) -> None:
        super().__init__(start_m, seed)
        self._area, self._speed_m_s, self._pause_s = area, speed_m_s, pause_s

    def _next(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        num_ues = len(self.point_m)
        goal = np.repeat(self.point_m[:, -1:], _STOPS_AT_ONCE, axis=1)  # keeps the height
        goal[..., :2] = self._area.draw(num_ues * _STOPS_AT_ONCE, rng).reshape(num_ues, _STOPS_AT_ONCE, 2)
        way_m = np.diff(goal, axis=1, prepend=self.point_m[:, -1:])
        travel_s = np.linalg.norm(way_m, axis=-1) / rng.uniform(*self._speed_m_s, way_m.shape[:2])
        duration_s = np.stack([travel_s, np.full_like(travel_s, self._pause_s)], axis=-1)
        return duration_s.reshape(num_ues, -1), np.repeat(goal, 2, axis=1)


class ManhattanWalk(Walk):
    """Along streets: at every crossing straight on with probability 1 - turn, else left or right alike.

    Streets run along the lines x, y = (k + 1/2) ``block_m`` that cross ``area``'s bounding box; at its rim a UE turns
    where there is a street.
    """

    def __init__(
        self,
        start_m: NDArray[np.float64],
        seed: int,
        *,
        area: Area,
        block_m: float,
        speed_m_s: float,
        turn_probability: float,
    ) -> None:
        low_m, high_m = area.bounds_m
        self._low = np.ceil(low_m / block_m - 0.5)
        self._high = np.floor(high_m / block_m - 0.5)
        assert (self._high > self._low).all(), "the area needs two streets each way"
        self._block_m, self._speed_m_s, self._turn = block_m, speed_m_s, turn_probability
        rng = stream(seed, "mobility", "start")
        place, self._heading = self._on_street(start_m[:, :2] / block_m - 0.5, rng)
        super().__init__(np.column_stack([(place + 0.5) * block_m, start_m[:, 2]]), seed)

    def _on_street(
        self, place: NDArray[np.float64], rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return positions in blocks moved to the nearest street [num_ues, 2], and headings along it [num_ues]."""
        place = np.clip(place, self._low, self._high)
        line = np.rint(place)
        across = np.argmin(np.abs(place - line), axis=1)  # 0: on a north-south street
        ue = np.arange(len(place))
        place[ue, across] = line[ue, across]
        heading = np.where(across == 0, 1, 0) + 2 * rng.integers(2, size=len(place))
        ahead = _EAST_NORTH_WEST_SOUTH[heading]
        blocked = ((place + 1e-9 * ahead < self._low) | (place + 1e-9 * ahead > self._high)).any(axis=1)
        return place, np.where(blocked, (heading + 2) % 4, heading)

    def _next(self, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        place = self.point_m[:, -1, :2] / self._block_m - 0.5
        crossings, duration = [], []
        for draw in rng.random((_STOPS_AT_ONCE, len(place))):
            ahead = _EAST_NORTH_WEST_SOUTH[self._heading]
            # The first leg starts between crossings, and rounding must not cut a leg to nothing.
            reached = np.where(ahead > 0, np.floor(place + 1e-6) + 1, np.ceil(place - 1e-6) - 1)
            crossing = np.where(ahead != 0, reached, np.rint(place))
            duration.append(np.abs(crossing - place).sum(axis=1) * self._block_m / self._speed_m_s)
            crossings.append(crossing)
            place = crossing
            self._heading = self._turned(place, draw)
        ground_m = (np.stack(crossings, axis=1) + 0.5) * self._block_m
        height_m = np.repeat(self.point_m[:, -1:, 2:], _STOPS_AT_ONCE, axis=1)
        return np.stack(duration, axis=1), np.concatenate([ground_m, height_m], axis=-1)

    def _turned(self, place: NDArray[np.float64], draw: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the headings with which UEs leave the crossings ``place``; ``draw`` is uniform in 0 to 1."""
        choices = (self._heading[:, None] + np.array([0, 1, 3])) % 4  # straight on, left, right
        beyond = place[:, None, :] + _EAST_NORTH_WEST_SOUTH[choices]
        open_ = ((beyond >= self._low) & (beyond <= self._high)).all(axis=-1)
        weight = np.where(open_, [1.0 - self._turn, self._turn / 2, self._turn / 2], 0.0) + 1e-12 * open_
        share = np.cumsum(weight, axis=1) / weight.sum(axis=1, keepdims=True)
        return np.asarray(choices[np.arange(len(place)), np.argmax(draw[:, None] < share, axis=1)])
