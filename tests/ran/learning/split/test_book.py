"""What a cut model costs, as a run's files say it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ran.learning.split.counting import count_sides
from ran.learning.split.cut import Cut
from ran.metrics.results import load as results_of
from ran.report import report
from scenarios.load import load
from scenarios.run import run
from tests.ran.learning.split.conftest import cut_up, whole
from tests.ran.learning.split.test_split_rounds import CUTS, SMALL, VALUES, after, split

PLAIN = "learning.algorithm={name: fedavg, local_steps: 3, optimizer: sgd, learning_rate: 0.01}"


def run_of(path, *settings):
    run(load("smoke", [*SMALL, "learning.rounds=1", *settings]), out=path / "run", quiet=True)
    return results_of(path / "run")


@pytest.mark.parametrize(("codec", "size"), [("none", 4), ("fp16", 2), ("int8", 1)])
def test_every_batch_s_bytes_are_those_of_its_tensors(tmp_path, codec, size):
    """Oracle: B L d times a value's bytes, each way and batch; with labels, scales and UE side, ues.parquet."""
    found = run_of(tmp_path, split("splitfed_v2", more=f"data: {{activations: {codec}, gradients: {codec}}}, ahead: 1"))
    batches, scales = found.batches, 16 * 4 if codec == "int8" else 0
    assert list(zip(batches["ue"], batches["batch"], strict=True)) == [
        (ue, batch) for ue in range(3) for batch in range(3)
    ]
    assert batches["is_back"].all()
    assert (batches["num_samples"] == 16).all()
    for way, labels in (("uplink", 16), ("downlink", 0)):
        assert (batches[f"{way}_value_bytes"] == size * VALUES).all()
        assert (batches[f"{way}_payload_bytes"] == size * VALUES + scales + labels).all()
        side = found.timeline.query("batch == -1 and place == @way").groupby("ue")["payload_bytes"].sum()
        total = batches.groupby("ue")[f"{way}_payload_bytes"].sum() + side
        assert found.ues.set_index("ue")[f"{way}_payload_bytes"].to_dict() == total.to_dict()
        assert found.rounds[f"{way}_payload_bytes"].tolist() == [total.sum()]
    assert (batches[["backhaul_uplink_bytes", "backhaul_downlink_bytes"]] == 0).all(axis=None)


def test_time_flops_energy_and_servers_of_a_round(tmp_path):
    """Oracle: by hand from layers' FLOPs, batch size and speeds; phases and waiting add up to a batch's time."""
    found = run_of(tmp_path, split("parallel", CUTS["three_way"], "gnb: {flop_s: 2e+10}, cloud: {flop_s: 4e+10}"))
    federation, _, _ = after(0, split("parallel", CUTS["three_way"]))
    ue, gnb, cloud = federation.cut_model.stage_flops
    duration_s = found.rounds["end_s"][0] - found.rounds["start_s"][0]
    samples = 9 * 16
    assert found.rounds["gnb_utilisation"][0] == pytest.approx(3 * gnb * samples / 2e10 / duration_s)
    assert found.rounds["cloud_utilisation"][0] == pytest.approx(3 * cloud * samples / 4e10 / duration_s)
    assert found.summary["gnb_utilisation"] == pytest.approx(found.rounds["gnb_utilisation"][0])
    assert found.ues["flops"].tolist() == pytest.approx([3 * ue * samples / 3] * 3)
    assert found.rounds["ue_flops"][0] == pytest.approx(3 * ue * samples)
    devices = federation.simulation.world.devices
    for row in found.ues.itertuples():
        device = devices[row.ue]
        assert row.compute_energy_j == pytest.approx(
            device.kappa * device.clock_hz**2 * row.flops / device.flops_per_cycle
        )
        own = found.batches[found.batches["ue"] == row.ue]
        assert own["ue_compute_s"].sum() == pytest.approx(row.flops / device.flops_per_cycle / device.clock_hz)
    phases = ["ue_compute_s", "uplink_s", "server_compute_s", "backhaul_s", "downlink_s", "waiting_s"]
    spent = found.batches[phases].sum(axis=1)
    np.testing.assert_allclose(spent, found.batches["end_s"] - found.batches["start_s"], atol=1e-9)
    assert found.batches["waiting_s"].max() > 0
    assert found.rounds["backhaul_downlink_bytes"][0] == 9 * 4 * VALUES
    assert found.rounds["backhaul_uplink_bytes"][0] == 9 * (4 * VALUES + 16)
    assert found.batches["backhaul_uplink_bytes"].sum() == found.rounds["backhaul_uplink_bytes"][0]
    assert (found.batches["server_staleness"] == 0).all()
    assert report(tmp_path / "run")[-1].name == "split.png"


