"""Rounds in which every UE has its own cut, width and quantiser, and what does not go with that."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from channel.errors import UserError
from ran.learning.adaptation.agent import OBSERVED, observe
from ran.learning.federation import FederationState
from ran.learning.participation import Everyone
from ran.learning.payload import encode
from ran.learning.split.choices import adapt, offers
from ran.learning.split.training import next_turns, run_split_round
from ran.learning.uplink import flat
from scenarios.load import load
from scenarios.run import build_federation

SMALL = (
    "channel=free_space", "learning.algorithm={name: fedavg, local_steps: 3}", "ues.count=3", "learning.central=skip",
)  # fmt: skip
KINDS = (
    "ues.devices=[{device_class: sensor, memory_bytes: 1e6}, {device_class: phone}, {device_class: laptop}]",
    "ues.placement={name: disc, min_distance_m: 35, max_distance_m: 400}",
)
VALUES = 16 * 17 * 64
"""Of a batch's activations: 16 samples of 17 tokens, 64 wide."""


def adaptive(lists="", method="splitfed_v1", more="", rule="exhaustive", deadline_s=1e3):
    adaptation = f"{{rule: {rule}, deadline_s: {deadline_s}{', ' + lists if lists else ''}}}"
    return f"learning.split={{method: {method}, adaptation: {adaptation}{', ' + more if more else ''}}}"


def federation_of(*settings):
    return build_federation(load("smoke", [*SMALL, *settings]))


def after(rounds, *settings, actions=None):
    federation = federation_of(*settings)
    state = FederationState.start(federation)
    return federation, state, [run_split_round(federation, state, actions=actions) for _ in range(rounds)]


def adapted(result):
    return {event["ue"]: event for event in result.events if event["event"] == "adapted"}


def values(state):
    return flat(state.server.model)


CUTS = "cuts: [1, 2, 3]"


