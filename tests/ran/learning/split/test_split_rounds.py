"""Whole rounds of split learning as scenarios name them: over the network, batch by batch."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest

from ran.learning.federation import FederationState
from ran.learning.participation import Everyone
from ran.learning.round import run_round
from ran.learning.split.party import Party, _Graph
from ran.learning.split.training import run_split_round
from ran.learning.uplink import flat
from scenarios.load import load
from scenarios.run import build_federation

SMALL = (
    "channel=free_space", "learning.algorithm={name: fedavg, local_steps: 3}", "ues.count=3", "learning.central=skip",
)  # fmt: skip
METHODS = ("sequential", "splitfed_v1", "splitfed_v2", "parallel", "asynchronous")
CUTS = {
    "two_way": "{shape: two_way, after: [2]}",
    "u_shaped": "{shape: u_shaped, after: [1, 3]}",
    "three_way": "{shape: three_way, after: [1, 2]}",
}
VALUES = 16 * 17 * 64
"""Of a batch's activations: 16 samples of 17 tokens, 64 wide."""


def federation_of(*settings):
    return build_federation(load("smoke", [*SMALL, *settings]))


def split(method="splitfed_v2", cut="{after: [2]}", more=""):
    return f"learning.split={{method: {method}, cut: {cut}{', ' + more if more else ''}}}"


def after(rounds, *settings):
    federation = federation_of(*settings)
    state = FederationState.start(federation)
    run = run_split_round if federation.cut_model else run_round
    return federation, state, [run(federation, state) for _ in range(rounds)]


def values(state):
    return flat(state.server.model)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_copies_of_the_server_side_are_fedavg(cut):
    """Oracle: FedAvg of the whole model with the same data, batches and participants, two rounds, 1e-5."""
    expected = values(after(2)[1])
    found = values(after(2, split("splitfed_v1", cut))[1])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_one_ue_alone_trains_as_if_nothing_were_cut(method):
    """Oracle: FedAvg with that one UE, which is central training of its data; every method is the same with one."""
    expected = values(after(2, "ues.count=1")[1])
    rule = "asynchronous: {cycles: 1}"
    np.testing.assert_allclose(values(after(2, "ues.count=1", split(method, more=rule))[1]), expected, atol=1e-5)


@pytest.mark.parametrize("method", ["splitfed_v1", "parallel"])
def test_the_network_changes_when_not_what(method):
    """Oracle: the model over ideal transport; copies and steps in common do not depend on who arrives first."""
    expected = values(after(1, split(method), "learning.transport=ideal")[1])
    np.testing.assert_array_equal(values(after(1, split(method))[1]), expected)


def test_servers_in_step_take_the_gradient_of_all_batches():
    """Oracle: plain SGD on the server side along torch's gradient of the mean loss over the UEs' first batches."""
    import torch

    from channel.seeding import stream

    plain = "learning.algorithm={name: fedavg, local_steps: 1, optimizer: sgd, learning_rate: 0.1}"
    federation, state, _ = after(1, plain, split("parallel"))
    learner, cut = federation.learner, federation.cut_model
    initial, total, samples = learner.initial(), {}, 0
    for ue in range(3):
        order = stream(federation.seed, "batch order", 0, ue)
        batch = learner.batch_of(ue, next(federation.algorithm.batches(learner.num_samples[ue], order)))
        learner.network.load(initial)
        learner.network.module.eval()
        loss = torch.nn.functional.cross_entropy(
            learner.network.module(**batch.inputs).logits, batch.labels, reduction="sum"
        )
        names = cut.network.names("gnb")
        found = torch.autograd.grad(loss, [learner.network.trainable[name] for name in names])
        for name, each in zip(names, found, strict=True):
            total[name] = total.get(name, 0) + each.numpy()
        samples += len(batch.rows)
    for name, each in total.items():
        np.testing.assert_allclose(state.server.model[name], initial[name] - 0.1 * each / samples, atol=1e-6)


