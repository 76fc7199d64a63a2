"""The steps of FedGKT: which gradients flow where, what is sent, and that nobody is waited for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from channel.seeding import stream
from ran.learning.adapters import Full
from ran.learning.compression.bf16 import Bf16
from ran.learning.compression.fp16 import Fp16
from ran.learning.compression.int8 import Int8
from ran.learning.compression.layout import CorruptPayload
from ran.learning.compression.links import Compression
from ran.learning.gkt import FedGkt
from ran.learning.gkt.fit import load, read
from ran.learning.gkt.learner import GktLearner
from ran.learning.gkt.losses import transfer_loss
from ran.learning.partition.iid import Iid
from ran.learning.small_models import ResNet
from ran.learning.tasks import Digits
from ran.learning.tasks.task import Dataset, Examples
from tests.ran.learning.conftest import digits_learner

UES = 3


class FewDigits(Digits):
    """The first 60 training and 30 test digits."""

    def load(self) -> Dataset:
        data = super().load()
        few = [Examples(part.inputs[:n], part.labels[:n]) for part, n in ((data.train, 61), (data.test, 30))]
        return Dataset(*few, data.class_names)


def gkt(compression=Compression(), settings=FedGkt(), **changed):
    """Return a learner of three UEs with 21, 20 and 20 digits, some of its pieces changed."""
    pieces = {
        "task": FewDigits(), "model": ResNet(widths=(8, 16)), "adapter": Full(), "partition": Iid(),
        "num_clients": UES, "seed": 1,
    }  # fmt: skip
    return GktLearner(digits_learner(**(pieces | changed)), settings, compression)


def start(learner):
    """Return the edge network's and the server's first parameters."""
    return learner.initial(), learner.server_part(learner.learner.initial())


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def test_edge_step_is_plain_descent():
    """Oracle: a bare PyTorch loop with AdamW, the same batches, CE + T^2 KL to given soft labels; then the report."""
    learner = gkt()
    edge, _ = start(learner)
    teacher = stream(1, "teacher").normal(size=(learner.num_samples[1], 10)).astype(np.float32)
    outcome = learner.edge_step(1, edge, teacher, round_index=4)
    images, labels = learner.images[learner.rows[1]], learner.labels[learner.rows[1]]
    load(learner.edge, edge)
    optimizer = torch.optim.AdamW(learner.edge.parameters(), lr=2e-3, weight_decay=0.0)
    order = torch.from_numpy(stream(1, "batch order", 4, 1).permutation(len(labels)))
    for batch in order.split(16):
        _, logits = learner.edge(images[batch])
        optimizer.zero_grad()
        wanted = torch.from_numpy(teacher)[batch]
        transfer_loss(logits, labels[batch], wanted, temperature=3.0, weight=0.1).backward()
        optimizer.step()
    trained = read(learner.edge)
    for name, array in outcome.arrays.items():
        np.testing.assert_allclose(array, trained[name], atol=1e-6)
    features, logits = learner.edge(images)
    np.testing.assert_allclose(outcome.report["features"], features.detach(), atol=1e-5)
    np.testing.assert_allclose(outcome.report["logits"], logits.detach(), atol=1e-5)
    np.testing.assert_array_equal(outcome.report["labels"], labels)
    assert outcome.flops == len(labels) * (3 + 1) * learner.edge_flops


def test_server_step_is_plain_descent():
    """Oracle: a bare PyTorch loop over the pooled reports, in the order of UEs; then the soft labels, UE by UE."""
    learner = gkt()
    edge, server = start(learner)
    reports = {ue: learner.edge_step(ue, edge, None, 0).report for ue in (2, 0)}
    outcome = learner.server_step(server, reports, round_index=0)
    features, logits, labels = (
        torch.from_numpy(np.concatenate([reports[ue][name] for ue in (0, 2)]))
        for name in ("features", "logits", "labels")
    )
    load(learner.server, server)
    optimizer = torch.optim.AdamW(learner.server.parameters(), lr=3e-4, weight_decay=0.0)
    for batch in torch.from_numpy(stream(1, "server batch order", 0).permutation(len(labels))).split(16):
        said = learner.server(features[batch])
        optimizer.zero_grad()
        transfer_loss(said, labels[batch].long(), logits[batch], temperature=3.0, weight=0.1).backward()
        optimizer.step()
    trained = read(learner.server)
    for name, array in outcome.arrays.items():
        np.testing.assert_allclose(array, trained[name], atol=1e-6)
    answers = learner.server(features).detach().numpy()
    np.testing.assert_allclose(np.concatenate([outcome.soft_labels[0], outcome.soft_labels[2]]), answers, atol=1e-5)
    assert len(outcome.soft_labels[0]) == learner.num_samples[0]
    assert outcome.flops == len(labels) * (3 + 1) * learner.server_flops


def test_each_side_trains_itself_alone():
    """Property: a UE's step leaves the server's network as it is, the server's step the UEs'; a step is repeatable."""
    learner = gkt()
    edge, server = start(learner)
    outcome = learner.edge_step(0, edge, None, 0)
    assert not same(outcome.arrays, edge)
    assert same(outcome.arrays, learner.edge_step(0, edge, None, 0).arrays)
    assert same(edge, learner.initial())
    load(learner.server, server)
    learner.edge_step(0, edge, None, 1)
    assert same(read(learner.server), server)
    load(learner.edge, outcome.arrays)
    trained = learner.server_step(server, {0: outcome.report}, 1)
    assert not same(trained.arrays, server)
    assert same(read(learner.edge), outcome.arrays)


def test_teachers_are_heard():
    """Property: soft labels change what a UE learns, and a report's logits what the server learns."""
    learner = gkt()
    edge, server = start(learner)
    plain = learner.edge_step(0, edge, None, 0)
    taught = learner.edge_step(0, edge, np.eye(10, dtype=np.float32)[np.zeros(21, int)], 0)
    assert not same(plain.arrays, taught.arrays)
    other = plain.report | {"logits": -plain.report["logits"]}
    first, second = (learner.server_step(server, {0: report}, 0).arrays for report in (plain.report, other))
    assert not same(first, second)
    deaf = gkt(settings=FedGkt(distillation_weight=0.0))
    first, second = (deaf.server_step(server, {0: report}, 0).arrays for report in (plain.report, other))
    assert same(first, second)


