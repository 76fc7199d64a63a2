"""Counter-based draws: the oracles are the compiled generator of the slot loop, and the distributions."""

import numpy as np
from scipy.stats import kstest

from agents.draws import episode_keys, normals, uniforms


def test_a_replica_draws_alone_what_it_draws_in_a_batch() -> None:
    """Property: rows depend on their own key and draw only."""
    keys = episode_keys(np.arange(5), np.array([0, 0, 3, 1, 0]))
    together = uniforms(keys, np.array([1, 2, 3, 4, 5]), 7)
    for row in range(5):
        np.testing.assert_array_equal(uniforms(keys[row : row + 1], row + 1, 7)[0], together[row])


def test_seeds_episodes_and_draws_are_told_apart() -> None:
    """Property: 100 seeds x 10 episodes x 10 draws give as many different numbers."""
    seeds, episodes = (part.ravel() for part in np.meshgrid(np.arange(100), np.arange(10)))
    keys = episode_keys(seeds, episodes)
    assert len(np.unique([uniforms(keys, draw, 1) for draw in range(10)])) == 10_000


def test_distributions() -> None:
    """Oracle: Kolmogorov-Smirnov, over keys as well as within a row."""
    keys = episode_keys(np.arange(20_000), np.zeros(20_000, np.int64))
    assert kstest(uniforms(keys, 3, 1)[:, 0], "uniform").pvalue > 1e-3
    assert kstest(normals(keys[:1], 3, 20_000)[0], "norm").pvalue > 1e-3
    two = normals(keys, 9, 2)
    assert abs(np.corrcoef(two.T)[0, 1]) < 0.03
