"""Oracles: rows of TS 38.101 and TS 38.214 by table, hand counts, TBS by TS 38.214 5.1.3.2 in exact arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor, log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from channel.errors import UserError
from channel.sionna_adapter import sionna_state
from ran.numerology import Numerology, Overhead, num_prbs
from ran.phy.link_abstraction import MAX_PRBS, link_tables

# TS 38.101-1 v17.5 table 5.3.2-1, by row: subcarrier spacing, then N_RB over these bandwidths (MHz).
FR1_MHZ = (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100)
FR1 = {
    15e3: (25, 52, 79, 106, 133, 160, 188, 216, 242, 270, None, None, None, None, None),
    30e3: (11, 24, 38, 51, 65, 78, 92, 106, 119, 133, 162, 189, 217, 245, 273),
    60e3: (None, 11, 18, 24, 31, 38, 44, 51, 58, 65, 79, 93, 107, 121, 135),
}
# TS 38.101-2 v17.5 table 5.3.2-1.
FR2_MHZ = (50, 100, 200, 400)
FR2 = {60e3: (66, 132, 264, None), 120e3: (32, 66, 132, 264)}

ROWS = [
    (carrier_hz, spacing_hz, mhz * 1e6, prbs)
    for carrier_hz, bandwidths, table in ((3.5e9, FR1_MHZ, FR1), (28e9, FR2_MHZ, FR2))
    for spacing_hz, row in table.items()
    for mhz, prbs in zip(bandwidths, row, strict=True)
]


@pytest.mark.parametrize(("carrier_hz", "spacing_hz", "bandwidth_hz", "prbs"), ROWS)
def test_prbs_equal_the_standard(carrier_hz, spacing_hz, bandwidth_hz, prbs):
    """Oracle: the tables above, N/A included, whose guard bands (TS 38.101, 5.3.3) must be plausible."""
    if prbs is None:
        with pytest.raises(UserError, match="did you mean"):
            num_prbs(bandwidth_hz, spacing_hz, carrier_hz)
        return
    assert num_prbs(bandwidth_hz, spacing_hz, carrier_hz) == prbs
    # A mistyped row would show as a negative or huge guard band.
    guard_hz = (bandwidth_hz - prbs * 12 * spacing_hz) / 2 - spacing_hz / 2
    assert 0.007 < guard_hz / bandwidth_hz < 0.11


@pytest.mark.parametrize(
    ("bandwidth_hz", "spacing_hz", "carrier_hz"),
    [(17e6, 30e3, 3.5e9), (20e6, 120e3, 3.5e9), (5e6, 60e3, 3.5e9), (20.5e6, 30e3, 3.5e9), (100e6, 30e3, 28e9),
     (100e6, 240e3, 28e9)],
)  # fmt: skip
def test_carriers_that_do_not_exist_are_refused(bandwidth_hz, spacing_hz, carrier_hz):
    with pytest.raises(UserError, match=r"e6|e3"):
        num_prbs(bandwidth_hz, spacing_hz, carrier_hz)


def test_groups_cover_the_carrier_once():
    """Property: sizes add up to the PRBs; centres are symmetric about the carrier where sizes are."""
    for mhz in (20, 40, 100):
        grid = Numerology.of(3.5e9, mhz * 1e6, 30e3, "DDDSU")
        assert sum(grid.rbg_sizes()) == grid.num_prbs
        frequency = grid.rbg_frequency_hz()
        assert len(frequency) == grid.num_rbgs
        edge = grid.num_prbs * grid.prb_hz / 2
        assert -edge < frequency[0] < frequency[-1] < edge


@pytest.mark.parametrize(
    ("bandwidth_hz", "first", "second"), [(15e6, 4, 8), (10e6, 2, 4), (20e6, 4, 8), (30e6, 8, 16), (50e6, 8, 16),
                                          (60e6, 16, 16), (100e6, 16, 16)],
)  # fmt: skip
def test_group_sizes_equal_the_standard(bandwidth_hz, first, second):
    """Oracle: TS 38.214 table 5.1.2.2.1-1, 1-36, 37-72, 73-144 and 145-275 PRBs, configurations 1 and 2."""
    for configuration, size in ((1, first), (2, second)):
        grid = Numerology.of(3.5e9, bandwidth_hz, 30e3, "D", rbg_configuration=configuration)
        assert grid.rbg_prbs == size
        assert sum(grid.rbg_sizes()) == grid.num_prbs


def test_slots_carry_what_symbols_allow():
    """Oracle: hand count, 12 subcarriers x symbols after PDCCH, minus 12 DMRS REs; TS 38.214's cap of 156."""
    grid = Numerology.of(3.5e9, 20e6, 30e3, "DSU")
    assert [(kind.downlink_re, kind.uplink_re) for kind in grid.kinds()] == [(132, 0), (84, 0), (0, 156)]
    assert [(kind.downlink_symbols, kind.uplink_symbols) for kind in grid.kinds()] == [(14, 0), (10, 0), (0, 14)]
    assert grid.kind(4) == grid.kinds()[1]


