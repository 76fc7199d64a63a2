"""Whole rounds of FedGKT as scenarios name them: over the network, with virtual time, energy and checkpoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from channel.errors import UserError
from ran.energy import compute_energy_j, compute_time_s
from ran.learning.federation import FederationState
from ran.learning.gkt.gkt_round import edge_of, run_gkt_round
from ran.learning.participation import Everyone
from ran.learning.transport.ideal import Ideal
from scenarios.load import load
from scenarios.run import build_federation

SMALL = (
    "channel=free_space", "ues.count=3", "learning.partition={name: dirichlet, alpha: 0.5}",
    "learning.model={name: resnet, widths: [8, 16]}",
)  # fmt: skip
EDGE_FORWARD_FLOPS = 48_288
"""Of a sample: 2 (9 8 64 + 9 8 8 16 + 9 8 8 16 + 8 8 16 + 8 10), as counted in test_networks."""


IDEAL = "learning.transport=ideal"


def federation_of(*settings):
    return build_federation(load("fedgkt_digits", [*SMALL, *settings]))


def after(rounds, *settings):
    federation = federation_of(*settings)
    state = FederationState.start(federation)
    return federation, state, [run_gkt_round(federation, state) for _ in range(rounds)]


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def remembered(state):
    return {ue: {name: array.copy() for name, array in kept.items()} for ue, kept in state.memories.items()}


def test_bytes_are_those_of_features_logits_labels_and_soft_labels():
    """Oracle: by hand: n (512 + 10) bytes, two scales of 4, n labels of a byte up; 10 n halves of 2 bytes down."""
    federation, _, [result] = after(1)
    for row, count in zip(result.ues, federation.learner.num_samples, strict=True):
        assert row.uplink_payload_bytes == count * (512 + 10) + 2 * 4 + count
        assert row.downlink_payload_bytes == count * 10 * 2
    record, total = result.record, sum(federation.learner.num_samples)
    assert (record.uplink_payload_bytes, record.downlink_payload_bytes) == (total * 523 + 24, total * 20)


def test_time_and_energy_are_those_of_flops_and_air():
    """Oracle: by hand: UEs train 3 forward passes and report with 1, the server likewise; phases follow each other."""
    federation, state, [result] = after(1)
    gkt, device, record = federation.gkt, federation.simulation.world.devices[0], result.record
    flops = [count * 4 * EDGE_FORWARD_FLOPS for count in federation.learner.num_samples]
    events = {each["ue"]: each["flops"] for each in result.events if each["event"] == "training_done"}
    assert events == dict(enumerate(flops))
    assert [row.compute_done_s for row in result.ues] == pytest.approx([compute_time_s(device, each) for each in flops])
    assert [row.compute_energy_j for row in result.ues] == pytest.approx(
        [compute_energy_j(device, each) for each in flops]
    )
    server_s = sum(federation.learner.num_samples) * 4 * gkt.server_flops / 5e12
    (busy,) = [each["busy_s"] for each in result.events if each["event"] == "server"]
    assert busy == pytest.approx(server_s)
    uplink_s = max(row.uplink_done_s for row in result.ues)
    slot_s = federation.simulation.world.numerology.slot_s
    assert min(row.downlink_done_s for row in result.ues) > uplink_s + server_s
    assert record.compute_s == pytest.approx(max(compute_time_s(device, each) for each in flops) + server_s)
    assert record.downlink_s + record.compute_s + record.uplink_s == pytest.approx(record.end_s - record.start_s)
    assert state.clock_s == record.end_s == pytest.approx(max(row.downlink_done_s for row in result.ues), abs=slot_s)
    assert all(row.transmit_energy_j > 0 < row.receive_energy_j for row in result.ues)
    assert record.uplink_air_bits >= 8 * record.uplink_payload_bytes
    assert record.downlink_airtime_s > 0


def test_the_network_changes_when_not_what():
    """Oracle: two rounds over ideal transport: the same networks, soft labels and accuracy, and no air."""
    _, ideal, expected = after(2, IDEAL)
    _, state, results = after(2)
    assert same(state.server.model, ideal.server.model)
    assert all(same(state.memories[ue], ideal.memories[ue]) for ue in range(3))
    assert results[1].record.test_accuracy == expected[1].record.test_accuracy
    assert expected[1].record.uplink_air_bits == 0


def test_accuracy_is_the_mean_over_ues():
    """Oracle: the learner's own evaluation of every UE's extractor with the server's network."""
    federation, state, [result] = after(1, IDEAL)
    gkt = federation.gkt
    edges = [edge_of(gkt, state, ue) for ue in range(3)]
    found = gkt.evaluate(edges, gkt.server_part(state.server.model))
    assert result.record.test_accuracy == pytest.approx(np.mean([each.accuracy for each in found]))
    assert result.record.test_loss == pytest.approx(np.mean([each.loss for each in found]))
    keeper = int(np.argmax(federation.learner.num_samples))
    assert federation.learner.evaluate(state.server.model).accuracy == found[keeper].accuracy


