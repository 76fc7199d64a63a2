"""Whole rounds over small worlds: resumed ones against uninterrupted ones, frozen layers, transports that agree."""

import math
from dataclasses import replace

import numpy as np
import pytest

from channel.errors import UserError
from ran.learning.algorithms import ALGORITHMS
from ran.learning.federation import FederationState
from ran.learning.freezing import Frozen, NoFreezing
from ran.learning.payload import encode
from ran.learning.round import run_round
from scenarios.load import load
from scenarios.run import build_federation

SMALL = ("channel=free_space", "learning.algorithm.local_steps=3", "ues.count=4", "learning.central=skip")
OPTIONS = {
    "frozen, with control variates": (
        "learning.algorithm={name: scaffold, local_steps: 3, optimizer: sgd, learning_rate: 0.05}",
        "learning.adapter=full", "learning.freezing=schedule",
        "learning.participation={name: uniform, count: 3, dropout: 0.2}",
    ),
    "frozen, with personal models": (
        "learning.algorithm={name: ditto, local_steps: 3}", "learning.freezing=gradient_norm",
        "learning.participation={name: uniform, count: 2}",
    ),
    "hierarchical": (
        "sites.layout={name: hexagonal, num_sites: 7}", "learning.hierarchy={name: hierarchical, cloud_every: 2}",
        "learning.algorithm={name: feddyn, local_steps: 3}", "ues.count=7",
    ),
    "fragments": ("learning.algorithm={name: streaming_diloco, local_steps: 3}",),
    "ranks": ("learning.algorithm={name: flora, local_steps: 3}", "learning.adapter={name: lora, ranks: [2, 4]}"),
    "guided, coming and going": (
        "learning.participation={name: oort, count: 2, availability: {name: on_off, mean_on_s: 2, mean_off_s: 4}}",
        "ues.devices=[{device_class: phone}, {device_class: laptop}]",
    ),
    "stacked": ("learning.model=mlp", "learning.adapter=full", "learning.algorithm={name: scaffold, local_steps: 3}"),
}  # fmt: skip


def federation_of(*settings):
    return build_federation(load("smoke", [*SMALL, *settings]))


def bits(state):
    # Not the bytes: between the fields of a record lie some that mean nothing.
    return {name: repr(np.asarray(array).tolist()) for name, array in state.arrays().items()}


@pytest.mark.parametrize("settings", OPTIONS.values(), ids=OPTIONS.keys())
def test_a_resumed_federation_goes_on_bit_for_bit(settings):
    """Oracle: the uninterrupted one: rows, model, memories and network after three rounds, resumed after two."""
    federation = federation_of(*settings)
    state = FederationState.start(federation)
    for _ in range(2):
        run_round(federation, state)
    saved = {name: np.array(array) for name, array in state.arrays().items()}
    expected = run_round(federation, state)
    again = federation_of(*settings)
    resumed = FederationState.start(again)
    resumed.restore(again, saved)
    result = run_round(again, resumed)
    assert repr(result.record) == repr(expected.record)
    assert repr(result.ues) == repr(expected.ues)
    assert bits(resumed) == bits(state)


# One of each kind of payload and memory; the others belong to the longer studies.
QUICK = ("ditto", "fedavg", "fedkseed", "flora", "one_bit_adam", "scaffold", "scallion")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in ALGORITHMS.names()]
)
def test_carried_and_ideal_payloads_teach_alike(name):
    """Property: what RLC AM carries arrives whole, so the model is that of ideal transport bit for bit."""
    models = []
    for transport in ("ideal", "digital"):
        federation = federation_of(
            f"learning.algorithm={{name: {name}, local_steps: 3}}", f"learning.transport={transport}"
        )
        state = FederationState.start(federation)
        for _ in range(2):
            run_round(federation, state)
        assert state.clock_s > 0.0
        models.append(encode(state.server.model))
    assert models[0] == models[1]


def test_one_gnb_is_flat():
    """Oracle: the flat federation, bit for bit, and nothing crosses the backhaul."""
    models = []
    for hierarchy in ("flat", "hierarchical"):
        federation = federation_of(f"learning.hierarchy={hierarchy}")
        state = FederationState.start(federation)
        for _ in range(2):
            record = run_round(federation, state).record
        assert record.backhaul_uplink_bytes == record.backhaul_downlink_bytes == 0
        models.append(encode(state.server.model))
    assert models[0] == models[1]


def test_the_cloud_meets_on_time_and_takes_it():
    """Oracle: by hand: every second round the models of the gNBs with UEs go up, all get one down, over both ways."""
    link = "backhaul_bit_s: 1e6, backhaul_latency_s: 0.5"
    federation = federation_of(
        "sites.layout={name: hexagonal, num_sites: 7}", "ues.count=14",
        f"learning.hierarchy={{name: hierarchical, cloud_every: 2, {link}}}",
    )  # fmt: skip
    state = FederationState.start(federation)
    cells = set(state.network.serving_cell[0].tolist())
    size = len(encode(state.server.model))
    for number in range(1, 5):
        result = run_round(federation, state)
        meets = number % 2 == 0
        assert result.record.backhaul_uplink_bytes == meets * len(cells) * size
        assert result.record.backhaul_downlink_bytes == meets * len(state.edges) * size
        ends_s = [event["time_s"] for event in result.events if event["event"] != "round_end"]
        took_s = result.record.end_s - max(ends_s)
        assert took_s == pytest.approx(meets * 2 * (0.5 + 8 * size / 1e6))
        different = len({encode(edge.server.model) for edge in state.edges})
        assert different == 1 if meets else different > 1