@pytest.mark.parametrize(("spacing_hz", "slot_s"), [(15e3, 1e-3), (30e3, 0.5e-3), (60e3, 0.25e-3), (120e3, 0.125e-3)])
def test_slots_last_a_millisecond_over_two_to_the_numerology(spacing_hz, slot_s):
    """Oracle: TS 38.211 table 4.3.2-1, numerologies 0 to 3."""
    assert Numerology.of(28e9 if spacing_hz > 60e3 else 3.5e9, 50e6, spacing_hz, "D").slot_s == slot_s


@pytest.mark.parametrize(
    ("overhead", "kinds"),
    [
        (Overhead(pdcch_symbols=0, dmrs_re_per_prb=6), [(156, 0), (114, 0), (0, 156)]),  # 162 is capped
        (Overhead(pdcch_symbols=3, dmrs_re_per_prb=24, other_re_per_prb=18), [(90, 0), (42, 0), (0, 126)]),
        (Overhead(special_downlink_symbols=2, special_guard_symbols=12, special_uplink_symbols=0),
         [(132, 0), (0, 0), (0, 156)]),
    ],
)  # fmt: skip
def test_overhead_takes_resource_elements_from_data(overhead, kinds):
    """Oracle: hand count of min(156, 12 symbols - DMRS - xOverhead), TS 38.214 clauses 5.1.3.2 and 6.1.4.2."""
    grid = Numerology.of(3.5e9, 20e6, 30e3, "DSU", overhead=overhead)
    assert [(kind.downlink_re, kind.uplink_re) for kind in grid.kinds()] == kinds


def test_fdd_slots_are_downlink_and_uplink_at_once():
    """Oracle: what a TDD carrier's D and U slots carry, in every slot; the pattern is ignored; FR2 has no FDD."""
    grid = Numerology.of(2.1e9, 20e6, 15e3, "DDDSU", duplex="fdd")
    (kind,) = grid.kinds()
    assert (kind.downlink_re, kind.uplink_re, kind.downlink_symbols, kind.uplink_symbols) == (132, 156, 14, 14)
    assert grid.tdd_pattern == ""
    assert grid.kind(17) == kind
    assert grid.resource_shares()["guard"] == 0.0
    with pytest.raises(UserError, match="FR2 are TDD"):
        Numerology.of(28e9, 100e6, 120e3, "", duplex="fdd")


def test_resource_shares_count_a_period():
    """Oracle: hand count of DDDSU: 5 x 168 REs; 3 x 24 + 24 control, 5 x 12 DMRS, 24 guard, 24 SRS, the rest data."""
    shares = Numerology.of(3.5e9, 20e6, 30e3, "DDDSU").resource_shares()
    expected = {"data": 636, "control": 96, "dmrs": 60, "guard": 24, "sounding": 24, "other": 0}
    assert shares == pytest.approx({use: number / 840 for use, number in expected.items()})


@settings(max_examples=60, deadline=None)
@given(
    st.text("DSU", min_size=1, max_size=10), st.sampled_from(["tdd", "fdd"]), st.integers(0, 3), st.integers(4, 48),
    st.sampled_from([0, 6, 12, 18]), st.integers(1, 14), st.integers(0, 13),
)  # fmt: skip
def test_shares_add_up_and_agree_with_the_slots(pattern, duplex, pdcch, dmrs, other, guard, uplink):
    """Property: shares are not negative, add up to 1, and their data are those that the slots carry."""
    uplink = min(uplink, 14 - guard)
    overhead = Overhead(
        pdcch_symbols=pdcch, dmrs_re_per_prb=dmrs, other_re_per_prb=other, special_guard_symbols=guard,
        special_uplink_symbols=uplink, special_downlink_symbols=14 - guard - uplink,
    )  # fmt: skip
    grid = Numerology.of(3.5e9, 20e6, 30e3, pattern, duplex=duplex, overhead=overhead)
    shares, kinds = grid.resource_shares(), grid.kinds()
    assert min(shares.values()) >= 0.0
    assert sum(shares.values()) == pytest.approx(1.0)
    grids = 2 if duplex == "fdd" else 1
    data = sum(kind.downlink_re + kind.uplink_re for kind in kinds)
    assert shares["data"] == pytest.approx(data / (168 * grids * len(kinds)))


def test_a_special_slot_has_fourteen_symbols():
    with pytest.raises(ValidationError, match="add up to 13; a slot has 14"):
        Overhead(special_guard_symbols=1)


