"""Oracles: the metric by hand, and queues of packets whose delays are counted."""

from __future__ import annotations

import math
from collections import deque

import numpy as np

from ran.mac.proportional_fair import ProportionalFair
from ran.mac.qos import Qos
from tests.ran.mac.observations import bits_of, idle_bearers, one_cell

SLOT_S = 0.5e-3


def test_weight_by_hand():
    """Hand case: a conversational voice bearer 40 ms old (5QI 1), a web bearer 40 ms old (5QI 9), a full buffer."""
    bearer = idle_bearers(1, 3)
    bearer["priority"][0], bearer["budget_s"][0] = [20.0, 90.0, 90.0], [0.1, 0.3, 0.3]
    bearer["head_s"][0] = [1.96, 1.96, np.nan]
    seen = one_cell(np.ones((3, 1)), bearer=bearer, now_s=2.0)
    state = np.array([[500.0, 1000.0, 2000.0]])
    expected = [
        (1 - math.log(0.01) / 0.1 * 0.04) / (20 * 500.0),
        (1 - math.log(0.01) / 0.3 * 0.04) / (90 * 1000.0),
        1 / (90 * 2000.0),
    ]
    np.testing.assert_allclose(Qos(delta=0.01).weight(seen, state)[0], expected, rtol=1e-12)


def test_urgency_stops_growing():
    """Hand case: 0.3 s and an hour old weigh the same. Catches: elastic queues that starve everyone in overload."""
    bearer = idle_bearers(1, 2)
    bearer["head_s"][0] = [3600.0 - 0.3, 0.0]
    weight = Qos().weight(one_cell(np.ones((2, 1)), bearer=bearer, now_s=3600.0), np.full((1, 2), 100.0))
    np.testing.assert_allclose(weight[0, 0], weight[0, 1], rtol=1e-9)


def test_without_packets_it_is_proportional_fair():
    """Oracle: proportional fairness, full buffers of one priority: the same grants slot by slot."""
    rng = np.random.default_rng(4)
    states = [scheduler.start(1, 1, 4) for scheduler in (Qos(), ProportionalFair())]
    for _ in range(200):
        rate, served = rng.uniform(1.0, 3000.0, (4, 9)), rng.integers(0, 9000, 4)
        ours, states[0] = Qos().decide(one_cell(rate, served_bits=served), states[0])
        pf, states[1] = ProportionalFair().decide(one_cell(rate, served_bits=served), states[1])
        np.testing.assert_array_equal(ours, pf)


def late_fractions(scheduler, *, slots=6000):
    """Return which fraction of the delay-critical packets came after their budget, and mean rates, bits per slot.

    A cell of 10 groups of 1000 bits carries two delay-critical bearers (5QI 84: priority 24, 30 ms) with 2000 bits
    every other slot, and 20 elastic ones (5QI 9) that never empty: 10 with queues that have been waiting since the
    beginning and 10 full buffers without packets.
    """
    critical, elastic = 2, 20
    bearer = idle_bearers(1, critical + elastic)
    bearer["priority"][0, :critical], bearer["budget_s"][0, :critical] = 24.0, 0.030
    bearer["head_s"][0, critical : critical + elastic // 2] = 0.0
    queues = [deque() for _ in range(critical)]
    rate = np.full((critical + elastic, 10), 1000.0)
    state = scheduler.start(1, 1, critical + elastic)
    served, total, late, packets = np.zeros(critical + elastic), np.zeros(critical + elastic), 0, 0
    for slot in range(slots):
        now_s = slot * SLOT_S
        for u, queue in enumerate(queues):
            if slot % 2 == 0:
                queue.append([now_s, 2000.0])
            bearer["head_s"][0, u] = queue[0][0] if queue else np.nan
        waiting = [sum(left for _, left in queue) / 8 for queue in queues]
        backlog = np.r_[waiting, np.full(elastic, 1e9)].astype(np.int64)
        seen = one_cell(rate, backlog_bytes=backlog, served_bits=served, bearer=bearer, now_s=now_s)
        owner, state = scheduler.decide(seen, state)
        served = bits_of(owner[0, 0], rate)
        total += served
        for u, queue in enumerate(queues):
            bits = served[u]
            while queue and bits > 0:
                taken = min(bits, queue[0][1])
                queue[0][1] -= taken
                bits -= taken
                if queue[0][1] == 0:
                    late += now_s + SLOT_S - queue.popleft()[0] > 0.030
                    packets += 1
    late += sum(slots * SLOT_S - since > 0.030 for queue in queues for since, _ in queue)
    packets += sum(len(queue) for queue in queues)
    assert packets == critical * slots // 2
    return late / packets, total / slots


def test_in_overload_the_delay_critical_bearer_keeps_its_budget():
    """Two classes overload the cell: at most delta of the critical packets are late, where PF is late with most.

    Equal shares of 22 bearers would be 455 bits a slot, and the critical ones offer 1000. Nobody starves.
    """
    late, rates = late_fractions(Qos())
    late_pf, _ = late_fractions(ProportionalFair())
    assert late <= Qos().delta
    assert late_pf > 0.5
    np.testing.assert_allclose(rates[:2], 1000.0, rtol=0.05)
    assert rates[2:].min() > 100.0
