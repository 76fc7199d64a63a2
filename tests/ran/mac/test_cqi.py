"""Oracles: rows of TS 38.214's CQI tables, the BLER curves themselves, properties of a quantiser."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran.mac.cqi import CQI_TABLES, cqi_thresholds, quantise, sinr_of_cqi
from ran.phy.link_abstraction import link_tables
from ran.phy.link_kernels import block_error_rate

RE_PER_PRB = (84, 132, 156)
PRBS = 51

# Efficiency column of TS 38.214 tables 5.2.2.1-2 and 5.2.2.1-3, as printed.
EFFICIENCY = {
    1: [0.1523, 0.2344, 0.3770, 0.6016, 0.8770, 1.1758, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223, 3.9023, 4.5234, 5.1152,
        5.5547],
    2: [0.1523, 0.3770, 0.8770, 1.4766, 1.9141, 2.4063, 2.7305, 3.3223, 3.9023, 4.5234, 5.1152, 5.5547, 6.2266, 6.9141,
        7.4063],
}  # fmt: skip


@pytest.fixture(scope="module", params=[1, 2])
def case(request):
    tables = link_tables(request.param, RE_PER_PRB)
    return request.param, tables, cqi_thresholds(tables, request.param, PRBS)


@pytest.mark.parametrize("table", [1, 2])
def test_tables_equal_the_standard(table):
    """Oracle: order x rate equals the printed efficiency to its four digits; orders rise by 2 up to 64 or 256QAM."""
    rows = CQI_TABLES[table]
    assert [order * rate / 1024 for order, rate in rows] == pytest.approx(EFFICIENCY[table], abs=5.1e-5)
    orders = {1: [2] * 6 + [4] * 3 + [6] * 6, 2: [2] * 3 + [4] * 3 + [6] * 5 + [8] * 4}
    assert [order for order, _ in rows] == orders[table]


def test_a_threshold_is_where_the_error_rate_passes_ten_percent(case):
    """Oracle: the BLER curve: at the threshold at most 0.1, a step (0.1 dB) below more, and not far from 0.1."""
    table, tables, thresholds = case
    met = 0
    for index, (order, rate) in enumerate(CQI_TABLES[table], start=1):
        mcs = np.nonzero(np.isclose(tables.efficiency, order * rate / 1024, rtol=1e-6))[0]
        if len(mcs) == 0 or mcs[0] < tables.first_mcs:
            continue
        size, blocks = (array[1, mcs[0], PRBS] for array in (tables.code_block_bits, tables.num_code_blocks))

        def error(sinr, mcs=mcs[0], size=size, blocks=blocks):
            return block_error_rate(tables.bler, mcs, size, blocks, sinr)

        if error(1e4) > 0.1:  # a curve that ends above 10 %: CQI 15 of 256QAM
            assert (table, index) == (2, 15)
            continue
        assert 0.005 < error(thresholds[index]) <= 0.1 < error(thresholds[index] * 10**-0.01)
        met += 1
    assert met == {1: 12, 2: 12}[table]


def test_where_no_curve_tells_the_gap_to_shannon_is_the_neighbours(case):
    """Oracle: thresholds below the first curve are Shannon's bound times the same factor; all lie above the bound."""
    table, _, thresholds = case
    gap = thresholds[1:] / (2.0 ** np.array([o * r / 1024 for o, r in CQI_TABLES[table]]) - 1)
    known = {1: 4, 2: 3}[table]
    assert gap[: known - 1] == pytest.approx(gap[known - 1])
    assert (gap > 1).all()
    assert (10 * np.log10(gap) < 3.0).all()
    assert (np.diff(thresholds) > 0).all()
    assert thresholds[0] == 0.0
    assert thresholds.shape == (16,)


@given(st.floats(-30, 40), st.floats(-30, 40))
def test_quantising_is_monotone_idempotent_and_never_optimistic(one_db, other_db):
    """Property, and exhaustive search as oracle. Catches an index off by one and a nearest-neighbour quantiser."""
    thresholds = cqi_thresholds(link_tables(1, RE_PER_PRB), 1, PRBS)
    low, high = sorted((10 ** (one_db / 10), 10 ** (other_db / 10)))
    index = quantise(low, thresholds)
    assert index == max(i for i in range(16) if thresholds[i] <= low)
    assert index <= quantise(high, thresholds)
    vouched = sinr_of_cqi(index, thresholds)
    assert vouched <= low
    assert quantise(vouched, thresholds) == index


def test_a_useless_channel_is_out_of_range(case):
    """Edge cases: nothing, and a NaN, earn CQI 0; thresholds themselves earn their own CQI."""
    _, _, thresholds = case
    assert quantise(0.0, thresholds) == quantise(math.nan, thresholds) == 0
    assert sinr_of_cqi(0, thresholds) == 0.0
    assert [quantise(value, thresholds) for value in thresholds] == list(range(16))
    assert quantise(1e9, thresholds) == 15