# TS 38.214 tables 5.1.3.1-1 and 5.1.3.1-2 (Q_m, R x 1024).
MCS_TABLES = {
    1: [
        (2, 120), (2, 157), (2, 193), (2, 251), (2, 308), (2, 379), (2, 449), (2, 526), (2, 602), (2, 679), (4, 340),
        (4, 378), (4, 434), (4, 490), (4, 553), (4, 616), (4, 658), (6, 438), (6, 466), (6, 517), (6, 567), (6, 616),
        (6, 666), (6, 719), (6, 772), (6, 822), (6, 873), (6, 910), (6, 948),
    ],
    2: [
        (2, 120), (2, 193), (2, 308), (2, 449), (2, 602), (4, 378), (4, 434), (4, 490), (4, 553), (4, 616), (4, 658),
        (6, 466), (6, 517), (6, 567), (6, 616), (6, 666), (6, 719), (6, 772), (6, 822), (6, 873), (8, 682.5),
        (8, 711), (8, 754), (8, 797), (8, 841), (8, 885), (8, 916.5), (8, 948),
    ],
}  # fmt: skip

# TS 38.214 table 5.1.3.2-1, as runs of (first, last, step); 93 sizes.
SMALL_TBS = [
    size
    for first, last, step in (
        (24, 192, 8), (208, 384, 16), (408, 576, 24), (608, 736, 32), (768, 928, 40), (984, 1032, 48), (1064, 1128, 64),
        (1160, 1352, 32), (1416, 1928, 64), (2024, 2024, 1), (2088, 2280, 64), (2408, 2856, 64), (2976, 3104, 128),
        (3240, 3368, 128), (3496, 3752, 128), (3824, 3824, 1),
    )
    for size in range(first, last + 1, step)
]  # fmt: skip


def tbs_of_the_standard(re: int, order: int, rate_1024: float) -> int:
    """Return the transport block size of ``re`` resource elements (times layers) by TS 38.214 clause 5.1.3.2."""
    rate = Fraction(rate_1024) / 1024
    info = re * rate * order
    if info <= 3824:
        step = 2 ** max(3, floor(log2(info)) - 6)
        quantised = max(24, step * floor(info / step))
        return min(size for size in SMALL_TBS if size >= quantised)
    step = 2 ** (floor(log2(info - 24)) - 5)
    quantised = max(3840, step * floor((info - 24) / step + Fraction(1, 2)))
    largest = 3816 if rate <= Fraction(1, 4) else 8424
    blocks = ceil(Fraction(quantised + 24, largest)) if rate <= Fraction(1, 4) or quantised > 8424 else 1
    return 8 * blocks * ceil(Fraction(quantised + 24, 8 * blocks)) - 24


def test_the_transcription_gives_known_sizes():
    """Oracle: the table's length; 100 MHz, 30 kHz, 156 REs, MCS 27 of 256QAM: 319784 bits a layer, 1277992 of four."""
    assert len(SMALL_TBS) == 93
    assert tbs_of_the_standard(273 * 156, 8, 948) == 319784
    assert tbs_of_the_standard(4 * 273 * 156, 8, 948) == 1277992


RE_PER_PRB = (42, 84, 90, 114, 126, 132, 156)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([1, 2]), st.data())
def test_transport_block_sizes_equal_the_standard(mcs_table, data):
    """Oracle: ``tbs_of_the_standard``. Catches another MCS table, rounding of ties, REs mixed up."""
    tables = link_tables(mcs_table, RE_PER_PRB)
    row = data.draw(st.integers(0, len(RE_PER_PRB) - 1))
    mcs = data.draw(st.integers(0, len(MCS_TABLES[mcs_table]) - 1))
    prbs = data.draw(st.integers(1, MAX_PRBS))
    got = tables.transport_block_bits[row, mcs, prbs]
    assert got == tbs_of_the_standard(RE_PER_PRB[row] * prbs, *MCS_TABLES[mcs_table][mcs])


@pytest.mark.parametrize("mcs_table", [1, 2])
def test_transport_block_sizes_equal_sionnas_own_count(mcs_table):
    """Oracle: Sionna's TBS from symbols, DMRS and xOverhead (it applies the cap of 156 itself), not from coded bits."""
    overhead = Overhead(pdcch_symbols=1, dmrs_re_per_prb=18, other_re_per_prb=6)
    re = overhead.data_re(13)
    tables = link_tables(mcs_table, (re,))
    with sionna_state(seed=0):
        import torch
        from sionna.phy.nr.utils import calculate_tb_size, decode_mcs_index

        mcs, prbs = (grid.flatten() for grid in np.meshgrid(np.arange(len(tables.efficiency)), [1, 7, 51, 106, 273]))
        order, rate = decode_mcs_index(torch.from_numpy(mcs).int(), table_index=mcs_table, is_pusch=False, device="cpu")
        size, *_ = calculate_tb_size(
            order, rate, num_prbs=torch.from_numpy(prbs).int(), num_ofdm_symbols=13, num_dmrs_per_prb=18, num_ov=6,
            device="cpu",
        )  # fmt: skip
    np.testing.assert_array_equal(tables.transport_block_bits[0, mcs, prbs], size.numpy())
