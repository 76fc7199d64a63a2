"""The packet ledger: conservation, in-order delays, queueing theory."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ran.traffic import Cbr, Poisson
from ran.traffic.delay_bins import NUM_BINS, edges_s
from ran.traffic.ledger import Ledger
from ran.traffic.ledger_kernels import delay_bin, offer, settle
from ran.traffic.source import ARRIVAL_DTYPE, TrafficSource

BLOCK_DTYPE = np.dtype([("start", "i8"), ("delivered", "i8"), ("lost", "i8"), ("bearer", "i4")], align=True)
NEVER = np.full((1, 2), np.inf)


def arrivals(*rows: tuple[float, int, int, int]):
    """Return ARRIVAL_DTYPE rows from (time_s, ue, bearer, size)."""
    out = np.zeros(len(rows), ARRIVAL_DTYPE)
    for i, (time_s, ue, bearer, size) in enumerate(rows):
        out[i] = (time_s, size, 0, ue, bearer)
    return out


def give(ledger: Ledger, now_s: float, rows, enqueued) -> int:
    return offer(now_s, rows, 0, ledger.packet, ledger.queue, ledger.delay, enqueued)


def block(start: int, *, delivered: int = 0, lost: int = 0, bearer: int = 1):
    out = np.zeros((1, 1), BLOCK_DTYPE)
    out[0, 0] = (start, delivered, lost, bearer)
    return out


def three_packets(capacity: int = 8) -> Ledger:
    """A ledger with packets of 100, 50 and 200 bytes that arrived at 1, 2 and 3 ms."""
    ledger, enqueued = Ledger.start(1, 1, 2, capacity=capacity), np.zeros((1, 1, 2), np.int64)
    rows = arrivals((1e-3, 0, 1, 100), (2e-3, 0, 1, 50), (3e-3, 0, 1, 200))
    assert give(ledger, 2.5e-3, rows, enqueued) == 2
    assert enqueued.tolist() == [[[0, 150]]]
    assert offer(3e-3, rows, 2, ledger.packet, ledger.queue, ledger.delay, enqueued) == 3
    assert enqueued.tolist() == [[[0, 350]]]
    return ledger


def test_packets_leave_in_order_with_the_delay_of_the_gap_before_them():
    """Oracle: worked by hand. Packet 2 is whole at 5 ms, but leaves with packet 1, whose tail HARQ brings at 9 ms."""
    ledger = three_packets()
    budget_s = np.full((1, 2), 6.5e-3)
    ledger.settle(4e-3, block(0, delivered=90), budget_s)
    ledger.settle(5e-3, block(100, delivered=60), budget_s)  # packet 2 and 10 bytes of packet 3
    assert ledger.delay["delivered"].sum() == 0
    ledger.settle(9e-3, block(90, delivered=10), budget_s)
    row = ledger.delay[0, 0, 1]
    assert row["delivered"] == 2
    assert row["delay_sum_s"] == pytest.approx(8e-3 + 7e-3)
    assert row["delay_square_sum_s2"] == pytest.approx(64e-6 + 49e-6)
    assert row["delay_max_s"] == pytest.approx(8e-3)
    assert row["late"] == 2
    ledger.settle(9.4e-3, block(160, delivered=190), budget_s)
    assert row["delivered"] == 3
    assert row["late"] == 2
    assert row["delay_sum_s"] == pytest.approx(8e-3 + 7e-3 + 6.4e-3)
    assert ledger.histogram[0, 0, 1].sum() == 3
    assert row["arrived_bytes"] == row["offered_bytes"] == 350
    # Integral of the queue length by hand: 1, 2, 3 packets from 1, 2, 3 ms; 1 from 9 ms; none from 9.4 ms.
    assert ledger.count_until(20e-3)["queue_packet_s"][0, 0, 1] == pytest.approx(1e-3 + 2e-3 + 18e-3 + 0.4e-3)


def test_a_packet_with_a_lost_byte_is_lost_and_holds_up_nobody():
    """Oracle: worked by hand: RLC UM gives up the last 10 bytes of packet 1 at 6 ms, so packet 2 leaves then."""
    ledger = three_packets()
    ledger.settle(4e-3, block(0, delivered=90), NEVER)
    ledger.settle(5e-3, block(100, delivered=50), NEVER)
    ledger.settle(6e-3, block(90, lost=10), NEVER)
    row = ledger.delay[0, 0, 1]
    assert (row["lost"], row["delivered"], row["lost_bytes"], row["arrived_bytes"]) == (1, 1, 10, 140)
    assert row["delay_sum_s"] == pytest.approx(4e-3)
    assert row["sojourn_sum_s"] == pytest.approx(5e-3 + 4e-3)
    assert ledger.histogram.sum() == 1


def test_a_full_ring_drops_before_rlc():
    """Oracle: by hand: of three packets a ring of two takes two; the third's bytes are never enqueued."""
    ledger, enqueued = Ledger.start(1, 1, 2, capacity=2), np.zeros((1, 1, 2), np.int64)
    give(ledger, 1.0, arrivals((0.1, 0, 1, 7), (0.2, 0, 1, 8), (0.3, 0, 1, 9)), enqueued)
    row = ledger.delay[0, 0, 1]
    assert (row["offered"], row["offered_bytes"], row["dropped"], row["dropped_bytes"]) == (3, 24, 1, 9)
    assert enqueued[0, 0, 1] == 15