def test_cuts_that_differ_are_fedavg_all_the_same():
    """Oracle: FedAvg of the whole model, two rounds, 1e-5: without loss, a cut changes no gradient, wherever it is."""
    from ran.learning.round import run_round

    whole = federation_of()
    expected = FederationState.start(whole)
    _, state, results = after(2, adaptive(CUTS), actions={0: (0, 0, 0), 1: (1, 0, 0), 2: (2, 0, 0)})
    for _ in range(2):
        run_round(whole, expected)
    np.testing.assert_allclose(values(state), values(expected), atol=1e-5)
    for result in results:
        assert [adapted(result)[ue]["cut_after"] for ue in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_ues_that_take_turns_hand_on_what_was_learnt(optimizer):
    """Oracle: by hand: one model that passes from UE to UE, its steps by plain PyTorch.

    UE sides start each turn with a fresh optimiser; a server goes on with that of what it had before (AdamW's moments).
    """
    steps = f"learning.algorithm={{name: fedavg, local_steps: 2, optimizer: {optimizer}, learning_rate: 0.01}}"
    _, state, _ = after(1, steps, adaptive(CUTS, "sequential"), actions={0: (0, 0, 0), 1: (2, 0, 0), 2: (1, 0, 0)})
    again = federation_of(steps, adaptive(CUTS, "sequential"))
    fresh = FederationState.start(again)
    _, turns = next_turns(again, fresh)
    learner, models = again.learner, again.cut_model.options
    arrays = {name: torch.nn.Parameter(torch.tensor(each)) for name, each in learner.initial().items()}
    kept = dict[str, dict]()
    for turn, cut in zip(turns, (0, 2, 1), strict=True):
        sides = {node: models[cut].network.names(node) for node in ("ue", "gnb")}
        optimizers = {node: again.algorithm.new_optimizer([arrays[n] for n in names]) for node, names in sides.items()}
        for name in sides["gnb"]:
            if name in kept:
                optimizers["gnb"].state[arrays[name]] = kept[name]
        for which in turn.batches:
            batch = learner.batch_of(turn.ue, which)
            learner.network.load({name: each.detach().numpy() for name, each in arrays.items()})
            learner.network.module.eval()
            loss = torch.nn.functional.cross_entropy(learner.network.module(**batch.inputs).logits, batch.labels)
            names = list(learner.network.trainable)
            found = torch.autograd.grad(loss, [learner.network.trainable[name] for name in names])
            for name, each in zip(names, found, strict=True):
                arrays[name].grad = each.clone()
            for each in optimizers.values():
                each.step()
        kept = {name: optimizers["gnb"].state[arrays[name]] for name in sides["gnb"]}
    for name, each in arrays.items():
        np.testing.assert_allclose(state.server.model[name], each.detach().numpy(), atol=2e-5)


@pytest.mark.parametrize(("place", "size"), [(0, 4), (1, 2), (2, 1)])
def test_predicted_bytes_are_the_simulated_ones(place, size):
    """Oracle: by hand: B L d r x bytes of a value, a scale a sample, labels up, and the UE side both ways.

    Half the width is half the bytes of the values, exactly; predictions in the event are those very numbers.
    """
    more = "data: {bottleneck: {size: 32, widths: [0.5, 1]}}"
    lists = f"{CUTS}, widths: [0.5, 1], quantisers: [none, fp16, int8]"
    for width in (0, 1):
        actions = {ue: (ue, width, place) for ue in range(3)}
        federation, _, [result] = after(1, adaptive(lists, more=more), actions=actions)
        for ue, event in adapted(result).items():
            names = federation.cut_model.options[ue].network
            batches = 3 * (size * VALUES * (0.25, 0.5)[width] + (16 * 4 if size == 1 else 0))
            side = len(encode(names.initial("ue")))
            assert event["uplink_bytes"] == event["predicted_uplink_bytes"] == side + batches + 3 * 16
            assert event["downlink_bytes"] == event["predicted_downlink_bytes"] == side + batches
            row = result.ues[ue]
            assert (row.uplink_payload_bytes, row.downlink_payload_bytes) == (side + batches + 48, side + batches)


def test_one_ue_alone_takes_about_as_long_as_predicted():
    """Oracle: the simulation. Alone, what a prediction leaves out is the waits for slots of the direction.

    Of a period of the duplex pattern at most for each of the 2 x (3 + 1) payloads, and one for retransmissions.
    """
    federation, _, [result] = after(1, "ues.count=1", adaptive(CUTS))
    [event], [row] = adapted(result).values(), result.ues
    period_s = len(federation.simulation.plan.kinds) * federation.simulation.plan.slot_s
    assert row.predicted_s == event["predicted_s"] > 0
    assert row.took_s == event["took_s"] == pytest.approx(row.uplink_done_s, abs=1e-12)
    assert 0 < row.took_s - row.predicted_s < 2 * 8 * period_s


def test_slow_ues_cut_elsewhere():
    """Oracle: by hand: 1 MB holds the first layer only; a laptop is faster than its share of the server.

    So a sensor has to cut first, and a laptop, with no deadline, last.
    """
    federation, _, [result] = after(1, *KINDS, adaptive(CUTS, more="gnb: {flop_s: 2e10}"))
    kinds = {each.device_class: ue for ue, each in enumerate(federation.simulation.world.devices)}
    chosen = {kind: adapted(result)[ue]["cut_after"] for kind, ue in kinds.items()}
    assert chosen["sensor"] == 1
    assert chosen["laptop"] == 3


def test_far_ues_send_less():
    """Oracle: by hand: of two equal phones with a deadline between the times of their best choices, one is in time."""
    places = ("ues.count=2", "ues.placement={name: explicit, positions_m: [[60, 0], [40000, 0]]}")
    lists = "quantisers: [none, fp16, int8, fp8]"
    _, _, [result] = after(1, *places, adaptive(lists))
    near, far = (adapted(result)[ue] for ue in range(2))
    assert near["uplink_bit_s"] > 2 * far["uplink_bit_s"]
    assert near["quantiser"] == far["quantiser"] == "none"
    _, _, [result] = after(1, *places, adaptive(lists, deadline_s=(near["predicted_s"] + far["predicted_s"]) / 2))
    assert adapted(result)[0]["quantiser"] == "none"
    assert adapted(result)[1]["quantiser"] != "none"
    assert adapted(result)[1]["uplink_bytes"] < adapted(result)[0]["uplink_bytes"]


def test_an_agent_sees_what_a_rule_sees_and_acts_in_its_place():
    """Oracle: the round itself: offers before it are those of its choices; twice asked, twice the same."""
    federation = federation_of(*KINDS, adaptive(f"{CUTS}, quantisers: [none, int8]"))
    state = FederationState.start(federation)
    (_, turns), (_, again) = next_turns(federation, state), next_turns(federation, state)
    given = offers(federation, state, turns)
    for one, other in zip(given, offers(federation, state, again), strict=True):
        assert (one.situation, one.menu.work) == (other.situation, other.menu.work)
        assert one.menu.sizes == (3, 1, 2)
        assert observe(one.menu, one.situation).shape == (len(OBSERVED),)
    small = next(each for each in given if each.situation.device.device_class == "sensor")
    assert small.menu.fits(small.situation)[:, 0, 0].tolist() == [True, False, False]
    actions = {each.ue: (0, 0, 1) for each in given}
    predicted = {ue: choice.predicted for ue, choice in adapt(federation, given, actions).items()}
    events = adapted(run_split_round(federation, state, actions=actions))
    assert {ue: event["predicted_s"] for ue, event in events.items()} == {
        ue: cost.time_s for ue, cost in predicted.items()
    }
    assert {event["quantiser"] for event in events.values()} == {"int8"}
    with pytest.raises(UserError, match="after layer 3 takes"):
        run_split_round(federation, state, actions=actions | {small.ue: (2, 0, 0)})


def test_a_bottleneck_of_one_cut_is_not_that_of_another():
    """Oracle: by hand: two UEs cut after layer 1, none after 2, whose bottleneck stays as drawn."""
    more = "data: {bottleneck: {size: 32}}"
    federation, state, [result] = after(
        1, adaptive(CUTS, more=more), actions={0: (0, 0, 0), 1: (0, 0, 0), 2: (2, 0, 0)}
    )
    first = {f"bottleneck/{name}": each for name, each in federation.cut_model.bottlenecks.items()}
    moved = {name.split(".")[1] for name, each in first.items() if not np.array_equal(each, state.server.memory[name])}
    assert {name.split(".")[1] for name in first} == {"1", "2", "3"}
    assert moved == {"1", "3"}
    learner, whole = (
        federation.learner,
        state.server.model | {name.removeprefix("bottleneck/"): state.server.memory[name] for name in first},
    )
    shares = np.array(learner.num_samples) / sum(learner.num_samples)
    each = [
        learner.evaluate(state.server.model, federation.cut_model.options[at].network.bottlenecked(whole)).accuracy
        for at in (0, 2)
    ]
    assert result.record.test_accuracy == pytest.approx(shares[:2].sum() * each[0] + shares[2] * each[1])


def test_a_ue_that_vanishes_is_predicted_too(monkeypatch):
    """Property: its event is there, its side is lost, and the round ends."""
    monkeypatch.setattr(Everyone, "drops", lambda self, candidates, ready_s: set(ready_s) & {1})
    for method in ("splitfed_v1", "sequential"):
        _, state, [result] = after(1, adaptive(CUTS, method), actions={ue: (ue, 0, 0) for ue in range(3)})
        assert adapted(result)[1]["uplink_bytes"] < adapted(result)[1]["predicted_uplink_bytes"]
        assert (result.record.vanished, result.record.participants) == (1, 2)
        assert np.isfinite(values(state)).all()


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ("cut: {shape: u_shaped, after: [1, 2]}, adaptation: {}", "a u_shaped cut is not chosen by round"),
        ("ue_side: frozen, adaptation: {}", "set ue_side to trained"),
        ("adaptation: {quantisers: [top_k]}", "top_k"),
        ("adaptation: {quantisers: [qsgd]}", "choose from none, fp16, bf16, int8, fp8"),
        ("data: {activations: int8}, adaptation: {quantisers: [none]}", "set them to none, or leave quantisers out"),
        ("method: splitfed_v1, data: {activations: {name: top_k, density: 0.1}}, adaptation: {cuts: [1, 2]}",
         "top_k keeps errors of one cut and width"),
        ("adaptation: {quantisers: [none, int8], quality: [[[1]]]}", "give 1 lists of 1 lists of 2"),
        ("data: {bottleneck: {size: 8, widths: [0.5, 1], uplink_budget_s: 1}}, adaptation: {widths: [0.5]}",
         "leave one of them out"),
        ("data: {bottleneck: {size: 8, uplink_budget_s: 1}, activations: {name: top_k, density: 0.1}}",
         "top_k keeps errors of one width"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(split, words):
    """Oracle: the sentences."""
    with pytest.raises(UserError, match=re.escape(words)):
        load("smoke", [f"learning.split={{{split}}}"])


@pytest.mark.parametrize("split", ["adaptation: {}", "data: {bottleneck: {size: 8, uplink_budget_s: 1}}"])
def test_without_a_radio_there_is_nothing_to_adapt_to(split):
    """Oracle: the sentence."""
    with pytest.raises(UserError, match=r"set learning\.transport to digital"):
        load("smoke", [f"learning.split={{{split}}}", "learning.transport=ideal"])


def test_devices_that_hold_no_cut_are_refused():
    """Oracle: the sentence; one that holds the first cut is not, but where the rule is to take another for all."""
    tiny = "ues.devices=[{device_class: sensor, memory_bytes: 5e5}, {device_class: phone}]"
    with pytest.raises(UserError, match=r"learning.split.adaptation.cuts: the UE's side of the cut takes 0.8 MB"):
        federation_of(tiny, adaptive(CUTS))
    with pytest.raises(UserError, match=r"learning.split.adaptation.cuts: the UE's side of the cut takes 2.4 MB"):
        federation_of(*KINDS, adaptive("cuts: [3, 1]", rule="fixed"))
    with pytest.raises(UserError, match=r"learning.split.adaptation.cuts: a cut after layer 9"):
        federation_of(adaptive("cuts: [1, 9]"))


@pytest.mark.parametrize("name", ["greedy", "exhaustive", "fixed"])
def test_a_resumed_adaptive_run_goes_on_bit_for_bit(name):
    """Oracle: the uninterrupted one: rows, events, model, histories and bottlenecks, resumed after one of three."""
    more = (
        *KINDS, "learning.participation={name: uniform, count: 2, dropout: 0.2}",
        adaptive(f"{CUTS}, widths: [1, 0.5], quantisers: [none, int8]", rule=name, deadline_s=0.3,
                 more="data: {bottleneck: {size: 16, widths: [0.5, 1]}}, filter: {max_confidence: 0.9}"),
    )  # fmt: skip
    federation, state, _ = after(1, *more)
    saved = {name: np.array(array) for name, array in state.arrays().items()}
    expected = [run_split_round(federation, state) for _ in range(2)]
    again = federation_of(*more)
    resumed = FederationState.start(again)
    resumed.restore(again, saved)
    for wanted in expected:
        assert repr(run_split_round(again, resumed)) == repr(replace(wanted))
    assert {name: repr(np.asarray(each).tolist()) for name, each in resumed.arrays().items()} == {
        name: repr(np.asarray(each).tolist()) for name, each in state.arrays().items()
    }
