"""Particle swarm optimisation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_INERTIA, _PULL = 0.7298, 1.49618


def particle_swarm(
    worth: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    rng: np.random.Generator,
    *,
    particles: int = 20,
    iterations: int = 40,
) -> tuple[NDArray[np.float64], float]:
    """Return a point in a box where a function is large, [size], and its value there (Kennedy and Eberhart 1995).

    v <- w v + c r_1 (own best - x) + c r_2 (swarm's best - x), x <- x + v, with w = 0.7298 and c = 1.49618: Clerc and
    Kennedy's constriction (2002). Points that leave the box stop at its edge.

    Args:
        worth: from points [particles, size] to values [particles].
        low: lower corner of the box, [size].
        high: upper corner.
        rng: of all that is random.
        particles: in the swarm.
        iterations: moves of the swarm.
    """
    place = rng.uniform(low, high, (particles, len(low)))
    velocity = np.zeros_like(place)
    best, value = place.copy(), worth(place)
    for _ in range(iterations):
        leader = best[value.argmax()]
        own, shared = rng.random((2, *place.shape))
        velocity = _INERTIA * velocity + _PULL * (own * (best - place) + shared * (leader - place))
        moved = np.clip(place + velocity, low, high)
        velocity, place = np.where(moved == place + velocity, velocity, 0.0), moved
        found = worth(place)
        better = found > value
        best[better], value[better] = place[better], found[better]
    return best[value.argmax()], float(value.max())