def test_head_delay_is_the_age_of_the_oldest_packet():
    """Oracle: by hand: 4 ms old at 5 ms; the next one, 3 ms old, once the first has left; other bearers 0."""
    ledger = three_packets()
    np.testing.assert_allclose(ledger.head_delay_s(5e-3), [[[0.0, 4e-3]]])
    ledger.settle(5e-3, block(0, delivered=100), NEVER)
    np.testing.assert_allclose(ledger.head_delay_s(5e-3), [[[0.0, 3e-3]]])
    ledger.settle(5e-3, block(100, delivered=250), NEVER)
    np.testing.assert_allclose(ledger.head_delay_s(5e-3), [[[0.0, 0.0]]])


def test_bytes_of_no_packet_pass_untouched():
    """Property: learning bytes, and a full buffer's, settle without a trace."""
    ledger = three_packets()
    before = ledger.copy()
    ledger.settle(4e-3, block(0, delivered=5000, bearer=0), NEVER)
    ledger.settle(4e-3, block(0, lost=5000, bearer=0), NEVER)
    ledger.settle(4e-3, block(350, delivered=99), NEVER)
    ledger.settle(4e-3, block(0), NEVER)
    for name, array in ledger.arrays().items():
        assert (array == before.arrays()[name]).all(), name


def test_a_byte_settled_twice_is_caught():
    """Property: the invariant that every byte arrives once is asserted, not assumed."""
    ledger = three_packets()
    ledger.settle(4e-3, block(0, delivered=60), NEVER)
    with pytest.raises(AssertionError, match="settled twice"):
        ledger.settle(4e-3, block(0, delivered=60), NEVER)


class Reference:
    """The ledger as plain Python: every byte of every packet in a list."""

    def __init__(self, capacity: int) -> None:
        self.capacity, self.stream, self.waiting = capacity, {}, {}
        self.delays, self.lost, self.dropped = [], 0, 0

    def offer(self, key, time_s: float, size: int) -> None:
        waiting = self.waiting.setdefault(key, [])
        if len(waiting) == self.capacity:
            self.dropped += 1
            return
        start = self.stream.get(key, 0)
        self.stream[key] = start + size
        waiting.append({"time_s": time_s, "bytes": set(range(start, start + size)), "hurt": False})

    def settle(self, key, start: int, count: int, end_s: float, arrived: bool) -> None:
        waiting = self.waiting.get(key, [])
        for packet in waiting:
            mine = packet["bytes"] & set(range(start, start + count))
            packet["bytes"] -= mine
            packet["hurt"] |= bool(mine) and not arrived
        while waiting and not waiting[0]["bytes"]:
            packet = waiting.pop(0)
            if packet["hurt"]:
                self.lost += 1
            else:
                self.delays.append(end_s - packet["time_s"])


