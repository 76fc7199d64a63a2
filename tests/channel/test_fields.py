import numpy as np
import pytest
from scipy import stats

from channel.fields import SpatialFields


def step(num, distance_m, rng):
    """Return steps of one length in random directions, [num, 2]."""
    angle = rng.uniform(0, 2 * np.pi, num)
    return distance_m * np.stack([np.cos(angle), np.sin(angle)], axis=-1)


@pytest.mark.parametrize("correlation_m", [7.0, 50.0])
def test_autocorrelation_follows_the_exponential(correlation_m):
    """Oracle: exp(-d / d_corr) within 0.05 at all distances (TR 38.901 clause 7.4.4), 3,000 places and 24 sites.

    Catches a one-dimensional spectrum, wave numbers in turns and a correlation distance that is squared.
    """
    fields = SpatialFields.draw(1, "test", [correlation_m], 24)
    rng = np.random.default_rng(2)
    place = rng.uniform(-100 * correlation_m, 100 * correlation_m, (3000, 2))
    here = fields.at(place)
    for ratio in (0.02, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0):
        there = fields.at(place + step(len(place), ratio * correlation_m, rng))
        assert np.mean(here * there) / np.mean(here**2) == pytest.approx(np.exp(-ratio), abs=0.05)


def test_values_are_standard_normal_and_independent():
    """Oracle: the normal law over far places (Kolmogorov-Smirnov), and no correlation between kinds, sites or seeds."""
    place = np.random.default_rng(3).uniform(-5000, 5000, (2000, 2))
    values = SpatialFields.draw(4, "test", [10.0, 10.0], 2).at(place)
    flat = values.reshape(len(place), -1)
    assert min(stats.kstest(column, "norm").pvalue for column in flat.T) > 0.01 / 4  # four tests at 1 %
    flat = np.column_stack([flat, SpatialFields.draw(5, "test", [10.0], 1).at(place)[:, 0]])
    assert np.abs(np.corrcoef(flat.T) - np.eye(5)).max() < 0.08


def test_a_value_depends_on_its_own_place_alone():
    """Property: bits are equal for one point and for many, for one kind and for all."""
    fields = SpatialFields.draw(6, "test", [10.0, 20.0, 30.0], 3)
    place = np.random.default_rng(7).uniform(-500, 500, (37, 3))
    together = fields.at(place)
    for point in (0, 17, 36):
        np.testing.assert_array_equal(fields.at(place[point : point + 1], [2])[0, :, 0], together[point, :, 2])
