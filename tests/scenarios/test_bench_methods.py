"""The comparison of learning methods: what is compared with what, how sure it is, and that a run is one command."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from channel.errors import UserError
from scenarios.bench import methods, run_benchmark
from scenarios.bench.method_curves import Curve, Run, mean_interval, read_runs, table

FEDAVG = Curve((1.0, 2.0, 3.0, 4.0, 5.0, 6.0), (10, 20, 30, 40, 50, 60), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6))
# Twice the bytes and half the time of a round.
OTHER = Curve((0.5, 1.0, 1.5, 2.0, 2.5, 3.0), (20, 40, 60, 80, 100, 120), (0.3, 0.4, 0.5, 0.6, 0.7, 0.8))


def test_accuracy_is_that_of_the_rounds_done_within_the_budget():
    """Oracle: by hand: the mean of the last five evaluations, of fewer where there are not yet five."""
    assert FEDAVG.at("time_s", 5.99) == pytest.approx((0.1 + 0.2 + 0.3 + 0.4 + 0.5) / 5)
    assert FEDAVG.at("time_s", 6.0) == pytest.approx((0.2 + 0.3 + 0.4 + 0.5 + 0.6) / 5)
    assert FEDAVG.at("payload_bytes", 29) == pytest.approx((0.1 + 0.2) / 2)
    assert FEDAVG.at("round", 1) == pytest.approx(0.1)
    assert FEDAVG.at("time_s", 100.0) == FEDAVG.at("time_s", 6.0)
    assert math.isnan(FEDAVG.at("payload_bytes", 9))


def test_interval_is_students():
    """Oracle: scipy's own t-interval of a sample; that of one value is unknown."""
    values = [0.91, 0.95, 0.9]
    mean, half = mean_interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert math.isnan(mean_interval([0.9])[1])


def test_table_compares_at_what_each_seeds_baseline_spent():
    """Oracle: by hand: 4 rounds of the baseline cost 4 s and 40 bytes; by then the other has done 6 and 2."""
    half = replace(OTHER, accuracy=tuple(value - 0.1 for value in OTHER.accuracy))
    lines, rows = table({"fedavg": {1: FEDAVG, 2: FEDAVG}, "other": {1: OTHER, 2: half}}, 4)
    base, other = rows
    assert base["time_s"] == base["payload_bytes"] == base["round"] == pytest.approx((0.1 + 0.2 + 0.3 + 0.4) / 4)
    assert base["time_s_gain"] == base["time_s_gain_ci"] == 0.0
    assert other["time_s"] == pytest.approx((0.4 + 0.5 + 0.6 + 0.7 + 0.8) / 5 - 0.05)
    assert other["payload_bytes"] == pytest.approx((0.3 + 0.4) / 2 - 0.05)
    assert other["round"] == pytest.approx((0.3 + 0.4 + 0.5 + 0.6) / 4 - 0.05)
    assert other["round_gain"] == pytest.approx(0.2 - 0.05)
    assert (other["bytes_per_round"], other["s_per_round"]) == pytest.approx((20.0, 0.5))
    # It stopped at 3 of 4 seconds: said below the table.
    assert lines[-1].endswith("then: other")


def test_runs_come_back_from_the_file(tmp_path: Path):
    """Property: what was appended is read back under its run; another setting is another run."""
    runs = {Run("digits", "a, b", 1, "x"): FEDAVG, Run("digits", "a, b", 1, "y"): replace(OTHER, own_accuracy=0.5)}
    for run, curve in runs.items():
        curve.append_to(tmp_path, run)
    found = read_runs(tmp_path)
    assert list(found) == list(runs)
    assert found[Run("digits", "a, b", 1, "y")] == runs[Run("digits", "a, b", 1, "y")]


GROUPS = (methods.DIGITS, methods.LORA, methods.mnist(Path("mnist.npz")))


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_every_method_makes_a_scenario_and_a_line_in_the_figure(group: methods.Group, monkeypatch):
    """Property: all settings are accepted; no method is missing from the figure, and all share world and data."""
    monkeypatch.setattr("ran.learning.tasks.sources.path_problems", lambda *arguments: [])
    scenarios = [methods.scenario_of(group, method, 1) for method in group.methods]
    assert {scenario.ues.count for scenario in scenarios} == {10}
    assert len({scenario.learning.partition.model_dump_json() for scenario in scenarios}) == 1
    drawn = {method for family in group.families.values() for method in family}
    assert not group.families or drawn == set(list(group.methods)[1:])


def test_two_methods_and_two_rounds_end_to_end(tmp_path: Path, monkeypatch):
    """Property: one call leaves tables, figure and rounds; a second one runs nothing again."""
    shown = {name: methods.DIGITS.methods[name] for name in ("fedavg", "scaffold")}
    group = replace(methods.DIGITS, rounds=2, methods=shown, families={})
    lines: list[str] = []
    methods.compare_groups([group], (1, 2), tmp_path, lines.append)
    curves = read_runs(tmp_path)
    by_method = {(run.method, run.seed): curve for run, curve in curves.items()}
    fedavg, scaffold = by_method["fedavg", 1], by_method["scaffold", 1]
    assert sum("scaffold" in line for line in lines) == 3
    # Model and control variate in both directions: twice the arrays, and a little more in the header.
    assert scaffold.payload_bytes[0] == pytest.approx(2 * fedavg.payload_bytes[0], rel=0.01)
    assert scaffold.time_s[0] > fedavg.time_s[0] > 0
    with (tmp_path / "digits.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == list(shown)
    assert (tmp_path / "digits.png").stat().st_size > 10_000

    def refuse(*arguments: object) -> Curve:
        raise AssertionError("a finished run was run again")

    monkeypatch.setattr(methods, "measure_run", refuse)
    assert methods.compare_group(group, (1, 2), tmp_path, print)["fedavg"][1].accuracy == fedavg.accuracy


def test_only_this_benchmark_takes_a_folder(tmp_path: Path):
    """Property: a folder for a benchmark that writes no files is refused by name."""
    with pytest.raises(UserError, match=r"slots writes no files; leave out --out"):
        run_benchmark("slots", lambda line: None, tmp_path)