def test_a_frozen_side_computes_what_it_sends(tmp_path):
    """Oracle: by hand: one forward pass of every sample whose features the gNB lacks, and none of the others."""
    algorithm = "learning.algorithm={name: fedavg, local_steps: 3, batch_size: 16}"
    found = run_of(tmp_path, split(more="ue_side: frozen"), algorithm, "learning.rounds=6")
    federation, _, _ = after(0, split(more="ue_side: frozen"))
    values = found.batches.groupby("ue")["uplink_value_bytes"].sum() // (4 * VALUES // 16)
    assert found.batches["downlink_payload_bytes"].sum() == 0
    partly = found.batches["uplink_value_bytes"].between(1, 4 * VALUES - 1)
    assert partly.any()
    flops = found.ues.groupby("ue")["flops"].sum()
    assert flops.to_dict() == pytest.approx((values * federation.cut_model.stage_flops[0]).to_dict())
    assert found.ues["memory_peak_bytes"].max() == federation.cut_model.counts["ue"].memory_bytes(0)


def test_what_ues_hold_with_batches_under_way():
    """Oracle: by hand: weights, gradients and three batches' activations, and the two versions that two still need."""
    federation, _, [ahead] = after(1, split(more="ahead: 2"), PLAIN.replace("local_steps: 3", "local_steps: 5"))
    _, _, [alone] = after(1, split(), PLAIN)
    count = federation.cut_model.counts["ue"]
    assert {row.memory_peak_bytes for row in alone.ues} == {count.memory_bytes(16)}
    stashed = 2 * 4 * count.num_trainable
    assert {row.memory_peak_bytes for row in ahead.ues} == {count.memory_bytes(48) + stashed}
    assert ahead.record.ue_memory_peak_bytes == count.memory_bytes(48) + stashed
    assert [row.ue_staleness for row in ahead.batches if row.ue == 0] == [0, 1, 2, 2, 2]
    assert {row.ue_staleness for row in alone.batches} == {0}


def test_a_server_that_waits_for_another_falls_behind():
    """Oracle: at most the batches of other UEs are under way; in turns there are none."""
    _, _, [all_at_once] = after(1, split("splitfed_v2", CUTS["three_way"]), PLAIN)
    _, _, [in_turns] = after(1, split("sequential", CUTS["three_way"]), PLAIN)
    assert 0 < max(row.server_staleness for row in all_at_once.batches) <= 2 * 3
    assert {row.server_staleness for row in in_turns.batches} == {0}


def allocated_bytes(compute):
    """Return what is allocated after each allocation or release while ``compute`` runs, by torch's profiler."""
    with torch.profiler.profile(profile_memory=True, activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        compute()
    events = [each for each in profile.profiler.kineto_results.events() if each.name() == "[memory]"]
    return np.cumsum([each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())])


def test_counted_activations_are_what_torch_holds():
    """Oracle: torch's profiler: three forward passes wait for gradients, with their outputs, which need not be kept.

    The measured peak of going back through one of them is that of activations and gradients, workspace within 10 %.
    """
    given = whole("vit")
    split_, parties = cut_up(given, Cut(after=2))
    sample = {name: values[:1] for name, values in given.batch.inputs.items()}
    party, count = parties["ue"], count_sides(split_, parties, sample, state_floats=0)["ue"]

    def forward():
        for key in range(3):
            party.forward(key, 0, given.batch.inputs, None)

    forward()
    party.in_flight.clear()
    held = allocated_bytes(forward)
    outputs = 18 * 4 * np.prod(split_.hidden_shapes[0])
    assert held[-1] == 18 * count.activation_bytes + outputs
    gradient = torch.ones(6, *split_.hidden_shapes[0])
    back = held[-1] + allocated_bytes(lambda: party.backward(0, 0, gradient))
    counted = 18 * count.activation_bytes + 4 * count.num_trainable
    assert back.max() == pytest.approx(counted, rel=0.1)
    assert back[-1] == pytest.approx(held[-1] * 2 / 3 + 4 * count.num_trainable, rel=0.01)
