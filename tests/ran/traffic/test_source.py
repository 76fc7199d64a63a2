"""The source: flows of many UEs and replicas become one row of arrivals that slots consume."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran.traffic import Cbr, Ftp3, FullBuffer, Poisson, Traffic, Xr
from ran.traffic.ledger import Ledger
from ran.traffic.source import FULL_BUFFER_BYTES, TrafficSource

SLICES = ("learning", "traffic", "video")
FLOWS = (
    Poisson(ues=(0, 2), packets_per_s=30.0),
    Xr(slice="video", direction="both"),
    Ftp3(ues=(1,), five_qi=6),
    FullBuffer(ues=(3,), direction="uplink"),
)


def source_of(*flows: Traffic, seeds=(3,), num_ues=4, direction="downlink") -> TrafficSource:
    return TrafficSource(flows, direction=direction, slices=SLICES, num_ues=num_ues, seeds=seeds)


def test_a_window_holds_every_flows_packets_in_order_of_time():
    """Oracle: the models' own packets(), flow by flow."""
    rows = source_of(*FLOWS).window(2)
    assert (np.diff(rows["time_s"]) >= 0).all()
    assert len(rows) == sum(len(flow.packets(3, ue, "downlink", 2)[0]) for flow in FLOWS[:3] for ue in flow.selected(4))
    for flow, bearer in ((FLOWS[0], 1), (FLOWS[1], 2), (FLOWS[2], 1)):
        for ue in flow.selected(4):
            mine = rows[(rows["ue"] == ue) & (rows["bearer"] == bearer)]
            times_s, sizes = flow.packets(3, ue, "downlink", 2)
            np.testing.assert_array_equal(mine["time_s"], times_s)
            np.testing.assert_array_equal(mine["size"], sizes)
    uplink = source_of(*FLOWS, direction="uplink").window(2)
    assert set(uplink["bearer"].tolist()) == {2}


def test_a_replica_equals_its_world_alone():
    """Property: replica b of a batch has the arrivals of the seed's own source, bit for bit."""
    together = source_of(*FLOWS, seeds=(3, 9, 4)).window(1)
    for replica, seed in enumerate((3, 9, 4)):
        alone = source_of(*FLOWS, seeds=(seed,)).window(1)
        mine = together[together["replica"] == replica]
        for name in ("time_s", "size", "ue", "bearer"):
            np.testing.assert_array_equal(mine[name], alone[name])


def test_twin_flows_are_independent():
    """Property: two equal flows on one bearer do not arrive in pairs, and the first is as if it were alone."""
    flow = Poisson(packets_per_s=200.0)
    both, alone = source_of(flow, flow).window(0), source_of(flow).window(0)
    assert len(np.unique(both["time_s"])) == len(both)
    assert set(alone["time_s"].tolist()) < set(both["time_s"].tolist())
    assert len(both) > 1.5 * len(alone)


@pytest.mark.parametrize("steps_s", [0.0005, 0.37, 3.7])
def test_offers_do_not_depend_on_how_time_is_cut(steps_s):
    """Oracle: packets counted from the windows; the same whether slots run one by one or idle windows are skipped."""
    ledger, enqueued = Ledger.start(1, 4, 3, capacity=4096), np.zeros((1, 4, 3), np.int64)
    source, fresh = source_of(*FLOWS), source_of(*FLOWS)
    now_s = 0.0
    while now_s < 3.7 - 1e-9:
        now_s = min(now_s + steps_s, 3.7)
        source.offer(now_s, ledger, enqueued)
    rows = np.concatenate([fresh.window(w) for w in range(4)])
    rows = rows[rows["time_s"] <= 3.7]
    expected = np.zeros((4, 3), np.int64)
    np.add.at(expected, (rows["ue"], rows["bearer"]), rows["size"])
    np.testing.assert_array_equal(enqueued[0], expected)
    assert ledger.delay["offered"].sum() == len(rows)


def test_the_next_arrival_is_never_later_than_the_next_packet():
    """Property: jumping to next_arrival_s again and again meets every packet at its own time."""
    source, ledger = source_of(Ftp3(files_per_s=0.3, ues=(1,))), Ledger.start(1, 4, 3)
    enqueued, seen, now_s = np.zeros((1, 4, 3), np.int64), [], 0.0
    while now_s < 30.0:
        now_s = source.next_arrival_s(ledger)
        before = int(ledger.delay["offered"].sum())
        source.offer(now_s, ledger, enqueued)
        seen += [now_s] * (int(ledger.delay["offered"].sum()) - before)
    fresh = source_of(Ftp3(files_per_s=0.3, ues=(1,)))
    true = np.concatenate([fresh.window(w)["time_s"] for w in range(31)])
    np.testing.assert_array_equal(seen, true[true <= now_s])
    assert source_of(FullBuffer()).next_arrival_s(ledger) == math.inf


def test_bearers_know_their_kind_and_their_5qi():
    """Oracle: by hand: the most urgent flow of a bearer counts (5QI 9: 300 ms, 90; 6: 60; 80: 10 ms, 68; 2: 150 ms)."""
    source = source_of(Cbr(ues=(0,)), *FLOWS, Cbr(ues=(1,)))
    assert source.carries[:, 1].tolist() == [True, True, True, False]
    assert source.carries[:, 2].all()
    assert not source.carries[:, 0].any()
    assert not source.saturated.any()
    assert source.budget_s[:, 1].tolist() == [0.15, 0.15, 0.3, 0.3]
    assert source.priority[:, 1].tolist() == [40, 40, 90, 90]
    assert (source.budget_s[:, 2] == 0.01).all()
    uplink = source_of(*FLOWS, direction="uplink")
    assert np.argwhere(uplink.saturated).tolist() == [[3, 1]]
    enqueued = np.zeros((1, 4, 3), np.int64)
    uplink.start(enqueued)
    assert enqueued[0, 3, 1] == FULL_BUFFER_BYTES
    assert enqueued.sum() == FULL_BUFFER_BYTES


def test_heads_are_marked_only_where_packets_are():
    """Oracle: the first arrivals; NaN where a packet bearer waits for none; other bearers keep what they had."""
    source, ledger = source_of(Poisson(ues=(0, 2))), Ledger.start(1, 4, 3)
    head_s = np.full((1, 4, 3), -1.0)
    source.mark_heads(ledger, head_s)
    assert np.isnan(head_s[0, [0, 2], 1]).all()
    assert (head_s == -1.0).sum() == 10
    source.offer(0.9, ledger, np.zeros((1, 4, 3), np.int64))
    source.mark_heads(ledger, head_s)
    rows = source.window(0)
    assert head_s[0, 0, 1] == rows["time_s"][rows["ue"] == 0][0]
    assert head_s[0, 2, 1] == rows["time_s"][rows["ue"] == 2][0]


def test_flows_that_do_not_fit_are_refused():
    """Property: what scenarios should have refused is an assertion here."""
    with pytest.raises(AssertionError, match="no UE 7"):
        source_of(Poisson(ues=(7,)))
