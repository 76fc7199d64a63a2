"""Oracles: Sionna's PHYAbstraction, EESM and TBS; the arithmetic of TS 38.214; Shannon."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from channel.sionna_adapter import sionna_state
from ran.phy.link_abstraction import link_tables
from ran.phy.link_kernels import block_error_rate, choose_mcs, effective_sinr, uniform

RE_PER_PRB = (84, 132, 156)

# TS 38.214 table 5.1.3.1-1 (Q_m, R x 1024) and table 5.1.3.2-1.
MCS_TABLE_1 = [
    (2, 120), (2, 157), (2, 193), (2, 251), (2, 308), (2, 379), (2, 449), (2, 526), (2, 602), (2, 679),
    (4, 340), (4, 378), (4, 434), (4, 490), (4, 553), (4, 616), (4, 658),
    (6, 438), (6, 466), (6, 517), (6, 567), (6, 616), (6, 666), (6, 719), (6, 772), (6, 822), (6, 873), (6, 910),
    (6, 948),
]  # fmt: skip
SMALL_TBS = [
    *range(24, 193, 8), *range(208, 385, 16), *range(408, 577, 24), *range(608, 737, 32), *range(768, 929, 40), 984,
    1032, 1064, 1128, 1160, 1192, 1224, 1256, 1288, 1320, 1352, 1416, 1480, 1544, 1608, 1672, 1736, 1800, 1864, 1928,
    2024, 2088, 2152, 2216, 2280, 2408, 2472, 2536, 2600, 2664, 2728, 2792, 2856, 2976, 3104, 3240, 3368, 3496, 3624,
    3752, 3824,
]  # fmt: skip


def tbs_of_the_standard(re: int, order: int, rate_1024: int) -> int:
    """Return the transport block size by TS 38.214 clause 5.1.3.2 in exact arithmetic."""
    info = Fraction(re * order * rate_1024, 1024)
    if info <= 3824:
        step = 2 ** max(3, math.floor(math.log2(info)) - 6)
        quantised = max(24, step * (info // step))
        return next(size for size in SMALL_TBS if size >= quantised)
    step = 2 ** (math.floor(math.log2(info - 24)) - 5)
    quantised = max(3840, step * math.floor((info - 24) / step + Fraction(1, 2)))
    if rate_1024 <= 256:
        blocks = math.ceil((quantised + 24) / 3816)
    else:
        blocks = math.ceil((quantised + 24) / 8424) if quantised > 8424 else 1
    return 8 * blocks * math.ceil(Fraction(quantised + 24, 8 * blocks)) - 24


@pytest.fixture(scope="module")
def tables():
    return link_tables(1, RE_PER_PRB)


@pytest.fixture(scope="module")
def sionna_phy():
    with sionna_state(seed=1, precision="double"):
        from sionna.sys import PHYAbstraction

        return PHYAbstraction(device="cpu", precision="double")


def test_mcs_table_equals_the_standard(tables):
    """Oracle: TS 38.214 table 5.1.3.1-1 typed in above. Catches a shifted or PUSCH table."""
    expected = [order * rate / 1024 for order, rate in MCS_TABLE_1]
    np.testing.assert_allclose(tables.efficiency, expected, rtol=1e-6)


def test_transport_block_sizes_equal_the_standard(tables):
    """Oracle: clause 5.1.3.2 in exact fractions, every 7th PRB count of every MCS and slot kind."""
    for kind, re in enumerate(RE_PER_PRB):
        for mcs, (order, rate) in enumerate(MCS_TABLE_1):
            for prbs in range(1, 274, 7):
                got = tables.transport_block_bits[kind, mcs, prbs]
                assert got == tbs_of_the_standard(re * prbs, order, rate), (re, mcs, prbs)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_effective_sinr_tbs_and_bler_equal_sionna(data, tables, sionna_phy):
    """Oracle: Sionna's PHYAbstraction on the same SINRs, MCS and PRBs, to 1e-5. Catches a wrong beta, grid or mean."""
    import torch

    mcs = data.draw(st.integers(tables.first_mcs, 28))
    prbs = data.draw(st.integers(1, 52))
    sinr_db = np.array(data.draw(st.lists(st.floats(-12, 32), min_size=prbs, max_size=prbs)))
    sinr = 10 ** (sinr_db / 10)
    ours = effective_sinr(sinr, np.ones(prbs), prbs, tables.beta[mcs])
    # 132 data REs per PRB: 12 subcarriers in 11 symbols. [num_ofdm_symbols, num_subcarriers, num_ut, num_streams]
    grid = torch.tensor(np.repeat(sinr, 12), dtype=torch.float64)[None, :, None, None].expand(11, -1, 1, 1)
    _, _, theirs, tbler, _ = sionna_phy(
        torch.tensor([mcs], dtype=torch.int32), sinr=grid, mcs_table_index=1, mcs_category=1
    )
    # Where every exp(-sinr / beta) underflows, Sionna's mean is log(0) and its result the upper clip.
    if np.exp(-sinr.min() / tables.beta[mcs]) > 1e-300:
        assert ours == pytest.approx(float(theirs), rel=1e-5)
    error = block_error_rate(
        tables.bler, mcs, tables.code_block_bits[1, mcs, prbs], tables.num_code_blocks[1, mcs, prbs], float(theirs)
    )
    assert error == pytest.approx(float(tbler), abs=1e-5)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20), st.floats(0.5, 40.0))
