"""Oracles: ``Network`` driven by hand, shares as the MAC counts them, and what cannot be beaten."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from agents.batched import Replicas, made
from agents.driven import Driven
from agents.envs.slicing import Slicing
from agents.envs.slicing_rules import CMu, QuorumFirst, Slack
from agents.evaluate import evaluate
from agents.fields import Term
from ran.mac import shares_seen
from ran.mac.shares_seen import Queues
from ran.payload_bearers import begin

SMALL = {"crowd": 12, "steps": 10, "round_steps": 5, "spread": 1.0, "compute": 0.0}
SEEDS = np.array([5, 6])


def replicas(**parameters: object) -> Replicas:
    made_ready = Replicas(made("slicing", SMALL | parameters), len(SEEDS))
    made_ready.restart(SEEDS)
    return made_ready


def test_a_step_is_a_window_of_the_network() -> None:
    """Oracle: the same slots run by hand on a network of the same seeds, with the shares written into its links."""
    played = replicas(payload_bytes=1e6)
    environment, key = played.environment, played.state.key.copy()
    network = Driven.start("sliced_video", (), 12, key, 64)
    begin(
        network.state.uplink,
        np.ones((2, 6), bool),
        played.state.driven.state.uplink.bearer["enqueued"][..., 0],
        0.0,
        0.05,
    )
    assert played.state.driven.state.uplink.bearer["enqueued"][..., 0].min() > 1e6
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
            assert (bearer["enqueued"] == bearer["enqueued"][:, :1]).all()
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
    driven, seen = played.state.driven, set[float]()
    for _ in range(20):
        info = played.step(np.full(2, 10))[3]
        ledger, late = driven.state.ledgers["uplink"], np.zeros(2)
        for b, u in np.ndindex(2, 3):
            queue = ledger.queue[b, u, 1]
            if queue["count"]:
                late[b] += driven.now_s - ledger.packet[b, u, 1, queue["head"]]["arrival_s"] > 0.1
        np.testing.assert_allclose(info["terms"]["late"], late / 3)
        seen |= set(late.tolist())
    assert {0.0, 3.0} <= seen


def test_updates_are_queued_when_they_have_been_computed() -> None:
    """Oracle: from each UE's own step of the round its bearer holds its own size, before it nothing."""
    played = replicas(steps=20, round_steps=10, compute=0.8, spread=4.0, payload_bytes=1e6)
    state = played.state
    ready, size = state.ready.copy(), state.size.copy()
    assert len(np.unique(ready)) > 4
    assert ready.max() < 8
    assert (size > 0.25e6).all()
    assert (size < 4.1e6).all()
    assert np.unique(size).size == size.size
    for step in range(10):
        queued = state.driven.state.uplink.bearer["enqueued"][..., 0]
        np.testing.assert_array_equal(queued, np.where(ready <= step, size, 0))
        np.testing.assert_array_equal(played.environment.queues(state).left > 0, ready <= step)
        played.step(np.full(2, 5))
    assert (state.size != size).all(), "every round has updates of its own"


def queues(**changes: object) -> Queues:
    """Return four UEs of two cells with 10, 20, 40 and 30 ms of update; the last one's is still being computed."""
    whole = Queues(
        left=np.array([[1250, 2500, 5000, 0]]),
        arrived=np.zeros((1, 4), bool),
        backlog=np.array([[0, 6250, 0, 12500]]),
        wait=np.array([[0.0, 0.5, 0.0, 1.2]]),
        budget_s=np.array([0.3, 0.1, 0.3, 0.1]),
        users=np.array([1, 3]),
        rate_bit_s=np.full((1, 4), 1e6),
        cell=np.zeros((1, 4), np.int32),
        share=np.array([[0.5]]),
        left_s=np.array([0.1]),
        quorum=2,
        round_s=0.2,
        window_s=0.01,
    )
    return replace(whole, **changes)


@pytest.mark.parametrize(
    ("changes", "load"),
    [
        ({}, [0.5]),  # the second of 20 ms is through when 10 + 20 + 20 ms have passed
        ({"quorum": 1}, [0.3]),  # the first: three times 10 ms
        ({"quorum": 4}, [0.7]),  # all that wait
        ({"arrived": np.array([[False, False, False, True]])}, [0.3]),
        ({"arrived": np.array([[True, True, False, True]])}, [0.0]),
        ({"cell": np.array([[0, 1, 1, 0]]), "share": np.full((1, 2), 0.5)}, [0.1, 0.4]),  # 10; 20 + 20 ms
    ],
)
def test_a_quorum_is_there_after_equal_parts(changes: dict[str, object], load: list[float]) -> None:
    """Oracle: processor sharing by hand."""
    np.testing.assert_allclose(queues(**changes).quorum_load(), [load])