@settings(max_examples=150)
@given(seed=st.integers(0, 2**32 - 1), capacity=st.integers(1, 6), loss=st.sampled_from([0.0, 0.3]))
def test_nothing_is_lost_or_created(seed, capacity, loss):
    """Oracle: the plain Python ledger above, under random offers and ranges settled in random order, some lost.

    Also conservation of packets and bytes, and Little's law, after every step.
    """
    rng = np.random.default_rng(seed)
    ues, bearers, end_s = 2, 2, 0.0
    ledger = Ledger.start(1, ues, bearers, capacity=capacity)
    enqueued, sent = np.zeros((2, 1, ues, bearers), np.int64)
    reference, flying = Reference(capacity), []
    for step in range(40):
        now_s, end_s = step * 1e-3, (step + 1) * 1e-3
        times_s = np.sort(rng.uniform(now_s - 1e-3, now_s, rng.integers(0, 4))) if step else []
        rows = [(t, int(rng.integers(ues)), int(rng.integers(bearers)), int(rng.integers(1, 60))) for t in times_s]
        give(ledger, now_s, arrivals(*rows), enqueued)
        for time_s, ue, bearer, size in rows:
            reference.offer((ue, bearer), time_s, size)
        slot = np.zeros((1, ues), BLOCK_DTYPE)
        for ue in range(ues):
            bearer = int(rng.integers(bearers))
            count = int(min(enqueued[0, ue, bearer] - sent[0, ue, bearer], rng.integers(0, 80)))
            if count:
                flying.append((ue, bearer, int(sent[0, ue, bearer]), count))
                sent[0, ue, bearer] += count
            mine = [piece for piece in flying if piece[0] == ue]
            if mine and rng.random() < 0.8:
                piece = mine[rng.integers(len(mine))]
                flying.remove(piece)
                _, bearer, start, count = piece
                arrived = rng.random() >= loss
                slot[0, ue] = (start, count * arrived, count * (not arrived), bearer)
                reference.settle((ue, bearer), start, count, end_s, bool(arrived))
        ledger.settle(end_s, slot, np.full((ues, bearers), 5e-3))
        _check_conservation(ledger, reference, end_s)


def _check_conservation(ledger: Ledger, reference: Reference, now_s: float) -> None:
    d = ledger.count_until(now_s)
    left, capacity = 0, ledger.packet.shape[-1]
    for (u, k), queue in np.ndenumerate(ledger.queue[0]):
        left += sum(ledger.packet[0, u, k, (queue["head"] + i) % capacity]["left"] for i in range(queue["count"]))
    assert (
        d["offered"].sum() == d["delivered"].sum() + d["lost"].sum() + d["dropped"].sum() + ledger.queue["count"].sum()
    )
    assert d["offered_bytes"].sum() == sum(d[f"{fate}_bytes"].sum() for fate in ("arrived", "lost", "dropped")) + left
    assert (d["delivered"].sum(), d["lost"].sum(), d["dropped"].sum()) == (
        len(reference.delays),
        reference.lost,
        reference.dropped,
    )
    assert d["delay_sum_s"].sum() == pytest.approx(sum(reference.delays), abs=1e-12)
    assert d["delay_max_s"].max() == pytest.approx(max(reference.delays, default=0.0))
    assert d["late"].sum() == sum(delay > 5e-3 for delay in reference.delays)
    assert ledger.histogram.sum() == len(reference.delays)
    np.testing.assert_allclose(d["queue_packet_s"], d["sojourn_sum_s"] + ledger.waiting_s(now_s), atol=1e-12)


@numba.njit
def serve(now_s, slot_s, slots, rate, arrival, cursor, packet, queue, delay, histogram, budget_s, enqueued, sent):
    """First come, first served at ``rate`` bytes per slot for every UE."""
    for _ in range(slots):
        cursor = offer(now_s, arrival, cursor, packet, queue, delay, enqueued)
        for u in range(enqueued.shape[1]):
            take = min(rate, enqueued[0, u, 0] - sent[0, u, 0])
            if take > 0:
                settle(packet, queue, delay, histogram, budget_s, 0, u, 0, sent[0, u, 0], take, now_s + slot_s, 1)
                sent[0, u, 0] += take
        now_s += slot_s
    return cursor


