"""A random sample of UEs."""

import numpy as np
import pytest

from ran.learning.participation import Uniform
from tests.ran.learning.participation.candidates import candidates


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Uniform(), 2),
        (Uniform(fraction=0.25), 5),
        (Uniform(fraction=0.01), 1),
        (Uniform(count=7), 7),
        (Uniform(count=99), 20),
    ],
)
def test_how_many(rule, expected):
    """Oracle: by hand from max(1, C K) of K = 20."""
    assert len(rule.select(candidates(20))) == expected


def test_every_ue_is_as_likely_as_any_other():
    """Oracle: the binomial's 5 sigma over 2000 rounds."""
    counts = np.zeros(10)
    for number in range(2000):
        counts[Uniform(count=3).select(candidates(10, round=number))] += 1
    assert np.abs(counts - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)