def test_accuracy_is_also_that_of_ues_left_out():
    """Oracle: the learner's own evaluation of three extractors, of which one has trained and two are the first ones."""
    fast = "learning.algorithm.learning_rate=1e-2", "learning.gkt={server_learning_rate: 3.0e-3, server_epochs: 5}"
    federation, state, [result] = after(1, IDEAL, "learning.participation={name: uniform, count: 1}", *fast)
    gkt = federation.gkt
    (trained,) = state.memories
    edges = [gkt.initial(), gkt.initial(), edge_of(gkt, state, trained)]
    found = [each.accuracy for each in gkt.evaluate(edges, gkt.server_part(state.server.model))]
    assert found[2] != found[0]
    assert result.record.test_accuracy == pytest.approx(np.mean(found))


def test_ues_go_on_from_their_memories():
    """Oracle: the learner's own second step of each UE, from its edge network and soft labels of the first round."""
    federation, state, _ = after(1, IDEAL)
    before, gkt = remembered(state), federation.gkt
    run_gkt_round(federation, state)
    for ue, kept in before.items():
        edge = {name.removeprefix("edge/"): array for name, array in kept.items() if name.startswith("edge/")}
        wanted = gkt.edge_step(ue, edge, kept["soft_labels"], 1).arrays
        assert same(edge_of(gkt, state, ue), wanted)


def test_a_ue_that_vanishes_is_not_waited_for_and_forgets_the_round(monkeypatch):
    """Property: it sends and remembers nothing; the round goes on, and its report of the round before stays in use."""
    federation, state, _ = after(1, IDEAL)
    before, report, server = remembered(state), state.last_updates[1], state.server.model
    monkeypatch.setattr(Everyone, "drops", lambda self, candidates, ready_s: set(ready_s) & {1})
    seen = []
    step = federation.gkt.server_step
    monkeypatch.setattr(federation.gkt, "server_step", lambda *args: seen.append(dict(args[1])) or step(*args))
    result = run_gkt_round(federation, state)
    assert (result.record.vanished, result.record.participants) == (1, 2)
    assert same(state.memories[1], before[1])
    assert not same(state.memories[0], before[0])
    assert seen[0][1] is report
    assert not same(state.server.model, server)
    (row,) = [row for row in result.ues if row.ue == 1]
    assert (row.uplink_payload_bytes, row.downlink_payload_bytes) == (0, 0)
    assert row.compute_energy_j > 0
    assert np.isnan(row.uplink_done_s)
    assert np.isnan(row.downlink_done_s)


def test_a_round_of_nobody_changes_no_network(monkeypatch):
    """Property: all vanish in the first round: no report, no soft labels, no server step, and the round counts."""
    monkeypatch.setattr(Everyone, "drops", lambda self, candidates, ready_s: set(ready_s))
    federation, state, [result] = after(1, IDEAL)
    assert same(state.server.model, federation.learner.initial())
    assert (state.round, state.memories, state.last_updates) == (1, {}, {})
    assert (result.record.participants, result.record.vanished) == (0, 3)
    assert state.clock_s == max(row.compute_done_s for row in result.ues) > 0


