"""Key performance indicators of a radio access network, from counters to a record, a table and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ran.metrics.figure_style import CATEGORIES, CENTRAL, DOWNLINK, INK, UPLINK, say_empty
from ran.metrics.text import count, duration, percent, with_prefix
from ran.traffic.delay_bins import edges_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

CELL_EDGE_PERCENT = 5.0
"""The percentile that M.2410 calls the 5th percentile user spectral efficiency."""


@dataclass(frozen=True, eq=False)
class SliceKpis:
    """What the bearers of one slice experienced, all UEs together.

    Attributes:
        offered_bit_s: load of the packets that arrived; full buffers and learning payloads have no packets.
        carried_bit_s: SDU bits that arrived at the receiver, of whatever origin.
        delivered: packets that left whole.
        lost_share, dropped_share: of the packets whose fate is known: bytes missing, or the queue full.
        late_share: of the delivered packets: after the delay budget.
        delay_mean_s, delay_p50_s, delay_p95_s, delay_p99_s, delay_max_s: from arrival to in-order delivery.
        queue_packets: packets waiting, mean over time.
        histogram: delays by ``ran.traffic.delay_bins``, int64 [NUM_BINS].
    """

    name: str
    offered_bit_s: float
    carried_bit_s: float
    delivered: int
    lost_share: float
    dropped_share: float
    late_share: float
    delay_mean_s: float
    delay_p50_s: float
    delay_p95_s: float
    delay_p99_s: float
    delay_max_s: float
    queue_packets: float
    histogram: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Kpis:
    """The indicators of one direction over a stretch of time; NaN where nothing was measured.

    Attributes:
        cell_se_bit_s_hz: sum over a cell's users of R_i / (T W), [num_cells] (M.2412 clause 7.1.2).
        user_se_bit_s_hz: R_i / (T W) of every UE, [num_ues] (M.2412 clause 7.1.3).
        mean_cell_se_bit_s_hz: mean over cells: the average spectral efficiency per TRxP.
        cell_edge_se_bit_s_hz: 5th percentile over UEs.
        first_bler: share of first transmissions in error; residual_bler: share of blocks that HARQ gave up.
        prb_utilisation: used PRBs over available ones, [num_cells].
        jain_index: (sum x)^2 / (n sum x^2) of the UEs' throughputs, 1/n to 1.
        offered_bit_s, carried_bit_s: sums over slices.
        ue_energy_j_bit, gnb_energy_j_bit: energy over SDU bits that arrived.
        slices: one record per slice, in the network's order.
    """

    direction: Literal["downlink", "uplink"]
    cell_se_bit_s_hz: NDArray[np.float64]
    user_se_bit_s_hz: NDArray[np.float64]
    mean_cell_se_bit_s_hz: float
    cell_edge_se_bit_s_hz: float
    first_bler: float
    residual_bler: float
    prb_utilisation: NDArray[np.float64]
    jain_index: float
    offered_bit_s: float
    carried_bit_s: float
    ue_energy_j_bit: float
    gnb_energy_j_bit: float
    slices: tuple[SliceKpis, ...]


def spectral_efficiency(
    delivered_bytes: ArrayLike, *, bandwidth_hz: float, duration_s: float, share: float = 1.0
) -> NDArray[np.float64]:
    """Return SE = R / (T W) in bit/s/Hz for bytes of any shape (M.2412 clauses 7.1.2 and 7.1.3).

    ``share`` is the part of ``duration_s`` x ``bandwidth_hz`` that belongs to the direction: 1 for FDD, the part of
    the symbols for TDD (TR 37.910 counts T W as time and bandwidth that the direction can use).

    >>> spectral_efficiency([125_000], bandwidth_hz=1e6, duration_s=1.0, share=0.5)
    array([2.])
    """
    return 8.0 * np.asarray(delivered_bytes, np.float64) / (bandwidth_hz * duration_s * share)


def jain_index(throughput: ArrayLike) -> float:
    """Return Jain's fairness index (sum x)^2 / (n sum x^2), NaN where all are zero.

    >>> jain_index([1.0, 1.0, 0.0, 0.0])
    0.5
    """
    x = np.asarray(throughput, np.float64)
    return _ratio(float(x.sum()) ** 2, x.size * float((x * x).sum()))


def delay_percentiles_s(
    histogram: NDArray[np.int64], percents: Sequence[float], longest_s: float
) -> NDArray[np.float64]:
    """Return delays in s that ``percents`` (above 0, at most 100) of the packets do not exceed.

    Interpolates geometrically between the edges of a bin, so an error stays below the width of a bin, 3 %;
    below 0.1 ms linearly from 0, from 100 s on up to the longest delay. NaN where the histogram is empty.
    """
    edges, reached = _cumulative(histogram, longest_s)
    if not reached[-1]:
        return np.full(len(percents), np.nan)
    target = np.asarray(percents, np.float64) / 100.0 * reached[-1]
    index = np.searchsorted(reached[1:], target)
    part = (target - reached[index]) / histogram[index]
    low, high = edges[index], edges[index + 1]
    value = np.where(low > 0.0, low ** (1.0 - part) * high**part, high * part)
    return np.minimum(value, longest_s)


def _cumulative(histogram: NDArray[np.int64], longest_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bins' edges in s and the packets below each, both [NUM_BINS + 1]."""
    lower = edges_s()
    edges = np.append(lower, max(longest_s, lower[-1]))
    return edges, np.concatenate(([0.0], np.cumsum(histogram, dtype=np.float64)))


