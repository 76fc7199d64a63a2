"""Oracles: the digital transport's model, sentences that name a remedy, equal bits for equal seeds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ran.learning.algorithms import ALGORITHMS
from ran.learning.federation import FederationState
from ran.learning.round import run_round
from scenarios.errors import ScenarioError
from scenarios.load import load
from scenarios.run import build_federation, resume, run
from scenarios.run_directory import RunDirectory

NEAR = "ues.placement={name: disc, min_distance_m: 10, max_distance_m: 12}"
PERFECT = "learning.transport={name: over_the_air, sounding: {csi: perfect}}"
LOUD = "ues.tx_power_dbm=40"
SUMMABLE = [name for name in ALGORITHMS.names() if ALGORITHMS.get(name).needs == "superpose"]
SEPARATE = [name for name in ALGORITHMS.names() if ALGORITHMS.get(name).needs == "deliver"]


def two_rounds(*overrides: str) -> dict[str, np.ndarray]:
    """Return the smoke scenario's model after two rounds."""
    fed = build_federation(load("smoke", [NEAR, *overrides]))
    state = FederationState.start(fed)
    for _ in range(2):
        record = run_round(fed, state).record
        assert record.participants == 2
        assert record.damaged_sums == 0
    return state.server.model


@pytest.mark.parametrize("name", SUMMABLE)
def test_every_algorithm_of_sums_learns_the_same_as_from_bytes(name):
    """Oracle: the digital transport's model after two rounds, 1e-3 of its norm; free space, 10 m, 40 dBm."""
    algorithm = f"learning.algorithm={{name: {name}, local_steps: 2}}"
    digital, air = two_rounds(algorithm, LOUD), two_rounds(algorithm, LOUD, PERFECT)
    assert digital.keys() == air.keys()
    size = np.sqrt(sum(np.sum(array.astype(float) ** 2) for array in digital.values()))
    error = np.sqrt(sum(np.sum((air[key] - array).astype(float) ** 2) for key, array in digital.items()))
    assert error < 1e-3 * size


@pytest.mark.parametrize("name", SEPARATE)
def test_algorithms_that_need_every_update_are_refused(name):
    """Oracle: one sentence with the field, the algorithm's name and the transports that can."""
    with pytest.raises(ScenarioError, match=f"cannot deliver, which {name} needs; choose digital or ideal"):
        load("smoke", [f"learning.algorithm={name}", "learning.transport=over_the_air"])


@pytest.mark.parametrize("direction", ["uplink", "both"])
def test_uplink_traffic_beside_it_is_refused(direction):
    """Oracle: the field and both remedies; downlink traffic is welcome."""
    flow = "traffic.flows=[{{name: poisson, direction: {}}}]"
    with pytest.raises(ScenarioError, match=r"set it to downlink, or learning\.transport to digital"):
        load("smoke", [flow.format(direction), "learning.transport=over_the_air"])
    load("smoke", [flow.format("downlink"), "learning.transport=over_the_air"])


@pytest.mark.parametrize("impairment", ["clipping_papr_db: 3", "carrier_offset_hz: 10", "linewidth_hz: 1"])
def test_what_resource_elements_cannot_show_is_refused(impairment):
    """Oracle: the remedy, which then loads; phase and timing errors need no waveform."""
    setting = "learning.transport={{name: over_the_air, fidelity: {}, impairments: {{{}}}}}"
    with pytest.raises(ScenarioError, match="set fidelity: waveform"):
        load("smoke", [setting.format("symbol", impairment)])
    load("smoke", [setting.format("waveform", impairment)])
    load("smoke", [setting.format("symbol", "phase_error_std_rad: 0.1, timing_error_samples: 1")])


@pytest.mark.parametrize("setting", ["fault: []", "fidelity: sample", "check: ignore", "check_tolerance: 0",
                                     "faults: [{ue: 0, round: 0, kind: dropout}]", "sounding_period_s: 0"])  # fmt: skip
def test_what_it_does_not_know_is_refused(setting):
    """Property: misspelt fields and values out of range are errors at load."""
    with pytest.raises(ScenarioError):
        load("smoke", [f"learning.transport={{name: over_the_air, {setting}}}"])


@pytest.mark.parametrize("fidelity", ["symbol", "waveform"])
def test_equal_seeds_give_equal_models(fidelity):
    """Property: the same bits twice, with sounded CSI and errors; another seed, another model."""
    setting = (
        f"learning.transport={{name: over_the_air, fidelity: {fidelity}, impairments: {{phase_error_std_rad: 0.1}}}}"
    )
    steps = "learning.algorithm={name: fedavg, local_steps: 1}"
    one, again, other = (two_rounds(setting, steps, f"seed={seed}") for seed in (1, 1, 2))
    for name, array in one.items():
        np.testing.assert_array_equal(array, again[name])
    assert any(np.any(array != other[name]) for name, array in one.items())


def test_a_run_resumed_from_its_folder_ends_the_same(tmp_path, monkeypatch):
    """Oracle: rows and events of a run that was not interrupted in round 2, byte for byte; one UE is truncated."""
    settings = [
        "learning.algorithm={name: fedavg, local_steps: 1}", "learning.transport={name: over_the_air, scheme: "
        "{name: truncated_inversion, coverage: 0.1}}",
        "ues.placement={name: explicit, positions_m: [[20, 0], [250, 0]]}",
        "channel={name: rayleigh, num_taps: 4}", "learning.rounds=2",
    ]  # fmt: skip
    whole = run(load("smoke", settings), out=tmp_path / "whole", quiet=True)
    append = RunDirectory.append_event

    def interrupted(self, event):
        append(self, event)
        if event.get("round") == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDirectory, "append_event", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(load("smoke", settings), out=tmp_path / "part", quiet=True)
    monkeypatch.setattr(RunDirectory, "append_event", append)
    resumed = resume(tmp_path / "part", quiet=True)
    for name in ("rounds.parquet", "ues.parquet", "events.jsonl"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()
    events = [json.loads(line) for line in (whole.path / "events.jsonl").read_text().splitlines()]
    sums = [event for event in events if event["event"] == "air_sum"]
    assert [event["round"] for event in sums] == [1, 2]
    assert all(min(event["kept"]) < 0.5 < max(event["kept"]) for event in sums)