@pytest.mark.parametrize(("compressor", "bytes_per_value", "scales"), [(Fp16(), 2, 0), (Bf16(), 2, 0), (Int8(), 1, 2)])
def test_payload_bytes(compressor, bytes_per_value, scales):
    """Oracle: by hand: n (8 8 8 + 10) values, a scale of 4 bytes for features and logits each, a byte a label."""
    learner = gkt(Compression(uplink=compressor, downlink=compressor))
    edge, server = start(learner)
    for ue, count in enumerate((21, 20, 20)):
        report = learner.edge_step(ue, edge, None, 0).report
        soft = learner.server_step(server, {ue: report}, 0).soft_labels[ue]
        payload = learner.exchange.send_report(report, ue, 0)
        assert len(payload) == count * (512 + 10) * bytes_per_value + 4 * scales + count
        assert len(learner.exchange.send_soft_labels(soft, ue, 0)) == count * 10 * bytes_per_value + 4 * scales // 2


def test_uncompressed_payload_is_exact():
    """Oracle: safetensors by hand: 4 bytes a value, 1 a label, a header; what arrives is what was sent, bit for bit."""
    learner = gkt()
    outcome = learner.edge_step(0, learner.initial(), None, 0)
    payload = learner.exchange.send_report(outcome.report, 0, 0)
    header = int.from_bytes(payload[:8], "little")
    assert len(payload) == 8 + header + 21 * (512 + 10) * 4 + 21
    arrived = learner.exchange.receive_report(payload, 21, 0)
    assert same(arrived, outcome.report)
    assert arrived["labels"].dtype == np.uint8
    assert replace(learner.exchange, classes=300).label_dtype == np.uint16
    soft = stream(1, "soft").normal(size=(21, 10)).astype(np.float32)
    payload = learner.exchange.send_soft_labels(soft, 0, 0)
    assert len(payload) == 8 + int.from_bytes(payload[:8], "little") + 21 * 10 * 4
    np.testing.assert_array_equal(learner.exchange.receive_soft_labels(payload, 21, 0), soft)


def test_a_wrong_report_is_refused():
    """Oracle: a class that there is not, and a byte too few, are no report."""
    learner = gkt(Compression(uplink=Fp16()))
    report = learner.edge_step(0, learner.initial(), None, 0).report
    report["labels"][3] = 10
    payload = learner.exchange.send_report(report, 0, 0)
    with pytest.raises(CorruptPayload, match="class 10, of 10 classes"):
        learner.exchange.receive_report(payload, 21, 0)
    with pytest.raises(CorruptPayload):
        learner.exchange.receive_report(payload[:-1], 21, 0)


def test_the_server_takes_what_it_has():
    """Property: reports of some UEs give soft labels to those; without any the server stays as it is, for nothing."""
    learner = gkt()
    edge, server = start(learner)
    reports = {ue: learner.edge_step(ue, edge, None, 0).report for ue in (0, 2)}
    assert learner.server_step(server, reports, 0).soft_labels.keys() == {0, 2}
    nobody = learner.server_step(server, {}, 3)
    assert same(nobody.arrays, server)
    assert (nobody.soft_labels, nobody.flops) == ({}, 0.0)


def test_same_seed_same_bits():
    """Property: equal seeds give equal bits, whatever ran before; others do not; no global random state is touched."""
    before, runs = torch.random.get_rng_state(), []
    for seed in (1, 1, 2):
        learner = gkt(Compression(uplink=Int8(rounding="stochastic")), seed=seed)
        edge, server = start(learner)
        if len(runs) == 1:
            learner.edge_step(2, edge, None, 7)
        outcome = learner.edge_step(1, edge, None, 0)
        payload = learner.exchange.send_report(outcome.report, 1, 0)
        runs.append((outcome.arrays, payload, learner.server_step(server, {1: outcome.report}, 0).arrays))
    assert same(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1] != runs[2][1]
    assert same(runs[0][2], runs[1][2])
    assert not same(runs[0][2], runs[2][2])
    assert torch.equal(before, torch.random.get_rng_state())


def test_evaluation_is_extractor_then_server():
    """Oracle: the accuracies of a bare forward pass over the whole test set, UE by UE."""
    learner = gkt()
    edge, server = start(learner)
    edges = [learner.edge_step(ue, edge, None, 0).arrays for ue in range(UES)]
    found = learner.evaluate(edges, server)
    test = FewDigits().samples(FewDigits().load().test, None)
    images, labels = torch.from_numpy(test.inputs["pixel_values"]), torch.from_numpy(test.labels)
    load(learner.server, server)
    for ue, trained in enumerate(edges):
        load(learner.edge, trained)
        features, _ = learner.edge(images)
        right = (learner.server(features).argmax(dim=1) == labels).double().mean()
        assert found[ue].accuracy == pytest.approx(float(right))