def measure_kpis(
    *,
    direction: Literal["downlink", "uplink"],
    tally: NDArray[Any],
    cell: NDArray[Any],
    delay: NDArray[Any],
    histogram: NDArray[np.int64],
    slices: Sequence[str],
    bandwidth_hz: float,
    duration_s: float,
    share: float,
    num_prbs: int,
    slots: int,
    ue_energy_j: float = math.nan,
    gnb_energy_j: float = math.nan,
) -> Kpis:
    """Return the indicators of one replica and direction.

    Args:
        direction: downlink or uplink.
        tally: TALLY_DTYPE [num_ues, num_slices] counted over the stretch.
        cell: CELL_DTYPE [num_cells], likewise; after a handover a UE's bytes count where they were carried.
        delay: DELAY_DTYPE [num_ues, num_slices] of ``Ledger.count_until``.
        histogram: the ledger's delay histogram, int64 [num_ues, num_slices, NUM_BINS].
        slices: their names.
        bandwidth_hz: channel bandwidth of a cell, guard bands included (M.2412).
        duration_s: virtual time measured.
        share: part of it that belongs to the direction, see ``spectral_efficiency``.
        num_prbs: PRBs of a cell.
        slots: slots in which the direction could be used.
        ue_energy_j: energy that all UEs spent on the direction.
        gnb_energy_j: energy that all cells spent on it.
    """
    carried_bytes = tally["delivered_bytes"].sum(-1)  # [num_ues]
    resource = {"bandwidth_hz": bandwidth_hz, "duration_s": duration_s, "share": share}
    cell_se = spectral_efficiency(cell["delivered_bytes"], **resource)
    user_se = spectral_efficiency(carried_bytes, **resource)
    blocks, bits = int(tally["blocks"].sum()), 8.0 * float(carried_bytes.sum())
    return Kpis(
        direction=direction,
        cell_se_bit_s_hz=cell_se,
        user_se_bit_s_hz=user_se,
        mean_cell_se_bit_s_hz=float(cell_se.mean()),
        cell_edge_se_bit_s_hz=float(np.percentile(user_se, CELL_EDGE_PERCENT)),
        first_bler=_ratio(int(tally["first_errors"].sum()), blocks),
        residual_bler=_ratio(int(tally["failures"].sum()), blocks),
        prb_utilisation=cell["prb_slots"] / (num_prbs * slots) if slots else np.full(len(cell), np.nan),
        jain_index=jain_index(carried_bytes),
        offered_bit_s=8.0 * float(delay["offered_bytes"].sum()) / duration_s,
        carried_bit_s=bits / duration_s,
        ue_energy_j_bit=_ratio(ue_energy_j, bits),
        gnb_energy_j_bit=_ratio(gnb_energy_j, bits),
        slices=tuple(
            _slice_kpis(name, tally[:, k], delay[:, k], histogram[:, k].sum(0), duration_s)
            for k, name in enumerate(slices)
        ),
    )