@pytest.mark.parametrize("way", ["uplink", "downlink"])
def test_a_link_that_fails_costs_the_round_alone(monkeypatch, way):
    """Property: UE 2 keeps its edge network; without the report there is no answer, without the answer the old one."""
    federation, state, _ = after(1, IDEAL)
    before, deliver = remembered(state), Ideal.deliver

    def failing(self, simulation, network, transfers, until_s):
        done = deliver(self, simulation, network, transfers, until_s)
        cut = [replace(e, payload=None) if (e.ue, e.direction) == (2, way) else e for e in done.deliveries]
        return replace(done, deliveries=cut)

    monkeypatch.setattr(Ideal, "deliver", failing)
    result = run_gkt_round(federation, state)
    after_it = state.memories[2]
    assert np.array_equal(after_it["soft_labels"], before[2]["soft_labels"])
    assert not np.array_equal(after_it["edge/head.weight"], before[2]["edge/head.weight"])
    assert not np.array_equal(state.memories[0]["soft_labels"], before[0]["soft_labels"])
    assert result.record.participants == (2 if way == "uplink" else 3)
    assert "radio_link_failure" in [each["event"] for each in result.events]


def test_schedulers_know_when_knowledge_is_wanted(monkeypatch):
    """Oracle: the round's start plus the deadline, of what goes up and what comes down."""
    wanted, deliver = [], Ideal.deliver

    def noted(self, simulation, network, transfers, until_s):
        wanted.extend((each.direction, each.deadline_s) for each in transfers)
        return deliver(self, simulation, network, transfers, until_s)

    monkeypatch.setattr(Ideal, "deliver", noted)
    _, _, [first, _] = after(2, IDEAL, "learning.round_deadline_s=5")
    assert wanted == [
        (way, start_s + 5) for start_s in (0, first.record.end_s) for way in ("uplink", "downlink") for _ in range(3)
    ]


def test_a_resumed_run_goes_on_bit_for_bit():
    """Oracle: the uninterrupted one: rows, events and state after three rounds, resumed after one."""

    def bits(state):
        return {name: repr(np.asarray(array).tolist()) for name, array in state.arrays().items()}

    more = ("learning.participation={name: uniform, count: 2, dropout: 0.2}", "learning.compression.uplink=int8")
    federation, state, _ = after(1, *more)
    saved = {name: np.array(array) for name, array in state.arrays().items()}
    expected = [run_gkt_round(federation, state) for _ in range(2)]
    again = federation_of(*more)
    resumed = FederationState.start(again)
    resumed.restore(again, saved)
    for wanted in expected:
        result = run_gkt_round(again, resumed)
        assert repr(result.record) == repr(wanted.record)
        assert repr(result.ues) == repr(wanted.ues)
        assert repr(result.events) == repr(wanted.events)
    assert bits(resumed) == bits(state)


def test_a_device_too_small_for_the_edge_network_is_refused():
    """Oracle: the edge network of 1,426 weights trains in 70 to 200 kB, where the whole one takes more."""
    federation = federation_of(IDEAL)
    assert 16 * 1426 < federation.gkt.training_bytes() < federation.learner.training_bytes()
    with pytest.raises(UserError, match=r"ues\.device: training takes"):
        federation_of(IDEAL, "ues.device.memory_bytes=5e4")
    between = (federation.gkt.training_bytes() + federation.learner.training_bytes()) // 2
    assert federation_of(IDEAL, f"ues.device.memory_bytes={between}").gkt
    with pytest.raises(UserError, match=r"ues\.device: training takes"):
        federation_of(IDEAL, f"ues.device.memory_bytes={between}", "learning.gkt=null")