def test_effective_sinr_lies_between_the_worst_and_the_mean(sinr, beta):
    """Property: Jensen; and equal SINRs give themselves. Catches a lost weight or a missing logarithm."""
    values = np.array(sinr)
    got = effective_sinr(values, np.ones(len(values)), len(values), beta)
    assert min(sinr) * (1 - 1e-9) <= got <= np.mean(values) * (1 + 1e-9)
    assert effective_sinr(values[:1], np.ones(1), 1, beta) == pytest.approx(sinr[0])


@settings(max_examples=100, deadline=None)
@given(st.floats(-6, 26), st.integers(1, 51), st.integers(0, 28))
def test_chosen_mcs_is_the_highest_that_meets_the_target(tables, snr_db, prbs, start):
    """Oracle: exhaustive search over the same error rates, from any starting point."""
    sinr = np.array([10 ** (snr_db / 10)])
    kind = 1

    def error(mcs):
        return block_error_rate(
            tables.bler, mcs, tables.code_block_bits[kind, mcs, prbs], tables.num_code_blocks[kind, mcs, prbs], sinr[0]
        )

    got = choose_mcs(
        sinr, np.ones(1), 1, prbs, start, 0.1, kind, tables.efficiency, tables.beta, tables.bler,
        tables.code_block_bits, tables.num_code_blocks, tables.first_mcs,
    )  # fmt: skip
    good = [mcs for mcs in range(tables.first_mcs, 29) if error(mcs) <= 0.1]
    if not good:
        assert got == tables.first_mcs
        return
    # Curves of neighbouring MCS may cross within the tables' resolution: the climb stops at the first gap.
    assert error(got) <= 0.1
    assert got == len(tables.efficiency) - 1 or error(got + 1) > 0.1


def test_decoding_draws_are_uniform_and_independent():
    """Oracle: Kolmogorov-Smirnov and correlation. Catches a counter that shares bits between slots, UEs or attempts."""
    draws = np.array([[uniform(7, slot, ue, 1) for ue in range(50)] for slot in range(400)])
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.01
    for other in (np.roll(draws, 1, axis=0), np.roll(draws, 1, axis=1)):
        assert abs(np.corrcoef(draws.ravel(), other.ravel())[0, 1]) < 0.03
    assert uniform(7, 3, 4, 1) != uniform(7, 3, 4, 2) != uniform(8, 3, 4, 1)
