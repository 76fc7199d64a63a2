"""Numerology of NR: slots, resource blocks, resource block groups and the resource elements left for data."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from channel.component import Settings
from channel.errors import UserError

SYMBOLS_PER_SLOT = 14
SUBCARRIERS_PER_PRB = 12

# TS 38.101-1 v17.5 table 5.3.2-1 (FR1): PRBs by subcarrier spacing (kHz) and bandwidth (MHz).
_PRBS_FR1: dict[int, dict[int, int]] = {
    15: {5: 25, 10: 52, 15: 79, 20: 106, 25: 133, 30: 160, 35: 188, 40: 216, 45: 242, 50: 270},
    30: {
        5: 11, 10: 24, 15: 38, 20: 51, 25: 65, 30: 78, 35: 92, 40: 106, 45: 119, 50: 133, 60: 162, 70: 189, 80: 217,
        90: 245, 100: 273,
    },
    60: {
        10: 11, 15: 18, 20: 24, 25: 31, 30: 38, 35: 44, 40: 51, 45: 58, 50: 65, 60: 79, 70: 93, 80: 107, 90: 121,
        100: 135,
    },
}  # fmt: skip
# TS 38.101-2 v17.5 table 5.3.2-1 (FR2).
_PRBS_FR2: dict[int, dict[int, int]] = {
    60: {50: 66, 100: 132, 200: 264},
    120: {50: 32, 100: 66, 200: 132, 400: 264},
}
_FR2_STARTS_HZ = 24.25e9

# TS 38.214 table 5.1.2.2.1-1: nominal resource block group size, in configurations 1 and 2, by carrier width in PRBs.
_RBG_SIZE = ((36, (2, 4)), (72, (4, 8)), (144, (8, 16)), (275, (16, 16)))

_MAX_RE_PER_PRB = 156


def num_prbs(bandwidth_hz: float, subcarrier_spacing_hz: float, carrier_hz: float = 3.5e9) -> int:
    """Return the carrier's PRBs (TS 38.101-1 and 38.101-2, table 5.3.2-1).

    FR2 starts at 24.25 GHz; every carrier below is taken as FR1, also those above its end at 7.125 GHz. The other
    bandwidths of FR2-2 (from 52.6 GHz on) are not known here.

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


class Overhead(Settings):
    """Resource elements that carry no data: control, reference symbols, and what a TDD cell needs to turn around.

    A special slot is downlink, guard and uplink symbols in this order; its uplink symbols carry SRS and no data.
    """

    pdcch_symbols: int = Field(default=2, ge=0, le=3, description="PDCCH symbols at the start of a downlink slot")
    dmrs_re_per_prb: int = Field(
        default=12, ge=4, le=48, description="DMRS resource elements of a PRB and slot, muted CDM groups included"
    )
    other_re_per_prb: Literal[0, 6, 12, 18] = Field(
        default=0, description="xOverhead of TS 38.214 clause 5.1.3.2: CSI-RS and the like, per PRB and slot"
    )
    special_downlink_symbols: int = Field(default=10, ge=0, le=13, description="downlink symbols of a special slot")
    special_guard_symbols: int = Field(default=2, ge=1, le=14, description="silent symbols of a special slot")
    special_uplink_symbols: int = Field(default=2, ge=0, le=13, description="uplink symbols of a special slot (SRS)")

    @model_validator(mode="after")
    def _special_slot_is_full(self) -> Self:
        symbols = self.special_downlink_symbols + self.special_guard_symbols + self.special_uplink_symbols
        if symbols != SYMBOLS_PER_SLOT:
            raise PydanticCustomError(
                "special_slot",
                "special_downlink_symbols, special_guard_symbols and special_uplink_symbols add up to {symbols}; "
                "a slot has {slot} symbols",
                {"symbols": symbols, "slot": SYMBOLS_PER_SLOT},
            )
        return self

    def data_re(self, symbols: int) -> int:
        """Return the resource elements for data in one PRB with ``symbols`` of PDSCH or PUSCH.

        ``N'_RE = min(156, 12 symbols - N_DMRS - N_oh)``, not below 0 (TS 38.214 clauses 5.1.3.2 and 6.1.4.2).
        """
        left = SUBCARRIERS_PER_PRB * symbols - self.dmrs_re_per_prb - self.other_re_per_prb
        return min(_MAX_RE_PER_PRB, max(0, left))


@dataclass(frozen=True)
class SlotKind:
    """What one slot can carry; of an FDD carrier both directions, on paired carriers.

    Attributes:
        downlink_re, uplink_re: resource elements for data in one PRB, after control and DMRS
            (TS 38.214 clause 5.1.3.2: at most 156).
        downlink_symbols, uplink_symbols: OFDM symbols on the air, control included.
    """

    downlink_re: int
    uplink_re: int
    downlink_symbols: int
    uplink_symbols: int


