"""Oracles: ``Network`` driven by hand, shares as the MAC counts them, and what cannot be beaten."""

from __future__ import annotations

import numpy as np
import pytest

from agents.batched import Replicas, made
from agents.driven import Driven
from agents.envs.slicing import Slicing
from agents.evaluate import evaluate
from ran.payload_bearers import begin

SMALL = {"crowd": 12, "steps": 10, "round_steps": 5}
SEEDS = np.array([5, 6])


def replicas(**parameters: object) -> Replicas:
    made_ready = Replicas(made("slicing", SMALL | parameters), len(SEEDS))
    made_ready.restart(SEEDS)
    return made_ready


def test_a_step_is_a_window_of_the_network() -> None:
    """Oracle: the same slots run by hand on a network of the same seeds, with the shares written into its links."""
    played = replicas(payload_bytes=1e6)
    environment, key = played.environment, played.state.key.copy()
    network = Driven.start("sliced", (), 12, key, 64)
    begin(
        network.state.uplink,
        np.ones((2, 6), bool),
        played.state.driven.state.uplink.bearer["enqueued"][..., 0],
        0.0,
        0.05,
    )
    for action in ([3, 8], [10, 0], [5, 5]):
        played.step(np.array(action))
        network.state.uplink.share[..., 0] = np.array(action)[:, None] / 10
        network.state.uplink.share[..., 1] = 1 - network.state.uplink.share[..., 0]
        for _ in range(environment.window_slots):
            network.network.step(network.state, directions=("uplink",))
        np.testing.assert_array_equal(played.state.driven.state.uplink.tally, network.state.uplink.tally)
    assert network.state.uplink.tally["delivered_bytes"][..., 1].sum() > 0


def test_a_share_is_what_learning_gets() -> None:
    """Oracle: with both queues always full, learning's part of all PRBs is its share, within 3 %."""
    full = "traffic.flows=[{name: full_buffer, direction: uplink, ues: [0, 1, 2]}]"
    for action, share in ((2, 0.2), (7, 0.7)):
        played = replicas(overrides=(full,), payload_bytes=1e7, steps=20, round_steps=20)
        for _ in range(20):
            played.step(np.full(2, action))
        prbs = played.state.driven.state.uplink.tally["prb_slots"].sum(axis=1)
        np.testing.assert_allclose(prbs[:, 0] / prbs.sum(axis=1), share, atol=0.03)


def test_a_round_counts_once_and_ends() -> None:
    """Property: small updates reach the quorum once a round; at its end every queue holds the next, and no other."""
    played = replicas(payload_bytes=200)
    reached = np.zeros(2)
    for step in range(1, 11):
        info = played.step(np.full(2, 10))[3]
        reached += info["terms"]["rounds"]
        assert (reached <= 1 + (step - 1) // 5).all()
        if step % 5 == 0:
            bearer = played.state.driven.state.uplink.bearer[..., 0]
            assert (bearer["delivered"] == 0).all()
            assert (bearer["enqueued"] > 80).all()
            assert (bearer["enqueued"] == bearer["enqueued"][:, :1]).all(), "updates of a round are of one size"
    np.testing.assert_array_equal(reached, 2)


def test_what_has_not_arrived_is_dropped() -> None:
    """Property: no round of huge updates counts, and nothing of one is left in the next."""
    played = replicas(payload_bytes=1e7)
    for _ in range(10):
        assert not played.step(np.full(2, 10))[3]["terms"]["rounds"].any()
    link = played.state.driven.state.uplink
    assert (link.bearer["sent"][..., 0] == 0).all()
    assert not ((link.harq["bearer"] == 0) & (link.harq["status"] != 0)).any()


def test_delays_are_those_of_packets() -> None:
    """Oracle: the ledger's oldest packets by hand, over 100 ms (5QI 7); updates do not count."""
    played = replicas(payload_bytes=1e7, steps=30, round_steps=30)
    for _ in range(30):
        info = played.step(np.full(2, 10))[3]
    driven = played.state.driven
    ledger = driven.state.ledgers["uplink"]
    late = np.zeros(2)
    for b, u in np.ndindex(2, 3):
        queue = ledger.queue[b, u, 1]
        if queue["count"]:
            late[b] += driven.now_s - ledger.packet[b, u, 1, queue["head"]]["arrival_s"] > 0.1
    assert late.any()
    np.testing.assert_allclose(info["terms"]["late"], late / 3)


@pytest.mark.parametrize("name", Slicing().rules())
def test_no_heuristic_beats_the_bound_term_by_term(name: str) -> None:
    """Property: no rule has more rounds than learning first, nor less delay than traffic first, over equal episodes."""
    environment = made("slicing", SMALL | {"steps": 25, "round_steps": 25})
    rule, bound = (evaluate(environment, environment.rules()[each], 8) for each in (name, "bound"))
    assert rule.terms["rounds"].mean() <= bound.terms["rounds"].mean()
    assert rule.terms["late"].mean() >= bound.terms["late"].mean()
