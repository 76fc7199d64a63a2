"""The UEs with the best channels."""

import numpy as np

from ran.learning.participation import ChannelAware
from tests.ran.learning.participation.candidates import candidates


def test_the_best_by_rate():
    """Oracle: sorting by hand; a rate that is not known counts as none."""
    rates = [5.0, 9.0, 1.0, np.nan, 7.0]
    assert ChannelAware(count=2).select(candidates(5, rate_bit_s=rates)) == [1, 4]
    assert ChannelAware(count=4).select(candidates(5, rate_bit_s=rates)) == [0, 1, 2, 4]
    assert ChannelAware(count=2).select(candidates(5, rate_bit_s=rates, exhausted=frozenset({1}))) == [0, 4]


def test_a_share_is_left_to_chance():
    """Oracle: by hand. Of 4 places one is drawn from the others: the best three always, others in a third."""
    counts = np.zeros(6)
    for number in range(900):
        counts[ChannelAware(count=4, epsilon=0.25).select(candidates(6, rate_bit_s=range(6), round=number))] += 1
    assert counts[3:].tolist() == [900, 900, 900]
    assert np.abs(counts[:3] - 300).max() < 5 * np.sqrt(900 * 2 / 9)


def test_equal_rates_are_dealt_by_chance():
    """Property: no UE is preferred for its number."""
    seen = {
        ue
        for number in range(60)
        for ue in ChannelAware(count=1).select(candidates(5, rate_bit_s=[1] * 5, round=number))
    }
    assert seen == set(range(5))
