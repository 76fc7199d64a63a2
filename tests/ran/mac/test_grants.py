"""Oracles: what each slice's own scheduler says, and hand-made grants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ran.mac import grants
from ran.mac.grants import follow, spend_granted
from ran.mac.slicing import Slice
from ran.phy.mimo import Mimo
from ran.phy.precoding import PRECODERS
from ran.slot import run_slot
from ran.world import LEARNING
from tests.ran.mac.observations import one_cell
from tests.ran.worlds import default_radio, small_world


def test_pairing_values_a_ue_as_its_own_slice_does(monkeypatch: pytest.MonkeyPatch):
    """Oracle: the weights of the scheduler of the slice that each UE sends from, on that slice's bearers.

    Catches every UE weighed by the first slice, and bearers of another slice.

    A UE that sends a block again counts as the slice of that block; resource elements are those of the slot's kind.
    """
    slices = {LEARNING: Slice(share=0.5, scheduler={"name": "proportional_fair"}),
              "b": Slice(share=0.5, scheduler={"name": "qos"})}  # fmt: skip
    mimo = Mimo(mode="multi_user", max_streams=2)
    small = small_world(
        ues_per_cell=6, antennas=8, pattern="DDDS", slices=slices,
        radio=default_radio(mimo=mimo, precoder=PRECODERS.get("zf")()),
    )  # fmt: skip
    small.downlink.bearer["enqueued"][0, :3, 0] = 1 << 30
    small.downlink.bearer["enqueued"][0, 3:, 1] = 1 << 30
    small.downlink.bearer["head_s"][0, :, 1] = [0, 0, 0, -0.2, -0.1, 0.0]
    small.downlink.bearer["priority"][0, :, 1] = 10.0
    calls = []

    def spy(*arguments):
        calls.append([np.copy(each) for each in (*arguments[:7], arguments[10])])
        return original(*arguments)

    original = grants.pair_users
    monkeypatch.setattr(grants, "pair_users", spy)
    repeated = 0
    for slot in range(60):
        run_slot(small.plan, slot, small.air, small.downlink, None)
        owner, _, _, need, pending, weight, _, re_per_prb = calls[-1]
        kind = small.plan.kinds[slot % 4].downlink
        assert re_per_prb == small.plan.downlink.re_per_prb[kind]
        first, rate = owner[0, 0, :, 0], small.air.downlink.rate_bits[kind][0]
        counts = (need[0] > 0) | np.isin(np.arange(6), first)
        repeated += (pending[0, 3:] >= 0).sum()
        for k, scheduler in enumerate(small.plan.downlink.schedulers):
            mine = counts & (np.arange(6) // 3 == k)
            bearer = small.downlink.bearer[..., k]
            seen = one_cell(rate, bearer=bearer, now_s=slot * small.plan.slot_s)
            expected = scheduler.weight(seen, small.downlink.scheduler[k])
            np.testing.assert_allclose(weight[0, mine], expected[0, mine])
    assert repeated > 0
    assert len(calls) == 60


def test_a_slices_scheduler_sees_that_slices_bearers():
    """Oracle: of two equal UEs the one with older data in the slice; the other slice's bearers say the contrary."""
    slices = {LEARNING: Slice(share=0.5), "b": Slice(share=0.5, scheduler={"name": "qos"})}
    small = small_world(ues_per_cell=2, pattern="D", slices=slices, flat=True)
    small.snapshot.gain[:] = small.snapshot.gain[:, :1]
    air = small.prepare()
    for oldest in (0, 1):
        link = small.link()
        link.bearer["enqueued"][0, :, 1] = 1 << 30
        link.bearer["head_s"][0, oldest] = 0.0, -0.25
        link.bearer["head_s"][0, 1 - oldest] = -0.25, 0.0
        report, _ = run_slot(small.plan, 0, air, link, None)
        assert report is not None
        assert (report.owner[0, 0, :, 0] == oldest).all()


def test_first_streams_cover_their_share_of_what_a_ue_needs():
    """Oracle: by hand; bits of the groups that a UE holds alone or first come off, those of other streams do not."""
    streams = np.array([[[[0, 1], [1, -1], [0, -1], [-1, -1]]]], np.int32)
    rate = np.array([[[1.0, 2.0, 4.0, 8.0], [16.0, 32.0, 64.0, 128.0]]], np.float32)
    need_bits = np.array([[100.0, 200.0]])
    spend_granted(streams, rate, need_bits)
    assert need_bits.tolist() == [[95.0, 168.0]]


def test_an_outside_grant_yields_to_harq_and_to_who_waits():
    """Oracle: hand-made groups: free and wanted, free but its UE has nothing, taken by a retransmission."""
    seen = replace(
        one_cell(np.ones((3, 4)), backlog_bytes=np.array([100, 0, 50])),
        reserved=np.array([[[-1, -1, 2, -1]]], np.int32),
    )
    grant = np.array([[[0, 1, 0, -1]]], np.int32)
    assert follow(grant, seen, 1)[0, 0, :, 0].tolist() == [0, -1, 2, -1]
    streams = np.array([[[[0, 2], [1, 2], [0, 2], [-1, -1]]]], np.int32)
    assert follow(streams, seen, 2)[0, 0].tolist() == [[0, 2], [-1, 2], [2, -1], [-1, -1]]
    assert follow(grant, seen, 2)[0, 0].tolist() == [[0, -1], [-1, -1], [2, -1], [-1, -1]]
    twice = np.array([[[[0, 0], [2, 2], [2, 0], [-1, 2]]]], np.int32)
    assert follow(twice, seen, 2)[0, 0].tolist() == [[0, -1], [2, -1], [2, -1], [-1, 2]]
    with pytest.raises(AssertionError, match="a grant of shape"):
        follow(streams, seen, 1)
