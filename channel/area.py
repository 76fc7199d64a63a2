"""The ground that a layout covers: where UEs may be dropped and walk."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_NORMALS_DEG = np.array([30.0, 90.0, 150.0])


class Area(ABC):
    """A bounded region of the ground."""

    @abstractmethod
    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return points uniform in the region, metres, [count, 2]."""

    @property
    @abstractmethod
    def bounds_m(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper corner of the bounding box, metres, [2] each."""


@dataclass(frozen=True)
class Rectangle(Area):
    """An upright rectangle between two corners, metres, [2] each."""

    low_m: NDArray[np.float64]
    high_m: NDArray[np.float64]

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return points uniform in the rectangle, metres, [count, 2]."""
        return rng.uniform(self.low_m, self.high_m, (count, 2))

    @property
    def bounds_m(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The two corners."""
        return self.low_m, self.high_m


@dataclass(frozen=True)
class Circle(Area):
    """A disc around the origin."""

    radius_m: float

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return points uniform in the disc, metres, [count, 2]."""
        radius_m = self.radius_m * np.sqrt(rng.random(count))
        angle = rng.uniform(0.0, 2 * np.pi, count)
        return np.stack([radius_m * np.cos(angle), radius_m * np.sin(angle)], axis=-1)

    @property
    def bounds_m(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners of the square around the disc."""
        corner = np.full(2, self.radius_m)
        return -corner, corner


@dataclass(frozen=True)
class Hexagons(Area):
    """The hexagonal cells of sites on a grid with neighbours at 30, 90, ... degrees.

    Attributes:
        centre_m: sites, metres, [num_sites, 2].
        inter_site_distance_m: twice the distance from a site to each edge of its hexagon.
    """

    centre_m: NDArray[np.float64]
    inter_site_distance_m: float

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return points uniform in the union of the hexagons, metres, [count, 2]."""
        normal = np.stack([np.cos(np.radians(_NORMALS_DEG)), np.sin(np.radians(_NORMALS_DEG))])  # [2, 3]
        half_m = self.inter_site_distance_m / 2
        point_m = np.zeros((count, 2))
        todo = np.arange(count)
        while len(todo):
            point_m[todo] = rng.uniform(-1.0, 1.0, (len(todo), 2)) * half_m * np.array([2 / np.sqrt(3), 1.0])
            todo = todo[np.abs(point_m[todo] @ normal).max(axis=1) > half_m]
        return point_m + self.centre_m[rng.integers(len(self.centre_m), size=count)]

    @property
    def bounds_m(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Corners of the box around the hexagons."""
        half = self.inter_site_distance_m / 2 * np.array([2 / np.sqrt(3), 1.0])
        return self.centre_m.min(axis=0) - half, self.centre_m.max(axis=0) + half
