"""Oracles: mutual information in closed form, Bernoulli's inequality, base graphs of TS 38.212 by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran.phy.harq_combining import CHASE, INCREMENTAL_REDUNDANCY, combined_sinr, mother_rate

SINR = st.floats(1e-3, 1e3)
RATES = st.tuples(st.floats(0.05, 0.95), st.sampled_from([1 / 3, 1 / 5]))


@pytest.mark.parametrize(
    ("tb_bits", "code_rate", "denominator"),
    [
        (24, 0.9, 5), (292, 0.93, 5), (293, 0.68, 3), (293, 0.67, 5), (3824, 0.67, 5), (3824, 0.671, 3),
        (3825, 0.67, 3), (3825, 0.26, 3), (3825, 0.25, 5), (1_000_000, 0.117, 5), (1_000_000, 0.926, 3),
    ],
)  # fmt: skip
def test_base_graphs_equal_the_standard(tb_bits, code_rate, denominator):
    """Oracle: TS 38.212 clause 7.2.2 at its edges; base graph 1 has rate 1/3 (22/66), 2 has 1/5 (10/50)."""
    assert mother_rate(tb_bits, code_rate) == pytest.approx(1 / denominator)


@given(SINR, st.integers(1, 16), RATES)
def test_equal_attempts_follow_the_closed_form(sinr, attempts, rates):
    """Oracle: n attempts of new parity give n log2(1 + gamma); beyond m of them a longer code is repeated n / m times.

    Catches adding SINRs where information adds, and parity that never ends.
    """
    rate, mother = rates
    got = combined_sinr(attempts * sinr, attempts, rate, mother, INCREMENTAL_REDUNDANCY)
    fresh = max(1.0, min(attempts, rate / mother))
    assert math.log2(1 + got) == pytest.approx(fresh * math.log2(1 + sinr * attempts / fresh), rel=1e-9)
    assert combined_sinr(attempts * sinr, attempts, rate, mother, CHASE) == attempts * sinr
    if attempts <= rate / mother:
        assert got == pytest.approx((1 + sinr) ** attempts - 1, rel=1e-9)


@given(st.lists(SINR, min_size=1, max_size=8), RATES)
def test_new_parity_is_never_worse_than_repetition_and_every_attempt_helps(sinrs, rates):
    """Property: IR >= chase (Bernoulli), equal on one attempt or at or below the mother rate; rising with attempts."""
    rate, mother = rates
    last = 0.0
    for attempts in range(1, len(sinrs) + 1):
        total = sum(sinrs[:attempts])
        got = combined_sinr(total, attempts, rate, mother, INCREMENTAL_REDUNDANCY)
        assert got >= total * (1 - 1e-9)
        assert got > last
        last = got
        if attempts == 1 or rate <= mother:
            assert got == pytest.approx(total, rel=1e-9)


def test_gain_by_hand():
    """Oracle: two attempts at 0 dB and rate 2/3: (1 + 1)^2 - 1 = 3 against 2; four: (1 + 4/2)^2 - 1 = 8 against 4."""
    assert combined_sinr(2.0, 2, 2 / 3, 1 / 3, INCREMENTAL_REDUNDANCY) == pytest.approx(3.0)
    assert combined_sinr(4.0, 4, 2 / 3, 1 / 3, INCREMENTAL_REDUNDANCY) == pytest.approx(8.0)