def _slice_kpis(
    name: str, tally: NDArray[Any], delay: NDArray[Any], histogram: NDArray[np.int64], duration_s: float
) -> SliceKpis:
    delivered, lost, dropped = (int(delay[fate].sum()) for fate in ("delivered", "lost", "dropped"))
    decided = delivered + lost + dropped
    longest_s = float(delay["delay_max_s"].max())
    p50_s, p95_s, p99_s = delay_percentiles_s(histogram, (50.0, 95.0, 99.0), longest_s).tolist()
    return SliceKpis(
        name=name,
        offered_bit_s=8.0 * float(delay["offered_bytes"].sum()) / duration_s,
        carried_bit_s=8.0 * float(tally["delivered_bytes"].sum()) / duration_s,
        delivered=delivered,
        lost_share=_ratio(lost, decided),
        dropped_share=_ratio(dropped, decided),
        late_share=_ratio(int(delay["late"].sum()), delivered),
        delay_mean_s=_ratio(float(delay["delay_sum_s"].sum()), delivered),
        delay_p50_s=p50_s,
        delay_p95_s=p95_s,
        delay_p99_s=p99_s,
        delay_max_s=longest_s if delivered else math.nan,
        queue_packets=float(delay["queue_packet_s"].sum()) / duration_s,
        histogram=histogram,
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def kpi_rows(kpis: Kpis) -> list[tuple[str, str]]:
    """Return the indicators as labelled lines."""
    k = kpis
    rows = [
        ("direction", k.direction),
        ("cell spectral efficiency", f"{k.mean_cell_se_bit_s_hz:.3f} bit/s/Hz{_range(k.cell_se_bit_s_hz)}"),
        ("user spectral efficiency", f"5th percentile {k.cell_edge_se_bit_s_hz:.4f} bit/s/Hz"),
        ("block error rate", f"first {percent(k.first_bler)}, residual {_small(k.residual_bler)}"),
        ("PRB utilisation", percent(float(k.prb_utilisation.mean()))),
        ("Jain index", f"{k.jain_index:.3f}" if math.isfinite(k.jain_index) else "-"),
        ("load", _load(k.offered_bit_s, k.carried_bit_s)),
        ("energy per bit", f"UE {with_prefix(k.ue_energy_j_bit, 'J')}, gNB {with_prefix(k.gnb_energy_j_bit, 'J')}"),
    ]
    for s in k.slices:
        rows.append((f"slice {s.name}", _load(s.offered_bit_s, s.carried_bit_s)))
        if s.delivered or s.lost_share > 0 or s.dropped_share > 0:
            quantiles = f"50/95/99 % {duration(s.delay_p50_s)}, {duration(s.delay_p95_s)}, {duration(s.delay_p99_s)}"
            fates = f"late {percent(s.late_share)}, lost {percent(s.lost_share)}, dropped {percent(s.dropped_share)}"
            rows.append(("  packet delay", f"mean {duration(s.delay_mean_s)}, {quantiles}"))
            rows.append(("  packets", f"{count(s.delivered, 'packet')} delivered, {fates}"))
    return rows


def _range(values: NDArray[np.float64]) -> str:
    return "" if len(values) == 1 else f" ({values.min():.3f} to {values.max():.3f} over {len(values)} cells)"


def _load(offered_bit_s: float, carried_bit_s: float) -> str:
    carried = f"carried {with_prefix(carried_bit_s, 'bit/s')}"
    return f"packets offered {with_prefix(offered_bit_s, 'bit/s')}, {carried}" if offered_bit_s else carried


def _small(ratio: float) -> str:
    return f"{ratio:.1e}" if 0.0 < ratio < 1e-3 else percent(ratio)


def user_se_cdf(axes: Axes, kpis: Kpis) -> None:
    """Draw the distribution of spectral efficiency over UEs, its 5th percentile marked."""
    axes.set_title("User spectral efficiency")
    values = np.sort(kpis.user_se_bit_s_hz)
    share = 100.0 * np.arange(1, len(values) + 1) / len(values)
    axes.step(values, share, where="post", color=_colour(kpis))
    edge = kpis.cell_edge_se_bit_s_hz
    axes.plot([0.0, edge, edge], [CELL_EDGE_PERCENT, CELL_EDGE_PERCENT, 0.0], color=CENTRAL, linestyle=":")
    axes.plot([edge], [CELL_EDGE_PERCENT], "o", color=CENTRAL, label=f"5th percentile {edge:.4f} bit/s/Hz")
    axes.set_xlim(left=0.0)
    axes.set_ylim(0.0, 100.0)
    axes.set_xlabel("spectral efficiency (bit/s/Hz)")
    axes.set_ylabel("UEs at or below (%)")
    axes.legend(loc="lower right")


def delay_cdf(axes: Axes, kpis: Kpis) -> None:
    """Draw the distribution of packet delay of every slice that delivered packets."""
    axes.set_title("Packet delay")
    shown = [(place, part) for place, part in enumerate(kpis.slices) if part.delivered]
    if not shown:
        return say_empty(axes, "no packet delivered")
    for place, part in shown:
        edges, reached = _cumulative(part.histogram, part.delay_max_s)
        first, last = np.flatnonzero(part.histogram)[[0, -1]]
        # A logarithmic axis has no 0, so delays below 0.1 ms are drawn at 0.1 ms.
        x_ms = 1e3 * np.maximum(np.minimum(edges[first : last + 2], part.delay_max_s), edges[1])
        colour = CATEGORIES[place % len(CATEGORIES)]
        axes.plot(x_ms, 100.0 * reached[first : last + 2] / reached[-1], color=colour, label=part.name)
    axes.set_xscale("log")
    axes.set_ylim(0.0, 100.0)
    axes.set_xlabel("delay from arrival to delivery (ms)")
    axes.set_ylabel("packets at or below (%)")
    axes.legend(loc="lower right")


def cell_se_bars(axes: Axes, kpis: Kpis) -> None:
    """Draw every cell's spectral efficiency and their mean."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title("Cell spectral efficiency")
    cells = np.arange(len(kpis.cell_se_bit_s_hz))
    axes.bar(cells, kpis.cell_se_bit_s_hz, width=0.75, color=_colour(kpis))
    mean = kpis.mean_cell_se_bit_s_hz
    axes.axhline(mean, color=INK, linestyle="--", label=f"mean {mean:.3f} bit/s/Hz")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("cell")
    axes.set_ylabel("spectral efficiency (bit/s/Hz)")
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")


def _colour(kpis: Kpis) -> str:
    return DOWNLINK if kpis.direction == "downlink" else UPLINK