@pytest.mark.parametrize("rho", [0.5, 0.7, 0.8])
def test_an_m_d_1_queue_waits_as_pollaczek_and_khinchine_say(rho):
    """Oracle: M/D/1: mean delay D + rho D / (2 (1 - rho)) within 3 %, for Poisson packets at a constant byte rate.

    40 UEs with a queue each, 500 packets a second, 40 s: 800,000 packets. A slot is D / 50: packets wait half a slot
    on average until the next one starts, 0.7 % of the delay at most. Little's law: mean queue = rate x mean delay.
    """
    ues, packets_per_s, windows, slots_per_packet = 40, 500.0, 40, 50
    service_s = rho / packets_per_s
    slot_s = service_s / slots_per_packet
    flow = Poisson(packets_per_s=packets_per_s, packet_bytes=1000, slice="data")
    source = TrafficSource([flow], direction="downlink", slices=["data"], num_ues=ues, seeds=[5])
    ledger = Ledger.start(1, ues, 1)
    enqueued, sent = np.zeros((2, 1, ues, 1), np.int64)
    slot = 0
    for window in range(windows):
        until = int((window + 1) / slot_s)
        cursor = serve(
            slot * slot_s, slot_s, until - slot, 1000 // slots_per_packet, source.window(window), 0,
            ledger.packet, ledger.queue, ledger.delay, ledger.histogram, np.full((ues, 1), 0.3), enqueued, sent,
        )  # fmt: skip
        slot = until
        rest = source.window(window)
        offer((window + 1.0), rest, cursor, ledger.packet, ledger.queue, ledger.delay, enqueued)
    d = ledger.count_until(slot * slot_s)
    mean_s = d["delay_sum_s"].sum() / d["delivered"].sum()
    assert mean_s == pytest.approx(service_s + rho * service_s / (2 * (1 - rho)), rel=0.03)
    assert d["dropped"].sum() == 0
    mean_queue = d["queue_packet_s"].sum() / (slot * slot_s)
    assert mean_queue == pytest.approx(d["offered"].sum() / (slot * slot_s) * mean_s, rel=0.003)


def test_bins_hold_the_delays_between_their_edges():
    """Oracle: edges_s; every delay lies between its bin's edges, which differ by less than 3 %."""
    edges = edges_s()
    assert len(edges) == NUM_BINS
    assert (edges[2:] / edges[1:-1] < 1.03).all()
    assert edges[1] == 1e-4
    assert edges[-1] == pytest.approx(100.0)
    for delay_s in np.concatenate(([0.0, 5e-5, 99.9, 100.1, 1e4], np.geomspace(1.01e-4, 99.0, 1000))):
        index = delay_bin(delay_s)
        assert edges[index] <= delay_s * (1 + 1e-12)
        assert index == NUM_BINS - 1 or delay_s < edges[index + 1] * (1 + 1e-12)


def test_recount_forgets_the_past_but_no_packet():
    """Oracle: by hand: counters from 5 ms on; the packet delivered at 6 ms keeps its arrival at 1 ms."""
    ledger = three_packets()
    ledger.recount(5e-3)
    ledger.settle(6e-3, block(0, delivered=100), NEVER)
    row = ledger.count_until(8e-3)[0, 0, 1]
    assert (row["offered"], row["delivered"]) == (0, 1)
    assert row["delay_sum_s"] == pytest.approx(5e-3)
    assert row["queue_packet_s"] == pytest.approx(3 * 1e-3 + 2 * 2e-3)


def test_a_ledger_travels_through_its_arrays():
    """Property: restore(arrays()) gives the same future, and a copy shares nothing."""
    source = TrafficSource([Cbr()], direction="downlink", slices=["learning", "traffic"], num_ues=1, seeds=[1])
    ledger, twin = Ledger.start(1, 1, 2), Ledger.start(1, 1, 2)
    enqueued = np.zeros((1, 1, 2), np.int64)
    source.offer(1.25, ledger, enqueued)
    twin.restore(ledger.copy().arrays())
    other = enqueued.copy()
    source.offer(2.6, ledger, enqueued)
    TrafficSource([Cbr()], direction="downlink", slices=["learning", "traffic"], num_ues=1, seeds=[1]).offer(
        2.6, twin, other
    )
    assert (other == enqueued).all()
    for name, array in ledger.arrays().items():
        assert (array == twin.arrays()[name]).all(), name
