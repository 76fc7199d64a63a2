"""Batches in parts that overlap: the same step, sooner."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from channel.errors import UserError
from channel.seeding import stream
from ran.learning.algorithms.fedavg import FedAvg
from ran.learning.compression.top_k import TopK
from ran.learning.split.cut import Cut
from ran.learning.split.exchange import Batch, Errors, exchange, run_exchange
from ran.learning.split.micro_batches import MicroBatches
from ran.learning.split.pipelining import Leg, gain_of
from ran.learning.split.smashed_data import SmashedData
from ran.learning.split.split_round import Turn
from scenarios.load import load
from tests.ran.learning.split.conftest import cut_up, whole, whole_of
from tests.ran.learning.split.test_exchange import assert_same_gradients
from tests.ran.learning.split.test_split_rounds import CUTS, after, split, values


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", ["two_way", "u_shaped", "three_way"])
def test_gradients_of_the_parts_add_up_to_the_batchs(shape, count):
    """Oracle: plain PyTorch's gradient of the uncut network for the whole batch, whose parts have unequal labels."""
    given = whole("gpt2")
    labels = given.batch.labels.clone()
    labels[0, 2:], labels[2, :] = -100, -100
    given = whole_of(given, Batch(given.batch.rows, given.batch.inputs, labels))
    loss, wanted = given.gradients()
    network, parties = cut_up(given, Cut(shape=shape, after=(1,) if shape == "two_way" else (1, 2)))
    batch = MicroBatches.of(given.batch, count)
    assert [len(part.rows) for part in batch.parts] == {1: [4], 3: [2, 1, 1]}[count]
    for place, part in enumerate(batch.parts):
        messages = exchange(
            network, parties, part, key=place, rng=stream(1, "x"), errors=Errors(), share=batch.shares[place]
        )
        batch.outcomes[place] = run_exchange(messages)[0]
        for party in parties.values():
            batch.gather(party)
            assert batch.complete(party) == (place == count - 1)
    assert batch.loss == pytest.approx(loss, rel=1e-5)
    assert_same_gradients(parties, wanted)


def test_batches_of_two_ues_on_one_server_keep_their_gradients_apart():
    """Oracle: each batch's own gradient alone, though the parts of both come in turns."""
    given = whole("bert")
    halves = [given.batch.part([0, 1, 2]), given.batch.part([3, 4, 5])]
    network, parties = cut_up(given, Cut(after=(1,)))
    batches = [MicroBatches.of(half, 3) for half in halves]
    gnb = parties["gnb"]
    for place in range(3):
        for index, batch in enumerate(batches):
            messages = exchange(
                network, parties, batch.parts[place], key=(index, place), rng=stream(1, "x"), errors=Errors(),
                share=batch.shares[place],
            )  # fmt: skip
            run_exchange(messages)
            batch.gather(gnb)
            if batch.complete(gnb):
                _, wanted = whole_of(given, halves[index]).gradients()
                for name, leaf in gnb.leaves.items():
                    torch.testing.assert_close(leaf.grad, wanted[name], atol=1e-6, rtol=1e-5)
                    leaf.grad = None


def test_what_samples_left_out_is_kept_though_their_messages_overlap():
    """Oracle: a memory of every sample of both parts; a sender that remembers a moment forgets the other part."""
    given, data = whole("bert"), SmashedData(activations=TopK(density=0.1))
    network, parties = cut_up(given, Cut(after=(1,)), data)
    errors = Errors()
    parts = [given.batch.part([0, 1]), given.batch.part([2, 3])]
    both = [
        exchange(network, parties, part, key=at, rng=stream(1, "x"), errors=errors) for at, part in enumerate(parts)
    ]
    for messages in both:
        next(messages)
    for messages in both:
        next(messages)
    assert sorted(errors.kept[0, "activations"]) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("method", "cut"),
    [("splitfed_v1", "three_way"), ("parallel", "two_way"), ("sequential", "u_shaped"), ("splitfed_v2", "two_way")],
)
def test_rounds_of_micro_batches_train_the_same_model(method, cut):
    """Oracle: the round of whole batches, 1e-5, and the event of the pipeline; one UE where all share a server."""
    more = ("ues.count=1",) if method == "splitfed_v2" else ()
    _, expected, [whole_round] = after(1, split(method, CUTS[cut]), *more)
    federation, state, [result] = after(1, split(method, CUTS[cut], "micro_batches: 3"), *more)
    assert federation.cut_model.split.micro_batches == 3
    np.testing.assert_allclose(values(state), values(expected), atol=1e-5)
    assert result.record.train_loss == pytest.approx(whole_round.record.train_loss, rel=1e-5)
    [event] = [event for event in result.events if event["event"] == "pipeline"]
    assert event["speed_up_predicted"] > 1
    assert not [event for event in whole_round.events if event["event"] == "pipeline"]
    steps = [event["num_steps"] for event in result.events if event["event"] == "training_done"]
    assert set(steps) == {3}


def test_predicted_times_equal_hand_solved_schedules():
    """Oracle: by hand. Alone: UE 0-2-4, air 2-5-8, gNB 5-6 and 8-9, back 9-10: 10, undivided 4 + 6 + 2 + 2 = 14."""

    def way(ue):
        steps = (("forward 0", f"ue {ue}", 2.0, 0), ("activations 0", f"uplink {ue}", 3.0, 30),
                 ("answer 1", "gnb", 1.0, 0), ("backward 0", f"ue {ue}", 1.0, 0))  # fmt: skip
        return [Leg(*step) for step in steps]

    def turn(ue):
        return Turn(ue, [np.arange(2)], paths=[[way(ue), way(ue)]], received_s=5.0, done_s=16.0)

    alone = gain_of([turn(0)], at_once=True)
    assert (alone.serial_s, alone.undivided_s, alone.predicted_s, alone.simulated_s) == (14, 14, 10, 11)
    assert alone.row()["speed_up_predicted"] == pytest.approx(14 / 10)
    assert alone.row()["speed_up_simulated"] == pytest.approx(14 / 11)
    # Two at once: the second waits for the gNB, 1 s for a part and 2 s for a whole batch.
    both = gain_of([turn(0), turn(1)], at_once=True)
    assert (both.undivided_s, both.predicted_s) == (15, 10.5)
    assert gain_of([turn(0), turn(1)], at_once=False).predicted_s == 10
    assert gain_of([Turn(0, [])], at_once=True) is None


def test_rates_are_means_and_delays_hold_nobody_up():
    """Oracle: by hand: 10 bits in 1 s and 10 in 3 s are 5 bit/s, 2 s each; a delay of 4 s after each in parallel."""
    paths = [[Leg("up", "uplink 0", time_s, 10), Leg("latency", "", 4.0)] for time_s in (1.0, 3.0)]
    gain = gain_of([Turn(0, [np.arange(2)], paths=[paths], received_s=0.0, done_s=8.0)], at_once=True)
    assert (gain.serial_s, gain.undivided_s, gain.predicted_s) == (8, 8, 8)


def test_more_parts_than_samples_are_refused():
    """Oracle: one sentence at its field, with the remedy; fewer samples than parts in a last batch are not."""
    with pytest.raises(UserError, match=r"micro_batches.*17 parts of a batch of 16; set it to 16 or less"):
        load("smoke", ["learning.split={micro_batches: 17}", "learning.algorithm={name: fedavg}"])
    assert FedAvg().batch_size == 16
    assert len(MicroBatches.of(whole("mlp").batch.part([0, 1]), 5).parts) == 2
