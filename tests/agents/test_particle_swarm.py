"""The particle swarm on functions whose largest value is known."""

from __future__ import annotations

import numpy as np

from agents.particle_swarm import particle_swarm


def test_finds_the_top_of_a_hill() -> None:
    """Oracle: closed form; a quadratic's top inside the box, and at its corner where the top lies outside."""
    low, high = np.full(4, -5.0), np.full(4, 5.0)
    for top, best in ((np.array([1.0, -2.0, 3.0, 0.5]), None), (np.full(4, 9.0), high)):
        point, value = particle_swarm(
            lambda x, top=top: -np.sum((x - top) ** 2, axis=1), low, high, np.random.default_rng(0), iterations=200
        )
        expected = top if best is None else best
        np.testing.assert_allclose(point, expected, atol=1e-3)
        assert abs(value + np.sum((expected - top) ** 2)) < 1e-2


def test_finds_the_highest_of_many_hills() -> None:
    """Oracle: Rastrigin's function, largest (0) at the origin, among hundreds of lesser hills, in most runs."""
    low, high = np.full(2, -5.12), np.full(2, 5.12)

    def worth(x: np.ndarray) -> np.ndarray:
        return -np.sum(x**2 - 10 * np.cos(2 * np.pi * x) + 10, axis=1)

    runs = [particle_swarm(worth, low, high, np.random.default_rng(seed), iterations=100)[1] for seed in range(10)]
    assert np.sum(np.array(runs) > -1e-2) >= 7
