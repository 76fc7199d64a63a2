"""Oracles: rows of TS 38.101-1 and 38.101-2 table 5.3.2-1 and of TS 38.214 table 5.1.2.2.1-1."""

from __future__ import annotations

import pytest

from channel.errors import UserError
from ran.numerology import Numerology, num_prbs


@pytest.mark.parametrize(
    ("bandwidth_hz", "spacing_hz", "carrier_hz", "prbs"),
    [
        (5e6, 15e3, 2e9, 25), (20e6, 15e3, 2e9, 106), (50e6, 15e3, 2e9, 270), (20e6, 30e3, 3.5e9, 51),
        (40e6, 30e3, 3.5e9, 106), (100e6, 30e3, 3.5e9, 273), (100e6, 60e3, 3.5e9, 135), (100e6, 120e3, 28e9, 66),
        (400e6, 120e3, 28e9, 264), (200e6, 60e3, 28e9, 264),
    ],
)  # fmt: skip
def test_prbs_equal_the_standard(bandwidth_hz, spacing_hz, carrier_hz, prbs):
    assert num_prbs(bandwidth_hz, spacing_hz, carrier_hz) == prbs


@pytest.mark.parametrize(("bandwidth_hz", "spacing_hz"), [(17e6, 30e3), (20e6, 120e3), (5e6, 60e3), (20.5e6, 30e3)])
def test_carriers_that_do_not_exist_are_refused(bandwidth_hz, spacing_hz):
    with pytest.raises(UserError, match=r"e6|e3"):
        num_prbs(bandwidth_hz, spacing_hz)


def test_groups_cover_the_carrier_once():
    """Property: sizes add up to the PRBs; centres are symmetric about the carrier where sizes are."""
    for mhz in (20, 40, 100):
        grid = Numerology.of(3.5e9, mhz * 1e6, 30e3, "DDDSU")
        assert sum(grid.rbg_sizes()) == grid.num_prbs
        frequency = grid.rbg_frequency_hz()
        assert len(frequency) == grid.num_rbgs
        edge = grid.num_prbs * grid.prb_hz / 2
        assert -edge < frequency[0] < frequency[-1] < edge
    assert [Numerology.of(3.5e9, b, 30e3, "D").rbg_prbs for b in (10e6, 20e6, 40e6, 100e6)] == [2, 4, 8, 16]


def test_slots_carry_what_symbols_allow():
    """Oracle: hand count, 12 subcarriers x symbols after PDCCH, minus 12 DMRS REs; TS 38.214's cap of 156."""
    grid = Numerology.of(3.5e9, 20e6, 30e3, "DSU")
    assert [(kind.downlink_re, kind.uplink_re) for kind in grid.kinds()] == [(132, 0), (84, 0), (0, 156)]
    assert grid.slot_s == pytest.approx(0.5e-3)
