"""Key performance indicators of a radio access network, from counters to records, JSON and rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ran.metrics.text import count, duration, percent, with_prefix
from ran.traffic.delay_bins import NUM_BINS, edges_s

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

Direction = Literal["downlink", "uplink"]

CELL_EDGE_PERCENT = 5.0
"""The percentile that M.2410 calls the 5th percentile user spectral efficiency."""


@dataclass(frozen=True, eq=False)
class SliceKpis:
    """What the bearers of one slice experienced, all UEs together.

    Attributes:
        offered_bit_s: load of the packets that arrived; full buffers and learning payloads have no packets.
        carried_bit_s: SDU bits that arrived at the receiver, of whatever origin.
        first_bler, residual_bler: see ``Kpis``.
        prb_share: part of the direction's used PRBs.
        mean_rank: layers of a first transmission.
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
    first_bler: float
    residual_bler: float
    prb_share: float
    mean_rank: float
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
        bandwidth_hz, time_share: what a cell's spectral efficiency counts as its resource, see
            ``spectral_efficiency``.
        cell_se_bit_s_hz: sum over a cell's users of R_i / (T W), [num_cells] (M.2412 clause 7.1.2).
        user_se_bit_s_hz: R_i / (T W) of every UE that uses the direction, [num_users] (M.2412 clause 7.1.3).
        mean_cell_se_bit_s_hz: mean over cells: the average spectral efficiency per TRxP.
        cell_edge_se_bit_s_hz: 5th percentile over UEs.
        first_bler: share of first transmissions in error; residual_bler: share of blocks that HARQ gave up.
        prb_utilisation: used PRBs over available ones, [num_cells].
        mean_rank: layers of a first transmission.
        jain_index: (sum x)^2 / (n sum x^2) of the UEs' throughputs, 1/n to 1.
        offered_bit_s, carried_bit_s: sums over slices.
        ue_energy_j_bit, gnb_energy_j_bit: energy over SDU bits that arrived.
        slices: one record per slice, in the network's order.
    """

    direction: Direction
    bandwidth_hz: float
    time_share: float
    cell_se_bit_s_hz: NDArray[np.float64]
    user_se_bit_s_hz: NDArray[np.float64]
    mean_cell_se_bit_s_hz: float
    cell_edge_se_bit_s_hz: float
    first_bler: float
    residual_bler: float
    prb_utilisation: NDArray[np.float64]
    mean_rank: float
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
    edges, reached = cumulative(histogram, longest_s)
    if not reached[-1]:
        return np.full(len(percents), np.nan)
    target = np.asarray(percents, np.float64) / 100.0 * reached[-1]
    index = np.searchsorted(reached[1:], target)
    part = (target - reached[index]) / histogram[index]
    low, high = edges[index], edges[index + 1]
    value = np.where(low > 0.0, low ** (1.0 - part) * high**part, high * part)
    return np.minimum(value, longest_s)


def cumulative(histogram: NDArray[np.int64], longest_s: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bins' edges in s and the packets below each, both [NUM_BINS + 1]."""
    lower = edges_s()
    edges = np.append(lower, max(longest_s, lower[-1]))
    return edges, np.concatenate(([0.0], np.cumsum(histogram, dtype=np.float64)))