@dataclass(frozen=True)
class Numerology:
    """The time-frequency grid of a TDD carrier, or of each of a pair of FDD carriers.

    >>> grid = Numerology.of(3.5e9, 20e6, 30e3, "DDDSU")
    >>> grid.num_prbs, grid.num_rbgs, grid.slot_s
    (51, 13, 0.0005)

    Attributes:
        bandwidth_hz: of one carrier; FDD has it once down and once up.
        rbg_prbs: nominal size of a resource block group.
        tdd_pattern: one letter a slot: D downlink, S special, U uplink; empty in FDD.
    """

    carrier_hz: float
    bandwidth_hz: float
    subcarrier_spacing_hz: float
    num_prbs: int
    rbg_prbs: int
    tdd_pattern: str
    duplex: Literal["tdd", "fdd"] = "tdd"
    overhead: Overhead = field(default_factory=Overhead)

    @staticmethod
    def of(
        carrier_hz: float,
        bandwidth_hz: float,
        subcarrier_spacing_hz: float,
        tdd_pattern: str,
        *,
        duplex: Literal["tdd", "fdd"] = "tdd",
        overhead: Overhead = Overhead(),
        rbg_configuration: Literal[1, 2] = 1,
    ) -> Numerology:
        """Return the grid of a standard carrier, with TS 38.214's resource block groups; FDD ignores the pattern.

        Raises:
            UserError: where the standard has no such carrier.
        """
        prbs = num_prbs(bandwidth_hz, subcarrier_spacing_hz, carrier_hz)
        if duplex == "fdd" and carrier_hz >= _FR2_STARTS_HZ:
            raise UserError(
                f"a {carrier_hz / 1e9:g} GHz carrier has no FDD: all bands of FR2 are TDD "
                "(TS 38.101-2, table 5.2-1); set duplex: tdd or a carrier below 24.25e9"
            )
        rbg = next(sizes for most, sizes in _RBG_SIZE if prbs <= most)[rbg_configuration - 1]
        pattern = tdd_pattern if duplex == "tdd" else ""
        return Numerology(
            carrier_hz, bandwidth_hz, subcarrier_spacing_hz, prbs, rbg, pattern, duplex=duplex, overhead=overhead
        )

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
        kinds = self.kinds()
        return kinds[slot % len(kinds)]

    def kinds(self) -> list[SlotKind]:
        """Return the kinds of one TDD period; FDD has one kind of slot."""
        spent = self.overhead
        down = spent.data_re(SYMBOLS_PER_SLOT - spent.pdcch_symbols)
        up = spent.data_re(SYMBOLS_PER_SLOT)
        if self.duplex == "fdd":
            return [SlotKind(down, up, SYMBOLS_PER_SLOT, SYMBOLS_PER_SLOT)]
        special = spent.special_downlink_symbols
        known = {
            "D": SlotKind(down, 0, SYMBOLS_PER_SLOT, 0),
            "S": SlotKind(spent.data_re(special - spent.pdcch_symbols), 0, special, 0),
            "U": SlotKind(0, up, 0, SYMBOLS_PER_SLOT),
        }
        return [known[letter] for letter in self.tdd_pattern]

    def resource_shares(self) -> dict[str, float]:
        """Return the shares of a period's resource elements by use; they add up to 1.

        ``data``, ``control`` (PDCCH), ``dmrs``, ``sounding`` (SRS), ``guard``, and ``other``: xOverhead, what the
        cap of 156 leaves unused, and symbols too few for any data. FDD: of both carriers together.
        """
        spent, per_symbol = self.overhead, SUBCARRIERS_PER_PRB
        used: Counter[str] = Counter()
        for letter in self.tdd_pattern if self.duplex == "tdd" else "DU":
            symbols = spent.special_downlink_symbols if letter == "S" else SYMBOLS_PER_SLOT
            control = 0 if letter == "U" else min(spent.pdcch_symbols, symbols)
            left = per_symbol * (symbols - control)
            data = spent.data_re(symbols - control)
            dmrs = min(spent.dmrs_re_per_prb, left)
            used.update(control=per_symbol * control, data=data, dmrs=dmrs, other=left - data - dmrs)
            turn = letter == "S"
            used.update(guard=turn * per_symbol * spent.special_guard_symbols)
            used.update(sounding=turn * per_symbol * spent.special_uplink_symbols)
        return {use: number / used.total() for use, number in used.items()}
