"""Compiled packet ledger: packets enter at their arrival and leave, in order, when their last byte has arrived."""

from __future__ import annotations

import math

import numba

from ran.traffic.delay_bins import BINS_PER_DECADE, NUM_BINS, SHORTEST_S


@numba.njit(cache=True)
def offer(now_s, arrival, cursor, packet, queue, delay, enqueued):
    """Move what has arrived by ``now_s`` (s) into the rings and return the cursor after it.

    ``arrival`` is ARRIVAL_DTYPE [any], ascending in time, ``cursor`` the first of them not seen yet; ``enqueued`` are
    the bytes ever handed to RLC, int64 [batch, num_ues, num_bearers]; it grows by what is taken.
    """
    capacity = packet.shape[3]
    while cursor < len(arrival) and arrival[cursor].time_s <= now_s:
        a = arrival[cursor]
        b, u, k = a.replica, a.ue, a.bearer
        q = queue[b, u, k]
        d = delay[b, u, k]
        d.offered += 1
        d.offered_bytes += a.size
        if q.count == capacity:
            d.dropped += 1
            d.dropped_bytes += a.size
        else:
            enqueued[b, u, k] += a.size
            p = packet[b, u, k, (q.head + q.count) % capacity]
            p.arrival_s = a.time_s
            p.end = enqueued[b, u, k]
            p.left = a.size
            p.lost = 0
            q.count += 1
            # The packet will be counted from since_s on, so its wait until then is added (or taken back) here.
            d.queue_packet_s += q.since_s - a.time_s
        cursor += 1
    return cursor


@numba.njit(cache=True)
def settle(packet, queue, delay, histogram, budget_s, b, u, k, start, count, end_s, arrived):
    """Book that bytes [start, start + count) of a bearer arrived at ``end_s`` (``arrived`` 1) or are lost (0).

    Ranges come in any order, each byte once. Bytes of no packet are none of the ledger's business.
    """
    q = queue[b, u, k]
    ring = packet[b, u, k]
    capacity = len(ring)
    index = 0
    beyond = q.count
    while index < beyond:  # bisection for the first packet that ends behind ``start``
        middle = (index + beyond) // 2
        if ring[(q.head + middle) % capacity].end <= start:
            index = middle + 1
        else:
            beyond = middle
    stop = start + count
    while index < q.count and start < stop:
        p = ring[(q.head + index) % capacity]
        take = min(p.end, stop) - start
        p.left -= take
        assert p.left >= 0, "a byte is settled twice"
        if arrived:
            delay[b, u, k].arrived_bytes += take
        else:
            p.lost += take
            delay[b, u, k].lost_bytes += take
        start += take
        index += 1
    _release(ring, q, delay[b, u, k], histogram[b, u, k], budget_s[u, k], end_s)


@numba.njit(cache=True)
def _release(ring, q, d, bins, budget_s, end_s):
    """Let every packet leave that is complete and has none before it (PDCP delivers in order)."""
    while q.count > 0 and ring[q.head].left == 0:
        p = ring[q.head]
        wait_s = end_s - p.arrival_s
        d.queue_packet_s += q.count * (end_s - q.since_s)
        q.since_s = end_s
        q.head = (q.head + 1) % len(ring)
        q.count -= 1
        d.sojourn_sum_s += wait_s
        if p.lost > 0:
            d.lost += 1
            continue
        d.delivered += 1
        d.delay_sum_s += wait_s
        d.delay_square_sum_s2 += wait_s * wait_s
        d.delay_max_s = max(d.delay_max_s, wait_s)
        if wait_s > budget_s:
            d.late += 1
        bins[delay_bin(wait_s)] += 1


@numba.njit(cache=True)
def delay_bin(delay_s):
    """Return the histogram bin of a delay in seconds."""
    if delay_s < SHORTEST_S:
        return 0
    return min(1 + int(BINS_PER_DECADE * math.log10(delay_s / SHORTEST_S)), NUM_BINS - 1)


@numba.njit(cache=True)
def settle_slot(packet, queue, delay, histogram, budget_s, end_s, bearer, start, delivered, lost):
    """Book one slot's byte ranges, one per UE: ``delivered`` or ``lost`` bytes of a ``bearer`` from ``start`` on.

    All int [batch, num_ues]; where both are zero nothing happened.
    """
    batch, ues = start.shape
    for b in range(batch):
        for u in range(ues):
            if delivered[b, u] > 0:
                settle(
                    packet,
                    queue,
                    delay,
                    histogram,
                    budget_s,
                    b,
                    u,
                    bearer[b, u],
                    start[b, u],
                    delivered[b, u],
                    end_s,
                    1,
                )
            elif lost[b, u] > 0:
                settle(packet, queue, delay, histogram, budget_s, b, u, bearer[b, u], start[b, u], lost[b, u], end_s, 0)


@numba.njit(cache=True)
def head_delay_s(now_s, packet, queue, age_s):
    """Fill ``age_s`` [batch, num_ues, num_bearers] with the age of every bearer's oldest packet, 0 where none waits."""
    batch, ues, bearers = queue.shape
    for b in range(batch):
        for u in range(ues):
            for k in range(bearers):
                q = queue[b, u, k]
                age_s[b, u, k] = now_s - packet[b, u, k, q.head].arrival_s if q.count > 0 else 0.0


@numba.njit(cache=True)
def mark_heads(packet, queue, carries, head_s):
    """Write when the oldest packet arrived, NaN where none waits, into ``head_s`` of the bearers that carry packets.

    ``carries`` is bool [num_ues, num_bearers], ``head_s`` float64 [batch, num_ues, num_bearers].
    """
    batch, ues, bearers = queue.shape
    for b in range(batch):
        for u in range(ues):
            for k in range(bearers):
                if carries[u, k]:
                    q = queue[b, u, k]
                    head_s[b, u, k] = packet[b, u, k, q.head].arrival_s if q.count > 0 else math.nan