def measure_kpis(
    *,
    direction: Direction,
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
        tally: TALLY_DTYPE [num_users, num_slices] of the UEs that use the direction, counted over the stretch.
        cell: CELL_DTYPE [num_cells], likewise; after a handover a UE's bytes count where they were carried.
        delay: DELAY_DTYPE [num_users, num_slices] of ``Ledger.count_until``.
        histogram: the ledger's delay histogram, int64 [num_users, num_slices, NUM_BINS].
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
    bits, used_prbs = 8.0 * float(carried_bytes.sum()), int(tally["prb_slots"].sum())
    return Kpis(
        direction=direction,
        bandwidth_hz=bandwidth_hz,
        time_share=share,
        cell_se_bit_s_hz=cell_se,
        user_se_bit_s_hz=user_se,
        mean_cell_se_bit_s_hz=float(cell_se.mean()),
        cell_edge_se_bit_s_hz=float(np.percentile(user_se, CELL_EDGE_PERCENT)) if len(user_se) else math.nan,
        first_bler=per_block(tally, "first_errors"),
        residual_bler=per_block(tally, "failures"),
        prb_utilisation=cell["prb_slots"] / (num_prbs * slots) if slots else np.full(len(cell), np.nan),
        mean_rank=per_block(tally, "rank_sum"),
        jain_index=jain_index(carried_bytes),
        offered_bit_s=8.0 * float(delay["offered_bytes"].sum()) / duration_s,
        carried_bit_s=bits / duration_s,
        ue_energy_j_bit=_ratio(ue_energy_j, bits),
        gnb_energy_j_bit=_ratio(gnb_energy_j, bits),
        slices=tuple(
            _slice_kpis(name, tally[:, k], delay[:, k], histogram[:, k].sum(0), duration_s, used_prbs)
            for k, name in enumerate(slices)
        ),
    )


def _slice_kpis(
    name: str,
    tally: NDArray[Any],
    delay: NDArray[Any],
    histogram: NDArray[np.int64],
    duration_s: float,
    used_prbs: int,
) -> SliceKpis:
    delivered, lost, dropped = (int(delay[fate].sum()) for fate in ("delivered", "lost", "dropped"))
    decided = delivered + lost + dropped
    longest_s = float(delay["delay_max_s"].max(initial=0.0))
    p50_s, p95_s, p99_s = delay_percentiles_s(histogram, (50.0, 95.0, 99.0), longest_s).tolist()
    return SliceKpis(
        name=name,
        offered_bit_s=8.0 * float(delay["offered_bytes"].sum()) / duration_s,
        carried_bit_s=8.0 * float(tally["delivered_bytes"].sum()) / duration_s,
        first_bler=per_block(tally, "first_errors"),
        residual_bler=per_block(tally, "failures"),
        prb_share=_ratio(int(tally["prb_slots"].sum()), used_prbs),
        mean_rank=per_block(tally, "rank_sum"),
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


def per_block(tally: NDArray[Any], count_of: str) -> float:
    """Return a counter over the first transmissions, NaN where there are none."""
    return _ratio(float(tally[count_of].sum()), float(tally["blocks"].sum()))


@dataclass(frozen=True, eq=False)
class NetworkKpis:
    """A network over a stretch of virtual time.

    Attributes:
        start_s, duration_s: what was measured.
        num_ues: UEs in the network.
        cells_m: where the cells stand, [num_cells, 2].
        handovers, ping_pongs, radio_link_failures: of all UEs; ping-pongs are handovers too.
        directions: those that had something to carry.
    """

    start_s: float
    duration_s: float
    num_ues: int
    cells_m: NDArray[np.float64]
    handovers: int
    ping_pongs: int
    radio_link_failures: int
    directions: tuple[Kpis, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain values, histograms as the bins that are not empty."""
        content = asdict(self)
        for kpis in content["directions"]:
            for part in kpis["slices"]:
                bins = np.flatnonzero(part["histogram"])
                part["histogram"] = {"bin": bins, "packets": part["histogram"][bins]}
        return content

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> NetworkKpis:
        """Return what ``to_json`` was called on.

        Raises:
            KeyError, TypeError, ValueError: the content is something else.
        """
        ways = tuple(_restored(Kpis, way, {"slices": _slices_of(way)}) for way in content["directions"])
        return _restored(NetworkKpis, content, {"directions": ways})


def _slices_of(way: Mapping[str, Any]) -> tuple[SliceKpis, ...]:
    parts = []
    for part in way["slices"]:
        histogram = np.zeros(NUM_BINS, np.int64)
        histogram[part["histogram"]["bin"]] = part["histogram"]["packets"]
        parts.append(_restored(SliceKpis, part, {"histogram": histogram}))
    return tuple(parts)


def _restored(record: type[Any], content: Mapping[str, Any], known: Mapping[str, Any]) -> Any:
    """Return a record from plain values: None is NaN, a list an array of floats; ``known`` fields as given."""

    def value(name: str) -> Any:
        plain = content[name]
        if isinstance(plain, list):
            return np.array(plain, np.float64)
        return math.nan if plain is None else plain

    return record(**{field.name: value(field.name) for field in fields(record) if field.name not in known}, **known)


def network_rows(network: NetworkKpis) -> list[tuple[str, ...]]:
    """Return a table: its heading, then a label and the value of each direction."""
    columns = [kpi_rows(kpis) for kpis in network.directions]
    rows = [(label, *(column[place][1] for column in columns)) for place, (label, _) in enumerate(columns[0])]
    said = [row for row in rows if set(row[1:]) != {"-"}]
    return [("", *(kpis.direction for kpis in network.directions)), *said]


def mobility_text(network: NetworkKpis) -> str:
    """Return what mobility management did in a line."""
    return (
        f"{count(network.handovers, 'handover')}, {network.ping_pongs} of them ping-pongs; "
        f"{count(network.radio_link_failures, 'radio link failure')}"
    )


def background_rows(network: NetworkKpis) -> list[tuple[str, str]]:
    """Return what the traffic besides the learning got, as labelled lines for the summary of a run."""
    rows = []
    for kpis in network.directions:
        for part in kpis.slices[1:]:
            late = f"; delay mean {duration(part.delay_mean_s)}, 95 % {duration(part.delay_p95_s)}"
            text = f"{load_text(part)}{late if part.delivered else ''}"
            if part.offered_bit_s or part.carried_bit_s:
                rows.append((f"{part.name}, {kpis.direction}", text))
    return [*rows, ("mobility", mobility_text(network))]


def kpi_rows(kpis: Kpis) -> list[tuple[str, str]]:
    """Return the indicators as labelled lines, equally many for either direction of a network."""
    k = kpis
    share = "" if k.time_share == 1.0 else f" x {percent(k.time_share)} of the time"
    rows = [
        ("cell spectral efficiency", f"{k.mean_cell_se_bit_s_hz:.3f} bit/s/Hz{_range(k.cell_se_bit_s_hz)}"),
        ("  per bandwidth and time", f"{with_prefix(k.bandwidth_hz, 'Hz')}{share}"),
        ("5th percentile user SE", f"{k.cell_edge_se_bit_s_hz:.4f} bit/s/Hz of {count(len(k.user_se_bit_s_hz), 'UE')}"),
        ("throughput", f"{_rate(k.carried_bit_s)}, {_rate(_ratio(k.carried_bit_s, len(k.user_se_bit_s_hz)))} per UE"),
        ("block error rate", f"first {percent(k.first_bler)}, residual {_small(k.residual_bler)}"),
        ("PRB utilisation", percent(float(k.prb_utilisation.mean()))),
        ("mean rank", f"{k.mean_rank:.2f}" if math.isfinite(k.mean_rank) else "-"),
        ("Jain index", f"{k.jain_index:.3f}" if math.isfinite(k.jain_index) else "-"),
        ("energy per bit", f"UE {with_prefix(k.ue_energy_j_bit, 'J')}, gNB {with_prefix(k.gnb_energy_j_bit, 'J')}"),
    ]
    return rows + [row for part in k.slices for row in _slice_rows(part)]


def _slice_rows(s: SliceKpis) -> list[tuple[str, str]]:
    delays = "-"
    if s.delivered:
        tail = f"95 % {duration(s.delay_p95_s)}, 99 % {duration(s.delay_p99_s)}"
        delays = f"mean {duration(s.delay_mean_s)}, {tail}"
    packets = "-"
    if s.delivered or s.lost_share > 0 or s.dropped_share > 0:
        fates = f"late {percent(s.late_share)}, lost {percent(s.lost_share)}, dropped {percent(s.dropped_share)}"
        packets = f"{count(s.delivered, 'packet')} delivered, {fates}"
    errors = f"first {percent(s.first_bler)}, residual {_small(s.residual_bler)}"
    return [
        (f"slice {s.name}", f"{load_text(s)}; {percent(s.prb_share)} of the PRBs used" if s.prb_share > 0 else "-"),
        ("  block error rate", errors if math.isfinite(s.first_bler) else "-"),
        ("  packet delay", delays),
        ("  packets", packets),
    ]


def _range(values: NDArray[np.float64]) -> str:
    return "" if len(values) == 1 else f" ({values.min():.3f} to {values.max():.3f} over {len(values)} cells)"


def load_text(part: SliceKpis) -> str:
    """Return what a slice carried, of what was offered where that is known."""
    offered = f" of {_rate(part.offered_bit_s)} offered" if part.offered_bit_s else ""
    return f"carried {_rate(part.carried_bit_s)}{offered}"


def _rate(bit_s: float) -> str:
    return with_prefix(bit_s, "bit/s")


def _small(ratio: float) -> str:
    return f"{ratio:.1e}" if 0.0 < ratio < 1e-3 else percent(ratio)
