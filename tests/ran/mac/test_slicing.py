"""Oracles: the guaranteed shares, and work conservation, in worlds whose queues never or seldom empty."""

from __future__ import annotations

import numpy as np
import pytest

from ran.mac.slicing import Slice
from ran.mac.slicing_kernels import split_groups
from ran.slot import run_slot
from ran.world import LEARNING
from tests.ran.worlds import SmallWorld, small_world


def sliced(**shares: float) -> SmallWorld:
    slices = {name: Slice(share=value) for name, value in shares.items()}
    return small_world(cells=2, ues_per_cell=4, slices=slices, pattern="D", isolation_db=25)


def groups_of(small: SmallWorld, slots: int) -> np.ndarray:
    """Return the PRBs that each slice held in each cell, [num_cells, num_slices]."""
    for slot in range(slots):
        run_slot(small.plan, slot, small.air, small.downlink, None)
    prbs = small.downlink.tally["prb_slots"][0]
    return np.stack([prbs[small.serving_cell[0] == cell].sum(axis=0) for cell in range(2)])


@pytest.mark.parametrize("shares", [(0.3, 0.7), (0.1, 0.9), (0.5, 0.5), (0.2, 0.3)])
@pytest.mark.parametrize("mixed", [True, False])
def test_saturated_slices_get_their_shares(shares, mixed):
    """Oracle: share / sum of shares, within 2 % of the band, whether every UE has both bearers or each has one."""
    small = sliced(learning=shares[0], traffic=shares[1])
    enqueued = small.downlink.bearer["enqueued"]
    if mixed:
        enqueued[:] = 1 << 40
    else:
        enqueued[0, ::2, 0] = 1 << 40
        enqueued[0, 1::2, 1] = 1 << 40
    used = groups_of(small, 600)
    got = used / used.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(got, np.tile(np.array(shares) / sum(shares), (2, 1)), atol=0.02)


def test_what_a_slice_does_not_need_the_others_use():
    """Property: a slice without data leaves the whole band to the other; a slice with little takes only that."""
    small = sliced(learning=0.9, traffic=0.1)
    small.downlink.bearer["enqueued"][0, :, 1] = 1 << 40
    idle = groups_of(small, 200)
    alone = small_world(cells=2, ues_per_cell=4, pattern="D", isolation_db=25)
    alone.downlink.bearer["enqueued"] = 1 << 40
    for slot in range(200):
        run_slot(alone.plan, slot, alone.air, alone.downlink, None)
    assert idle[:, 0].sum() == 0
    assert idle.sum() == pytest.approx(alone.downlink.tally["prb_slots"].sum(), rel=0.01)


def test_three_slices_and_a_scheduler_of_their_own():
    """Property: slices may have different schedulers; each serves only its own bearers, and shares still hold."""
    slices = {
        LEARNING: Slice(share=0.2, scheduler={"name": "round_robin"}),
        "a": Slice(share=0.5),
        "b": Slice(share=0.3, scheduler={"name": "max_rate"}),
    }
    small = small_world(cells=1, ues_per_cell=6, slices=slices, pattern="D")
    for k in range(3):
        small.downlink.bearer["enqueued"][0, 2 * k : 2 * k + 2, k] = 1 << 40
    for slot in range(500):
        run_slot(small.plan, slot, small.air, small.downlink, None)
    prbs = small.downlink.tally["prb_slots"][0]
    for k in range(3):
        others = [ue for ue in range(6) if ue not in (2 * k, 2 * k + 1)]
        assert prbs[others, k].sum() == 0
    np.testing.assert_allclose(prbs.sum(axis=0) / prbs.sum(), [0.2, 0.5, 0.3], atol=0.02)
    best = np.argmax(small.air.downlink.rate_bits[0][0, 4:6].sum(axis=1))
    assert prbs[4 + best, 2] > prbs[5 - best, 2], "the slice of max_rate prefers its better UE"


def split(
    slot: int, credit: np.ndarray, backlog: list[int], wanted: list[bool], taken: int = 0
) -> tuple[list[int], list[float]]:
    """Return the slice of each of 4 groups and all credits; UE k sends from slice k, a group carries 100 bits."""
    owner = np.full((1, 1, 4), -1, np.int32)
    owner[0, 0, :taken] = 0
    slice_of = np.empty_like(owner)
    chosen = np.arange(3)[None]
    rate = np.full((1, 3, 4), 100.0, np.float32)
    shares = np.array([[[0.25, 0.25, 0.5]]])
    split_groups(
        slot, np.zeros((1, 3), np.int32), np.array([backlog]), chosen, np.array([[wanted]]), rate, owner, shares,
        credit, slice_of,
    )  # fmt: skip
    return slice_of[0, 0].tolist(), credit[0, 0].tolist()


def test_credits_by_hand():
    """Oracle: earned is the share among slices with data of the groups that are free; paid is one for each group.

    Groups are dealt from another one on in every slot. A slice without data is owed nothing; one that seldom needs
    its share is never owed more than ten slots.
    """
    credit, much = np.zeros((1, 1, 3)), 1 << 20
    assert split(0, credit, [much, much, 0], [True, True, False]) == ([0, 1, 0, 1], [0.0, 0.0, 0.0])
    assert split(1, credit, [much, much, 0], [True, True, False]) == ([1, 0, 1, 0], [0.0, 0.0, 0.0])
    assert split(0, credit, [much, much, much], [True] * 3) == ([2, 0, 1, 2], [0.0, 0.0, 0.0])
    assert split(0, credit, [1, 0, much], [True, False, True], taken=1) == ([-1, 2, 0, 2], [0.0, 0.0, 0.0])
    for _ in range(100):
        groups, credits = split(0, credit, [1, 0, 0], [True, False, False])
        assert groups == [0, -1, -1, -1]
    assert credits == [39.0, 0.0, 0.0]
    assert split(0, credit, [0, much, 0], [False, True, False]) == ([1, 1, 1, 1], [0.0, 0.0, 0.0])


def test_shares_may_change_by_replica_cell_and_time():
    """Property: from the moment of a change every cell of every replica divides by its own shares, within 2 %."""
    slices = {"learning": Slice(share=0.5), "traffic": Slice(share=0.5)}
    small = small_world(cells=2, ues_per_cell=4, slices=slices, pattern="D", isolation_db=25, seeds=(1, 2))
    small.downlink.bearer["enqueued"][:] = 1 << 40
    wanted = np.array([[0.2, 0.6], [0.0, 0.9]])
    small.downlink.share[..., 0], small.downlink.share[..., 1] = wanted, 1 - wanted
    for slot in range(600):
        run_slot(small.plan, slot, small.air, small.downlink, None)
    prbs = small.downlink.tally["prb_slots"]
    for replica, cell in np.ndindex(2, 2):
        used = prbs[replica][small.serving_cell[replica] == cell].sum(axis=0)
        assert used[0] / used.sum() == pytest.approx(wanted[replica, cell], abs=0.02)
