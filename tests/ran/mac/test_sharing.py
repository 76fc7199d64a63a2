"""Slices whose shares move. Oracles: hand computation, and the rule itself asked beside the run."""

from __future__ import annotations

import numpy as np
import pytest

from ran.mac.shares_seen import Queues
from ran.mac.sharing.deadline_first import DeadlineFirst
from ran.mac.sharing.sla_first import SlaFirst
from ran.queues import queues_of
from ran.simulation import Simulation
from ran.transfer import Transfer
from scenarios.build import build_world
from scenarios.load import load


def queues(left: list[int], backlog: list[int], wait: list[float]) -> Queues:
    """Return one cell, three UEs of 8 Mbit/s, budgets of 100 ms, a round of which 0.1 s is left, windows of 10 ms."""
    return Queues(
        left=np.array([left]), arrived=np.zeros((1, 3), bool), backlog=np.array([backlog]), wait=np.array([wait]),
        budget_s=np.full(3, 0.1), users=np.arange(3), rate_bit_s=np.full((1, 3), 8e6), cell=np.zeros((1, 3), np.int32),
        share=np.full((1, 1), 0.5), left_s=np.array([0.1]), quorum=3, round_s=0.25, window_s=0.01,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("left", "share"), [([0, 0, 0], 0.0), ([10_000, 20_000, 0], 0.45), ([70_000, 0, 5_000], 1.0), ([90_000, 0, 0], 0.0)]
)
def test_deadline_first(left, share):
    """Oracle: bytes / (1 MB/s x 0.1 s) x 1.5, at most 1; nothing above a load of 0.8."""
    assert DeadlineFirst().share(queues(left, [0] * 3, [0.0] * 3)) == pytest.approx(np.array([[share]]))


def test_sla_first():
    """Oracle: 1 - 2 (10 ms / 100 ms + 20 ms / 50 ms) = 0; with half the bytes 0.5; a late packet counts a window."""
    assert SlaFirst().share(queues([0] * 3, [10_000, 20_000, 0], [0.0, 0.5, 0.0]))[0, 0] == pytest.approx(0)
    assert SlaFirst().share(queues([0] * 3, [5_000, 10_000, 0], [0.0, 0.5, 0.0]))[0, 0] == pytest.approx(0.5)
    assert SlaFirst().share(queues([0] * 3, [1_000, 0, 0], [3.0, 0.0, 0.0]))[0, 0] == pytest.approx(0.8)


def test_shares_move_once_in_a_window():
    """Oracle: the rule asked beside the run, at the first uplink slot of every window; between them nothing moves."""
    rule = "mac.slice_shares={name: deadline_first, window_slots: 10}"
    world = build_world(load("sliced", (rule, "learning.round_deadline_s=0.05", "channel=rayleigh")))
    simulation = Simulation(world)
    state, window = simulation.start(), -1
    link = state.uplink
    session = simulation.open(state)
    for ue in range(3):
        session.submit(Transfer(ue, "uplink", bytes(20_000), 0.005 * ue, 0.05))
    seen = set()
    while state.slot < 100:
        kind = simulation.plan.kinds[state.slot % len(simulation.plan.kinds)]
        expected = link.share.copy()
        asked = kind.uplink >= 0 and state.slot // 10 != window
        if asked:
            window = state.slot // 10
            simulation.network._offer(state, state.slot * simulation.plan.slot_s)
            expected[..., 0] = world.sharing.share(queues_of(simulation.network, state, "uplink", 0.005, 6))
            expected[..., 1:] = 1 - expected[..., :1]
        slot = state.slot
        session.next((slot + 1) * simulation.plan.slot_s)
        if state.slot == slot:
            simulation.step(state, ())
        np.testing.assert_allclose(link.share, expected)
        seen.add(float(link.share[0, 0, 0]))
    assert len(seen) > 2


def test_an_update_that_arrived_is_known():
    """Property: an update is computed, waits and has arrived; a round is over with its deadline."""
    simulation = Simulation(build_world(load("sliced", ("learning.round_deadline_s=1", "channel=rayleigh"))))
    state = simulation.start()
    session = simulation.open(state)
    for ue, release_s in ((0, 0.0), (1, 0.3)):
        session.submit(Transfer(ue, "uplink", bytes(3000), release_s, 1.0))
    before = queues_of(simulation.network, state, "uplink", 0.01, 6)
    assert not before.arrived.any()
    assert before.left_s == pytest.approx([1.0])
    assert session.next(0.25) is not None
    session.next(0.28)
    after = queues_of(simulation.network, state, "uplink", 0.01, 6)
    assert after.arrived.tolist() == [[True, *[False] * 5]]
    assert after.left.sum() == 0
    assert after.left_s == pytest.approx([1.0 - state.slot * simulation.plan.slot_s])
