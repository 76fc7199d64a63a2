"""Shares of slices, also changed from outside, in several cells, in FDD and in multi-user MIMO."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ran.mac.slicing import Slice
from ran.numerology import Numerology
from ran.phy.mimo import Mimo
from ran.phy.precoding import PRECODERS
from ran.slot import run_slot
from tests.ran.worlds import SmallWorld, default_radio, small_world

# Pairing compares the weights of both slices' schedulers, so these are alike there.
ALIKE = {"learning": Slice(share=0.5), "traffic": Slice(share=0.5)}
SLICES = {"learning": Slice(share=0.5), "traffic": Slice(share=0.5, scheduler={"name": "round_robin"})}
CELLS, UES = 3, 6
WAYS = ("downlink", "uplink")
WORLDS: dict[str, dict[str, Any]] = {
    "tdd": {"pattern": "DDDSU"},
    "fdd": {"numerology": Numerology.of(2.1e9, 20e6, 30e3, "", duplex="fdd")},
    "multi_user": {
        "pattern": "DDDSU",
        "antennas": 8,
        "radio": default_radio(mimo=Mimo(mode="multi_user", max_streams=2), precoder=PRECODERS.get("rzf")()),
    },
}
SHARE = np.array([[0.2, 0.7, 0.5], [0.9, 0.35, 0.0]])


def world(kind: str) -> SmallWorld:
    """Return two replicas of three cells; even UEs have learning data, odd ones traffic, both without end."""
    slices = ALIKE if kind == "multi_user" else SLICES
    small = small_world(cells=CELLS, ues_per_cell=UES, seeds=(1, 2), slices=slices, isolation_db=25, **WORLDS[kind])
    for link in (small.downlink, small.uplink):
        link.bearer["enqueued"][:, ::2, 0] = 1 << 40
        link.bearer["enqueued"][:, 1::2, 1] = 1 << 40
    return small


def held(small: SmallWorld, slots: range, direction: str) -> tuple[np.ndarray, int]:
    """Return the groups of new blocks whose first UE was of each slice, [batch, num_cells, 2], and those left empty.

    HARQ sends again before slices are served; what it takes is not theirs. Where it does, a group may stay empty: a UE
    whose block does not fit in beside the others' waits for it, and has no new one.
    """
    got, empty = np.zeros((2, CELLS, 2)), 0
    for slot in slots:
        report = run_slot(small.plan, slot, small.air, small.downlink, small.uplink)[WAYS.index(direction)]
        if report is not None:
            first = report.owner[..., 0]
            here = small.serving_cell[:, None] == np.arange(CELLS)[:, None]
            again = (here & (report.block["attempt"] > 1)[:, None]).any(axis=2)
            empty += int(((first < 0).sum(axis=2) * ~again).sum())
            attempt = np.take_along_axis(report.block["attempt"], np.maximum(first, 0).reshape(2, -1), axis=1)
            is_new = (first >= 0) & (attempt.reshape(first.shape) == 1)
            for k in range(2):
                got[..., k] += (is_new & (first % 2 == k)).sum(axis=2)
    return got, empty


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize("kind", WORLDS)
def test_every_cell_divides_by_its_own_shares(kind: str, direction: str) -> None:
    """Property: with data without end, each slice has its share of the groups within 2 %, and none stays empty."""
    small = world(kind)
    link = getattr(small, direction)
    link.share[..., 0], link.share[..., 1] = SHARE, 1 - SHARE
    got, empty = held(small, range(400), direction)
    assert empty == 0
    np.testing.assert_allclose(got[..., 0] / got.sum(axis=2), SHARE, atol=0.02)


@pytest.mark.parametrize("kind", WORLDS)
def test_what_a_slice_leaves_the_other_uses(kind: str) -> None:
    """Property: a slice without data has no group whatever its share, and the other slice has all."""
    small = world(kind)
    small.downlink.share[..., 0], small.downlink.share[..., 1] = 0.95, 0.05
    small.downlink.bearer["enqueued"][..., 0] = 0
    got, empty = held(small, range(60), "downlink")
    assert empty == 0
    assert (got[..., 0] == 0).all()
    assert (got[..., 1] > 0).all()


@pytest.mark.parametrize("kind", WORLDS)
def test_a_slice_that_comes_back_is_not_owed_for_its_absence(kind: str) -> None:
    """Property: credit is of those that wait: after 200 idle slots a slice gets its share at once, not more."""
    small = world(kind)
    small.downlink.share[..., 0], small.downlink.share[..., 1] = 0.3, 0.7
    data = small.downlink.bearer["enqueued"].copy()
    small.downlink.bearer["enqueued"][..., 0] = 0
    held(small, range(200), "downlink")
    assert (small.downlink.credit[..., 0] == 0).all()
    small.downlink.bearer["enqueued"][:] = data
    got, _ = held(small, range(200, 260), "downlink")
    np.testing.assert_allclose(got[..., 0] / got.sum(axis=2), 0.3, atol=0.04)


def test_directions_of_an_fdd_slot_have_their_own_shares() -> None:
    """Property: one run, other shares in the uplink than in the downlink, credits apart."""
    small = world("fdd")
    for link, share in ((small.downlink, 0.25), (small.uplink, 0.8)):
        link.share[..., 0], link.share[..., 1] = share, 1 - share
    used = {}
    for slot in range(500):
        run_slot(small.plan, slot, small.air, small.downlink, small.uplink)
    for name, link in (("downlink", small.downlink), ("uplink", small.uplink)):
        prbs = link.tally["prb_slots"].sum(axis=(0, 1))
        used[name] = prbs[0] / prbs.sum()
        # Every block of every slot belongs to somebody: 51 of them, three cells, two replicas.
        assert prbs.sum() == 500 * 51 * CELLS * 2
    assert used["downlink"] == pytest.approx(0.25, abs=0.02)
    assert used["uplink"] == pytest.approx(0.8, abs=0.02)