@pytest.mark.parametrize(("codec", "size"), [("none", 4), ("fp16", 2), ("int8", 1)])
def test_bytes_are_those_of_the_tensors(codec, size):
    """Oracle: B L d times a value's bytes each way and batch, labels and scales, and the UE side down and up."""
    data = f"data: {{activations: {codec}, gradients: {codec}}}"
    federation, _, [result] = after(1, split("splitfed_v2", more=data))
    from ran.learning.payload import encode

    side = len(encode({name: federation.learner.initial()[name] for name in federation.cut_model.network.names("ue")}))
    scales = 16 * 4 if codec == "int8" else 0
    for row in result.ues:
        assert row.uplink_payload_bytes == side + 3 * (size * VALUES + scales + 16)
        assert row.downlink_payload_bytes == side + 3 * (size * VALUES + scales)


def test_frozen_sides_send_features_once():
    """Oracle: by hand: no gradients, no models; a sample's features go up in its first pass and never again."""
    federation, _, results = after(
        2, split(more="ue_side: frozen"), "learning.algorithm={name: fedavg, local_steps: null, batch_size: 16}"
    )
    first, second = results
    assert first.record.downlink_payload_bytes == second.record.downlink_payload_bytes == 0
    samples = federation.learner.num_samples
    sent = {row.ue: row.uplink_payload_bytes for row in first.ues}
    assert sent == {ue: samples[ue] * (4 * VALUES // 16 + 1) for ue in range(3)}
    assert second.record.uplink_payload_bytes == 0
    assert second.record.test_accuracy > 0.758


def test_batches_overlap_where_ues_go_ahead():
    """Oracle: the same work in less virtual time; the bytes do not change."""
    _, _, [waits] = after(1, split("splitfed_v1"))
    _, _, [ahead] = after(1, split("splitfed_v1", more="ahead: 2"))
    assert ahead.record.end_s < 0.9 * waits.record.end_s
    assert ahead.record.uplink_payload_bytes == waits.record.uplink_payload_bytes


def test_a_ue_that_vanishes_leaves_no_graph_and_ends_no_round(monkeypatch):
    """Oracle: weak references to every party's tensors are dead; the UE side is the mean of the two that stayed."""
    alive, run = [], Party.forward

    def noted(self, *args, **kwargs):
        output = run(self, *args, **kwargs)
        alive.extend(weakref.ref(graph.output) for graph in self.in_flight.values())
        return output

    monkeypatch.setattr(Party, "forward", noted)
    monkeypatch.setattr(Everyone, "drops", lambda self, candidates, ready_s: set(ready_s) & {1})
    for method in METHODS:
        once = "asynchronous: {max_staleness: 0, cycles: 1}"
        federation, state, [result] = after(1, split(method, more=once))
        gc.collect()
        assert len(alive) > 3
        assert not [ref for ref in alive if ref() is not None]
        assert (result.record.vanished, result.record.participants) == (1, 2)
        assert np.isfinite(values(state)).all()
        assert federation.cut_model is not None


@pytest.mark.parametrize(
    "settings",
    [
        split("splitfed_v2", more="data: {activations: {name: top_k, density: 0.1}, gradients: int8}, ahead: 1"),
        split(more="ue_side: frozen"),
        split("parallel", CUTS["three_way"], "data: {bottleneck: {size: 16}}"),
        split(
            "asynchronous",
            more="data: {activations: {name: top_k, density: 0.1}, gradients: int8}, ahead: 1, "
            "privacy_probe: {samples: 40, attack: {epochs: 1, width: 8}}",
        ),
    ],
    ids=["top_k remembers", "features are kept", "bottlenecks", "each at its own pace"],
)
def test_a_resumed_run_goes_on_bit_for_bit(settings):
    """Oracle: the uninterrupted one: rows, model and memories after three rounds, resumed after one."""

    def bits(state):
        return {name: repr(np.asarray(array).tolist()) for name, array in state.arrays().items()}

    more = (settings, "learning.participation={name: uniform, count: 2, dropout: 0.2}")
    federation, state, _ = after(1, *more)
    saved = {name: np.array(array) for name, array in state.arrays().items()}
    expected = [run_split_round(federation, state) for _ in range(2)]
    again = federation_of(*more)
    resumed = FederationState.start(again)
    resumed.restore(again, saved)
    for wanted in expected:
        result = run_split_round(again, resumed)
        assert repr(result.record) == repr(wanted.record)
        assert repr(result.ues) == repr(wanted.ues)
        assert repr(result.events) == repr(wanted.events)
        assert repr((result.batches, result.timeline)) == repr((wanted.batches, wanted.timeline))
    assert bits(resumed) == bits(state)


DROPS = {
    "sequential": split("sequential"),
    "splitfed_v1": split("splitfed_v1", more="ahead: 2"),
    "splitfed_v2": split("splitfed_v2", CUTS["three_way"], "ahead: 2"),
    "u_shaped": split("splitfed_v2", CUTS["u_shaped"], "ahead: 1"),
    "parallel": split("parallel", CUTS["three_way"]),
    "asynchronous": split("asynchronous", CUTS["three_way"], "ahead: 2, asynchronous: {cycles: 1}"),
}


def held_here():
    """Return how many tensors and graphs this process holds, and its resident bytes."""
    import torch

    gc.collect()
    kinds = [type(each) for each in gc.get_objects()]
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return sum(issubclass(kind, torch.Tensor) for kind in kinds), sum(kind is _Graph for kind in kinds), 4096 * pages


# Copies at the gNB, gradients for two servers, paces of their own; the others differ in rounds, not in drops.
QUICK = ("splitfed_v1", "u_shaped", "asynchronous")


@pytest.mark.parametrize(
    "settings",
    [pytest.param(each, id=name, marks=[] if name in QUICK else pytest.mark.slow) for name, each in DROPS.items()],
)
def test_two_hundred_drops_leave_nothing(settings, monkeypatch):
    """Oracle: tensors and graphs in the process, and its memory: after 200 drops as after 30; one graph has 150 kB."""
    monkeypatch.setattr(Everyone, "drops", lambda self, candidates, ready_s: set(ready_s) - {candidates.round % 11})
    small = (
        "ues.count=11", "learning.transport=ideal", "learning.model={name: mlp, hidden: [200, 200, 200]}",
        "learning.adapter=full", "learning.algorithm={name: fedavg, local_steps: 2, batch_size: 64}",
    )  # fmt: skip
    federation = federation_of(settings, *small)
    state, held, drops = FederationState.start(federation), [], 0
    parties, at_servers, made, close = [], [], Party.of, Party.drop

    def noted(self, key):
        if self.node != "ue" and any(place[0] == key for place in self.in_flight):
            at_servers.append(self.node)
        close(self, key)

    monkeypatch.setattr(Party, "of", staticmethod(lambda *each: parties.append(made(*each)) or parties[-1]))
    monkeypatch.setattr(Party, "drop", noted)
    for number in range(20):
        record = run_split_round(federation, state).record
        assert (record.vanished, record.participants >= 1) == (10, True)
        drops += record.vanished
        assert not [party.in_flight for party in parties if party.in_flight], "while the round's parties live"
        parties.clear()
        if number in (2, 19):
            held.append((held_here(), len(state.arrays())))
    assert drops == 200
    assert len(at_servers) >= (200 if "u_shaped" in settings else 0)
    ((tensors, graphs, before), arrays), ((tensors_after, graphs_after, after_), arrays_after) = held
    assert (tensors_after, graphs, graphs_after, arrays_after) == (tensors, 0, 0, arrays)
    assert after_ - before < 170 * 150e3 / 3