def test_what_is_seen() -> None:
    """Oracle: airtimes, waits and loads by hand."""
    seen = shares_seen.values(queues(arrived=np.array([[False, False, False, True]])))
    np.testing.assert_allclose(10 ** seen["need"], [[1e-3, 0.1, 0.2, 0.4]])
    np.testing.assert_allclose(seen["wait"], [[1.2, 0.5]])
    np.testing.assert_allclose(10 ** seen["demand"], [[1.0, 0.5]])
    np.testing.assert_allclose(seen["learning_load"], [[0.7]])
    np.testing.assert_allclose(seen["traffic_load"], [[1.0 / 0.1 + 0.5 / 0.5]])
    np.testing.assert_allclose([seen[name][0, 0] for name in ("waiting", "missing", "time")], [0.75, 0.5, 0.5])


@dataclass(frozen=True)
class Given:
    """An environment in which these queues wait."""

    waiting: Queues

    def queues(self, state: object) -> Queues:  # noqa: ARG002
        return self.waiting

    def terms(self) -> tuple[Term, ...]:
        return Slicing().terms()

    def nearest(self, share: np.ndarray) -> np.ndarray:
        return share


@pytest.mark.parametrize(
    ("rule", "changes", "share"),
    [
        (QuorumFirst(1.2, 0.6), {}, 0.6),
        (QuorumFirst(1.2, 0.4), {}, 0.0),
        (Slack(1.3, 1.2, 0.6), {}, 1.0),
        (Slack(1.1, 1.2, 0.6), {}, 0.6),
        # A round of 10 takes 50 ms, 200/s; half of the users, at 0.5 h, wait for 100 ms, 2.5 h/s: even at h = 80.
        (CMu(79.0, 1.0), {}, 1.0),
        (CMu(81.0, 1.0), {}, 0.0),
        # All of them wait for 150 ms, 3.33 h/s: even at h = 60.
        (CMu(59.0, 0.2), {}, 1.0),
        (CMu(61.0, 0.2), {}, 0.0),
        (CMu(1.0, 0.2), {"left_s": np.array([0.04])}, 0.0),  # too late for the round
        (CMu(1.0, 0.2), {"quorum": 4}, 0.0),  # one update is not there yet
    ],
)
def test_heuristics_that_know_of_the_quorum(rule: object, changes: dict[str, object], share: float) -> None:
    """Oracle: by hand."""
    np.testing.assert_allclose(rule(Given(queues(**changes)), None, None), [[share]])


@pytest.mark.parametrize("name", Slicing().rules())
def test_no_heuristic_beats_the_bound_term_by_term(name: str) -> None:
    """Property: no rule has more rounds than learning first, nor less delay than traffic first, over equal episodes."""
    environment = made("slicing", SMALL | {"steps": 25, "round_steps": 25})
    rule, bound = (evaluate(environment, environment.rules()[each], 8) for each in (name, "bound"))
    assert rule.terms["rounds"].mean() <= bound.terms["rounds"].mean()
    assert rule.terms["late"].mean() >= bound.terms["late"].mean()


@pytest.mark.parametrize("action", [0, 3, 10])
def test_rules_of_scenarios_by_the_observation(action: int) -> None:
    """Oracle: 1 - 0.6 x traffic's load, and 0.8 x learning's where that is at most 1.5, of what an agent sees."""
    played = replicas(payload_bytes=60e3)
    for _ in range(3):
        played.step(np.full(2, action))
        environment, state = played.environment, played.state
        seen, values = environment.observe(state), environment.values(state)
        learning, traffic = values["learning_load"], values["traffic_load"]
        assert (learning > 0).any()
        expected = {"sla_first": 1 - 0.6 * traffic, "deadline_first": np.where(learning <= 1.5, 0.8 * learning, 0.0)}
        for name, share in expected.items():
            chosen = environment.rules()[name](environment, state, seen)
            np.testing.assert_array_equal(chosen, np.rint(10 * np.clip(share[:, 0], 0, 1)))
