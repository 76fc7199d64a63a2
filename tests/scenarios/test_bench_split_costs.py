"""The comparison of costs at one accuracy: its table by hand, short runs against hand counts, its files."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from scenarios.bench import split_costs
from scenarios.bench.split_costs import WAYS, Cost, measure_cost, table, ue_memory_bytes
from scenarios.load import load
from scenarios.run import build_federation

COST = Cost("ResNet", "FedAvg", 3, 0.951, 4.0, 2e9, 3e6, 5e6, 6e6, 0.7)
SMALL = ("channel=free_space", "learning.transport=ideal", "ues.count=2")


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_every_way_is_a_scenario(way):
    """Property: it loads, in the quickstart's world."""
    scenario = load("quickstart", WAYS[way])
    assert scenario.ues == load("quickstart").ues
    assert (scenario.learning.gkt is not None) == (way[1] == "FedGKT")


def test_costs_of_a_round_of_fedgkt(monkeypatch: pytest.MonkeyPatch):
    """Oracle: by hand: 4 forward passes of 48,288 FLOPs a sample; 523 halves but for the label up, 10 down."""
    monkeypatch.setattr(split_costs, "TARGET", 0.2)
    found, whole = (measure_cost("ResNet", method, overrides=SMALL) for method in ("FedGKT", "FedAvg"))
    samples = 1347 / 2
    assert found.rounds == 1
    assert found.accuracy >= 0.2
    assert found.ue_flops == pytest.approx(samples * 4 * 48_288)
    assert found.uplink_bytes == pytest.approx(samples * (522 * 2 + 1))
    assert found.downlink_bytes == pytest.approx(samples * 20)
    assert whole.ue_flops == pytest.approx(whole.rounds * samples * 3 * 1_386_752)
    assert whole.uplink_bytes == whole.rounds * 76_450 * 2
    assert 16 * 1426 < found.ue_memory_bytes < whole.ue_memory_bytes


def test_costs_of_a_cut_model(monkeypatch: pytest.MonkeyPatch):
    """Oracle: by hand: a stem of 73,728 / 8 x 8 FLOPs; its 88 weights with gradients and two moments; B 512 halves.

    Kept of a sample: what the normalisation takes, its two means and deviations, and what the ReLU gives.
    """
    monkeypatch.setattr(split_costs, "TARGET", 0.2)
    found = measure_cost("ResNet", "SplitFed v2", overrides=(*SMALL, "learning.algorithm.local_steps=2"))
    steps = 2 * found.rounds
    assert found.ue_flops == pytest.approx(steps * 16 * 3 * 2 * 72 * 64)
    activations = 4 * (512 + 2 * 2 + 512)
    assert found.ue_memory_bytes == 16 * 88 + 16 * activations
    side = found.downlink_bytes / found.rounds - 2 * 16 * 512 * 2
    assert 4 * 88 < side < 4 * 88 + 400
    assert found.uplink_bytes - found.downlink_bytes == steps * 16


def test_memory_of_batches_ahead():
    """Oracle: by hand: activations of two batches instead of one, the rest as before."""
    one, two = (
        ue_memory_bytes(build_federation(load("quickstart", [*WAYS["ResNet", "SplitFed v2"], *SMALL, *more])))
        for more in ((), ("learning.split.ahead=1",))
    )
    assert two - one == one - 16 * 88


def test_what_never_gets_there_is_marked(monkeypatch: pytest.MonkeyPatch):
    """Property: NaN rounds, and the costs of as many rounds as there are at most."""
    monkeypatch.setattr(split_costs, "MOST_ROUNDS", 1)
    monkeypatch.setattr(split_costs, "TARGET", 1.0)
    found = measure_cost("ResNet", "FedGKT", overrides=SMALL)
    assert math.isnan(found.rounds)
    assert found.accuracy < 1
    assert found.ue_flops > 0
    assert any("> 1" in line for line in table([found]))


def test_table_in_its_units():
    """Oracle: by hand."""
    lines = table([COST, replace(COST, method="FedGKT", rounds=math.nan)])
    assert lines[-2].split() == ["ResNet", "FedAvg", "3", "95.1", "4", "2", "3", "5", "6", "0.7"]
    assert lines[-1].split()[:4] == ["ResNet", "FedGKT", ">", "25"]
    assert max(map(len, lines)) <= 160


def test_compare_leaves_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Property: a row for each way, and the figure."""
    monkeypatch.setattr(
        split_costs, "measure_cost", lambda network, method: replace(COST, network=network, method=method)
    )
    said = list[str]()
    split_costs.compare(said.append, tmp_path)
    with (tmp_path / "split_costs.csv").open(newline="") as file:
        assert [(row["network"], row["method"]) for row in csv.DictReader(file)] == list(WAYS)
    assert (tmp_path / "split_costs.png").stat().st_size > 10_000
    assert said[-1] == str(tmp_path / "split_costs.png")
