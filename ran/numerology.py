"""Numerology of NR: slots, resource blocks, resource block groups and the resource elements left for data."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from channel.errors import UserError

SYMBOLS_PER_SLOT = 14
SUBCARRIERS_PER_PRB = 12

# TS 38.101-1 v17.5 table 5.3.2-1 (FR1): PRBs by subcarrier spacing (kHz) and bandwidth (MHz).
_PRBS_FR1: dict[int, dict[int, int]] = {
    15: {5: 25, 10: 52, 15: 79, 20: 106, 25: 133, 30: 160, 40: 216, 50: 270},
    30: {5: 11, 10: 24, 15: 38, 20: 51, 25: 65, 30: 78, 40: 106, 50: 133, 60: 162, 70: 189, 80: 217, 90: 245, 100: 273},
    60: {10: 11, 15: 18, 20: 24, 25: 31, 30: 38, 40: 51, 50: 65, 60: 79, 70: 93, 80: 107, 90: 121, 100: 135},
}
# TS 38.101-2 v17.5 table 5.3.2-1 (FR2).
_PRBS_FR2: dict[int, dict[int, int]] = {
    60: {50: 66, 100: 132, 200: 264},
    120: {50: 32, 100: 66, 200: 132, 400: 264},
}
_FR2_STARTS_HZ = 24.25e9

# TS 38.214 table 5.1.2.2.1-1, configuration 1: nominal resource block group size by carrier width in PRBs.
_RBG_SIZE = ((36, 2), (72, 4), (144, 8), (275, 16))

# Symbols of a slot that carry data, after two PDCCH symbols in downlink slots and a guard in special slots.
_PDCCH_SYMBOLS = 2
_SPECIAL_DOWNLINK_SYMBOLS = 10
_SPECIAL_UPLINK_SYMBOLS = 0
_DMRS_RE_PER_PRB = 12
_MAX_RE_PER_PRB = 156


def num_prbs(bandwidth_hz: float, subcarrier_spacing_hz: float, carrier_hz: float = 3.5e9) -> int:
    """Return the carrier's PRBs (TS 38.101-1 and 38.101-2, table 5.3.2-1).

    Raises:
        UserError: where the standard has no such carrier; the message lists the nearest ones.

    >>> num_prbs(20e6, 30e3)
    51
    """
    table = _PRBS_FR2 if carrier_hz >= _FR2_STARTS_HZ else _PRBS_FR1
    spacing_khz = round(subcarrier_spacing_hz / 1e3)
    if spacing_khz not in table:
        raise UserError(
            f"a {carrier_hz / 1e9:g} GHz carrier has no {subcarrier_spacing_hz / 1e3:g} kHz subcarriers; "
            f"choose one of {', '.join(f'{khz}e3' for khz in table)}"
        )
    row = table[spacing_khz]
    bandwidth_mhz = round(bandwidth_hz / 1e6)
    if bandwidth_mhz not in row or abs(bandwidth_hz - bandwidth_mhz * 1e6) > 1.0:
        near = min(row, key=lambda mhz: abs(mhz - bandwidth_hz / 1e6))
        raise UserError(
            f"{bandwidth_hz / 1e6:g} MHz is no NR carrier with {spacing_khz} kHz subcarriers (TS 38.101, 5.3.2); "
            f"did you mean {near}e6? Known: {', '.join(f'{mhz}e6' for mhz in row)}"
        )
    return row[bandwidth_mhz]


@dataclass(frozen=True)
class SlotKind:
    """What one slot of the TDD pattern can carry.

    Attributes:
        downlink_re, uplink_re: resource elements for data in one PRB, after control and DMRS
            (TS 38.214 clause 5.1.3.2: at most 156).
        downlink_symbols, uplink_symbols: OFDM symbols on the air, control included.
    """

    downlink_re: int
    uplink_re: int
    downlink_symbols: int
    uplink_symbols: int


def _data_re(symbols: int) -> int:
    return min(_MAX_RE_PER_PRB, max(0, SUBCARRIERS_PER_PRB * symbols - _DMRS_RE_PER_PRB)) if symbols else 0


_KINDS = {
    "D": SlotKind(_data_re(SYMBOLS_PER_SLOT - _PDCCH_SYMBOLS), 0, SYMBOLS_PER_SLOT, 0),
    "S": SlotKind(_data_re(_SPECIAL_DOWNLINK_SYMBOLS - _PDCCH_SYMBOLS), 0, _SPECIAL_DOWNLINK_SYMBOLS, 0),
    "U": SlotKind(0, _data_re(SYMBOLS_PER_SLOT), 0, SYMBOLS_PER_SLOT),
}


@dataclass(frozen=True)
class Numerology:
    """The time-frequency grid of a TDD carrier.

    >>> grid = Numerology.of(3.5e9, 20e6, 30e3, "DDDSU")
    >>> grid.num_prbs, grid.num_rbgs, grid.slot_s
    (51, 13, 0.0005)
    """

    carrier_hz: float
    bandwidth_hz: float
    subcarrier_spacing_hz: float
    num_prbs: int
    rbg_prbs: int
    tdd_pattern: str

    @staticmethod
    def of(carrier_hz: float, bandwidth_hz: float, subcarrier_spacing_hz: float, tdd_pattern: str) -> Numerology:
        """Return the grid of a standard carrier, with TS 38.214's resource block groups."""
        prbs = num_prbs(bandwidth_hz, subcarrier_spacing_hz, carrier_hz)
        rbg = next(size for most, size in _RBG_SIZE if prbs <= most)
        return Numerology(carrier_hz, bandwidth_hz, subcarrier_spacing_hz, prbs, rbg, tdd_pattern)

    @property
    def slot_s(self) -> float:
        """Duration of a slot in seconds: 1 ms at 15 kHz."""
        return 1e-3 * 15e3 / self.subcarrier_spacing_hz

    @property
    def prb_hz(self) -> float:
        """Bandwidth of one PRB in Hz."""
        return SUBCARRIERS_PER_PRB * self.subcarrier_spacing_hz

    @property
    def num_rbgs(self) -> int:
        """Number of resource block groups."""
        return -(-self.num_prbs // self.rbg_prbs)

    def rbg_sizes(self) -> list[int]:
        """Return the PRBs of each group; the last may be smaller."""
        sizes = [self.rbg_prbs] * self.num_rbgs
        sizes[-1] = self.num_prbs - self.rbg_prbs * (self.num_rbgs - 1)
        return sizes

    def rbg_frequency_hz(self) -> list[float]:
        """Return the centre of each group relative to the carrier in Hz."""
        edges = [0.0]
        for size in self.rbg_sizes():
            edges.append(edges[-1] + size * self.prb_hz)
        half = edges[-1] / 2
        return [(low + high) / 2 - half for low, high in pairwise(edges)]

    def kind(self, slot: int) -> SlotKind:
        """Return what slot number ``slot`` can carry."""
        return _KINDS[self.tdd_pattern[slot % len(self.tdd_pattern)]]

    def kinds(self) -> list[SlotKind]:
        """Return the kinds of one TDD period."""
        return [_KINDS[letter] for letter in self.tdd_pattern]
