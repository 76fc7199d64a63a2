"""Guided selection."""

import numpy as np
import pytest

from ran.learning.participation import Oort
from tests.ran.learning.participation.candidates import candidates

SEEN = {
    "rounds": [2, 1, 1, 0],
    "last_round": [4, 1, 2, 0],
    "train_loss": [0.5, 1.0, 2.0, np.nan],
    "duration_s": [4, 8, 2, np.nan],
}


def test_utility_by_hand():
    """Oracle: by hand. n loss = 20, 20, 40 of 40; + sqrt(0.1 ln 5 / L), L = 4, 1, 2; x (4 / t)^2, t = 4, 8, 2."""
    now = candidates(4, history=SEEN, num_samples=[40, 20, 20, 90], round=4)
    bonus = np.sqrt(0.1 * np.log(5) / np.array([4, 1, 2]))
    expected = (np.array([0.5, 0.5, 1.0]) + bonus) * np.array([1.0, 0.25, 1.0])
    assert Oort(preferred_s=4.0).utility(now) == pytest.approx([*expected, 0.0], rel=1e-12)
    assert Oort().utility(now) == pytest.approx([*expected, 0.0], rel=1e-12)  # 4 s is the median
    slow = np.array([1 / 2**0.5, 1 / 4**0.5, 1.0])
    assert Oort(preferred_s=2.0, alpha=0.5).utility(now)[:3] == pytest.approx((expected * [1, 4, 1]) * slow, rel=1e-12)


def test_exploration_decays_and_gives_way():
    """Oracle: by hand. 10 places, 20 known, 20 new: 9 new in round 0, then 10 (0.9 0.5^r) rounded, at least 2."""
    heard = [1] * 20 + [0] * 20
    past = {"rounds": heard, "last_round": heard, "train_loss": [1.0] * 20 + [np.nan] * 20, "duration_s": heard}
    for number, expected in [(0, 9), (1, 4), (2, 2), (9, 2)]:
        chosen = Oort(count=10, epsilon_decay=0.5).select(candidates(40, history=past, round=number))
        assert len(chosen) == 10
        assert sum(ue >= 20 for ue in chosen) == expected
    everybody = {"rounds": [1] * 4, "last_round": [1] * 4, "train_loss": [1.0] * 4, "duration_s": [1.0] * 4}
    assert len(Oort(count=3).select(candidates(4, history=everybody))) == 3
    assert len(Oort(count=3, epsilon=0.0, epsilon_min=0.0).select(candidates(4))) == 3


def test_exploitation_samples_by_utility_above_the_cutoff():
    """Oracle: by hand. Losses 4, 2, 1.95, 1 and two places: the last has 2, so 1 is out; 4 first in 4 / 7.95."""
    past = {"rounds": [1] * 4, "last_round": [1] * 4, "train_loss": [4.0, 2.0, 1.95, 1.0], "duration_s": [1.0] * 4}
    rule = Oort(count=2, epsilon=0.0, epsilon_min=0.0)
    counts = np.zeros(4)
    # Round 0, so that ln R = 0 and the bonus is nil; seeds make the draws.
    for seed in range(2000):
        counts[rule.select(candidates(4, history=past, seed=seed))] += 1
    assert counts[3] == 0
    weights = np.array([4, 2, 1.95]) / 7.95
    in_two = [
        p + sum(q / (1 - q) * p for other, q in enumerate(weights) if other != place) for place, p in enumerate(weights)
    ]
    # Drawing one after the other: P(i first) + sum_j P(j first) P(i second | j).
    assert counts[:3] / 2000 == pytest.approx(in_two, abs=5 * 0.5 / np.sqrt(2000))


def test_a_loss_that_is_no_number_or_nil_does_not_stop_it():
    """Property: such utility is nought, and the places are still filled."""
    past = {"rounds": [1] * 3, "last_round": [1] * 3, "train_loss": [np.nan, np.inf, 0.0], "duration_s": [0.0] * 3}
    rule = Oort(count=2, epsilon=0.0, epsilon_min=0.0)
    assert rule.utility(candidates(3, history=past)).tolist() == [0.0, 0.0, 0.0]
    assert len(rule.select(candidates(3, history=past))) == 2