def test_frozen_layers_cost_no_bytes_once_known():
    """Oracle: counted: up go the layers that are left, down these and, once for each UE, what was newly frozen.

    Schedule over the 4 layers of the glyph ViT with alpha 1/3: 0, 2, 3, 3, 4 layers frozen after 0, 1, 2, ... rounds.
    """
    federation = federation_of("learning.freezing=schedule", "learning.participation={name: uniform, count: 2}")
    learner, state = federation.learner, FederationState.start(federation)
    layers = learner.frozen
    known = np.zeros(4, int)
    depths = [math.ceil(len(layers.groups) * (1 - (2 / 3) ** step) - 1e-9) for step in range(6)]
    final = {}
    for number in range(5):
        depth = depths[number]
        assert layers.depth == depth
        model = state.server.model
        frozen = layers.names()
        active = encode({name: array for name, array in model.items() if name not in frozen})
        result = run_round(federation, state)
        for row in result.ues:
            news = layers.names(depth, since=known[row.ue])
            sent = {name: array for name, array in model.items() if name not in frozen}
            sent |= {f"frozen/{name}": model[name] for name in news}
            assert row.uplink_payload_bytes == len(active)
            assert row.downlink_payload_bytes == len(encode(sent))
            known[row.ue] = depth
        for name in frozen:
            final.setdefault(name, model[name])
            np.testing.assert_array_equal(state.server.model[name], final[name])
    np.testing.assert_array_equal(state.depths, known)
    assert set(depths) > {0, 2}


def test_frozen_layers_are_computed_once_a_sample():
    """Oracle: FLOPs counted by hand: three times the forward pass of what is left, and what is frozen once a sample."""
    settings = ("learning.freezing={name: schedule, cache_mb: 1000, rounds_per_step: 9}", "learning.partition=iid")
    federation = federation_of(*settings, "learning.algorithm={name: fedavg, local_epochs: 2, local_steps: null}")
    learner, state = federation.learner, FederationState.start(federation)
    whole = run_round(federation, state)
    learner.frozen.freeze(2, state.server.model)
    state.frozen, federation = Frozen(2, state.frozen.norms), replace(federation, freezing=NoFreezing())
    first, second = run_round(federation, state), run_round(federation, state)

    def flops(result, ue):
        return next(e["flops"] for e in result.events if e["event"] == "training_done" and e["ue"] == ue)

    for ue, samples in enumerate(learner.num_samples):
        left = learner.frozen.forward_flops_per_sample
        before = flops(whole, ue) / (3 * 2 * samples)  # the forward pass of the whole network
        assert flops(first, ue) == pytest.approx(2 * samples * 3 * left + samples * (before - left))
        assert flops(second, ue) == pytest.approx(2 * samples * 3 * left)
        assert left < 0.6 * before
    first_two = {ue: flops(second, ue) for ue in range(4)}
    learner.frozen.freeze(3, state.server.model)
    state.frozen = Frozen(3, state.frozen.norms)
    third = run_round(federation, state)
    for ue, samples in enumerate(learner.num_samples):
        # Activations of two layers are none of three: each sample goes through all three once more.
        left = learner.frozen.forward_flops_per_sample
        whole_forward = flops(whole, ue) / (3 * 2 * samples)
        assert flops(third, ue) == pytest.approx(2 * samples * 3 * left + samples * (whole_forward - left))
        assert flops(third, ue) != first_two[ue]


def test_personal_models_are_reported():
    """Oracle: the rows: every participant's own accuracy, and their mean; without personal models there is none."""
    federation = federation_of("learning.algorithm={name: ditto, local_steps: 3}")
    record = run_round(federation, FederationState.start(federation))
    own = [row.own_accuracy for row in record.ues]
    assert all(0.0 < value <= 1.0 for value in own)
    assert record.record.own_accuracy == pytest.approx(np.mean(own))
    plain = federation_of()
    assert math.isnan(run_round(plain, FederationState.start(plain)).record.own_accuracy)


def test_ranks_follow_the_kind_of_device():
    """Oracle: the shapes sent: rank 2 for phones, 6 for laptops."""
    federation = federation_of(
        "learning.adapter={name: lora, ranks: {phone: 2, laptop: 6}}", "learning.algorithm=flexlora",
        "ues.devices=[{device_class: phone}, {device_class: laptop}]",
    )  # fmt: skip
    ranks = {"phone": 2, "laptop": 6}
    for ue, device in enumerate(federation.simulation.world.devices):
        factors = [array for name, array in federation.learner.shape_of(ue).items() if "lora_A" in name]
        assert {len(factor) for factor in factors} == {ranks[device.device_class]}


def test_what_does_not_fit_into_a_device_is_refused_with_the_remedy():
    """Oracle: the sentence; the same device trains without gradients, which need no memory for activations."""
    small = "ues.device={device_class: sensor, memory_bytes: 1000000}"
    with pytest.raises(UserError, match=r"lower learning\.algorithm\.batch_size"):
        federation_of(small, "learning.adapter=full", "learning.algorithm.batch_size=256")
    federation_of(small, "learning.adapter=full", "learning.algorithm={name: mezo, batch_size: 256}")


def test_the_central_yardstick_freezes_nothing():
    """Oracle: central fine-tuning of a learner that never froze a layer, bit for bit, after three rounds of it."""
    federation = federation_of("learning.freezing=schedule")
    state = FederationState.start(federation)
    for _ in range(3):
        run_round(federation, state)
    assert federation.learner.frozen.depth > 0
    assert list(federation.learner.central(2)) == list(federation_of().learner.central(2))
