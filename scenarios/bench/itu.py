"""Spectral efficiency of the 21-cell networks beside what ITU-R asks of IMT-2020; nothing is tuned to these numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ran.metrics.kpis import CELL_EDGE_PERCENT, Direction, NetworkKpis

SCENARIOS = ("umi_21", "uma_21")
MODES = {
    "SU-MIMO": "{mode: single_user, max_rank: 2}",
    "MU-MIMO": "{mode: multi_user, max_streams: 4}",
}
DROPS, DURATION_S, WARMUP_S = 3, 0.3, 0.2

# Report ITU-R M.2410-0, Dense Urban - eMBB: average (clause 4.5) and 5th percentile user (4.4) spectral efficiency,
# bit/s/Hz per TRxP and bit/s/Hz. Read in table 9.1 of a book that quotes the report, not in the report itself.
REQUIRED: dict[Direction, tuple[float, float]] = {"downlink": (7.8, 0.225), "uplink": (5.4, 0.15)}

ASSUMPTIONS = """\
Assumptions that differ from the requirement's, M.2412's Dense Urban configuration A (quoted from memory, not checked):
  geometry   theirs: macro cells 200 m apart; ours: street canyons 200 m apart (umi_21), UMa 500 m apart (uma_21)
  antennas   16 at a cell, each with amplitude and phase of its own, and 2 at a UE; theirs: up to 256 elements and 8
  SU-MIMO    at most 2 layers of one UE on the eigenmodes of the exact channel, 5 ms ago for rank and rate
  MU-MIMO    down only: up to 4 UEs of one layer, semi-orthogonal pairing, RZF on the exact channel 5 ms ago; the uplink
             stays with one UE and here one layer per resource block, which bounds it
  receiver   matched to the channel's eigenmode; it does not reject the interference of other cells or layers
  resource   20 MHz with its guard bands, 51 of 55.6 PRBs; a direction's share of the time by its part of the symbols
  overhead   2 PDCCH symbols, 12 REs of DMRS per PRB, guard and SRS of special slots; no CSI-RS, SSB or PUCCH
  UEs        210 uniform over the ground, all at 1.5 m and 3 km/h, 80 % indoors with low-loss walls, noise figure 9 dB;
             theirs: 7 dB, indoors on several floors, outdoors in cars at 30 km/h
  duration   {drops} drops of {duration_s:g} s after {warmup_s:g} s, 5th percentile over all their UEs"""


@dataclass(frozen=True)
class Row:
    """Spectral efficiencies of one direction over several drops.

    Attributes:
        cell_se_bit_s_hz: mean over cells of every drop.
        edge_se_bit_s_hz: 5th percentile over the UEs of all drops.
    """

    cell_se_bit_s_hz: tuple[float, ...]
    edge_se_bit_s_hz: float


def pooled(drops: Sequence[NetworkKpis], direction: Direction) -> Row:
    """Return the row of a direction, from drops of equal size."""
    ways = [way for drop in drops for way in drop.directions if way.direction == direction]
    users = np.concatenate([way.user_se_bit_s_hz for way in ways])
    return Row(tuple(way.mean_cell_se_bit_s_hz for way in ways), float(np.percentile(users, CELL_EDGE_PERCENT)))


def measure_drops(
    scenario: str, mimo: str, *, drops: int = DROPS, duration_s: float = DURATION_S, warmup_s: float = WARMUP_S
) -> tuple[list[NetworkKpis], float]:
    """Return the indicators of ``drops`` drops of a packaged scenario, and slots per second of wall-clock time.

    Args:
        scenario: name of the scenario.
        mimo: its ``mac.mimo`` as YAML.
        drops: worlds of different seeds, from 1 on.
        duration_s: virtual time measured in each.
        warmup_s: virtual time before that.
    """
    from scenarios.build import build_world
    from scenarios.load import load
    from scenarios.network_run import measure, with_traffic

    found, slots, wall_s = [], 0, 0.0
    for seed in range(1, drops + 1):
        loaded, _ = with_traffic(load(scenario, [f"seed={seed}", f"mac.mimo={mimo}", "mac.precoder=rzf"]))
        done = measure(build_world(loaded), duration_s=duration_s, warmup_s=warmup_s)
        found.append(done.kpis)
        slots += done.slots
        wall_s += done.wall_s["slots"]
    return found, slots / wall_s


def tell(write: Callable[[str], object]) -> None:
    """Measure and write the table, each line as soon as it is known."""
    write(f"{'':<30} {'cell SE':>8} {'(drops)':>15} {'5 % user SE':>12}   bit/s/Hz")
    for direction, (cell, edge) in REQUIRED.items():
        write(f"{f'{direction:<9} M.2410 asks for':<30} {cell:8.2f} {'':>15} {edge:12.4f}   Dense Urban - eMBB")
        write(f"{f'{direction:<9} TR 37.910 reports':<30} {'-':>8} {'':>15} {'-':>12}   not verified: not at hand")
    for scenario in SCENARIOS:
        for name, mimo in MODES.items():
            drops, rate = measure_drops(scenario, mimo)
            for direction in REQUIRED:
                row = pooled(drops, direction)
                spread = f"({min(row.cell_se_bit_s_hz):.2f} to {max(row.cell_se_bit_s_hz):.2f})"
                label = f"{direction:<9} {scenario:<7} {name}"
                mean = float(np.mean(row.cell_se_bit_s_hz))
                write(f"{label:<30} {mean:8.2f} {spread:>15} {row.edge_se_bit_s_hz:12.4f}   {rate:.0f} slots/s")
    write(ASSUMPTIONS.format(drops=DROPS, duration_s=DURATION_S, warmup_s=WARMUP_S))
