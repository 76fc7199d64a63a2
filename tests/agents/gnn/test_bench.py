"""The benchmarks run, at small sizes, and count what they say."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from agents import bench_cell_free, bench_generalisation, bench_precoding
from agents.gnn.cell_free import drops
from agents.gnn.draws import rayleigh
from channel.seeding import stream
from ran.phy.precoding import RZF, WMMSE, sum_rate


def test_precoding_names_time_and_rate_of_every_precoder(monkeypatch):
    """Oracle: RZF's rate on the same draws; WMMSE of 100 iterations is the reference of all others."""
    monkeypatch.setattr(bench_precoding, "SIZES", ((6, 4),))
    monkeypatch.setattr(bench_precoding, "BATCH", 20)
    monkeypatch.setattr(bench_precoding, "_REPEATS", 1)
    found = {(each.name, each.unit): each for each in bench_precoding.measure()}
    h = rayleigh(20, 4, 6, stream(0, "bench precoding", 6, 4))
    rzf = found["6x4, rzf", "bit/s/Hz"]
    assert rzf.value == pytest.approx(float(sum_rate(h, RZF().precode(h, 1.0, 10.0), 1.0).mean()))
    full = float(sum_rate(h, WMMSE(tolerance=0.0, max_iterations=100).precode(h, 1.0, 10.0), 1.0).mean())
    assert rzf.speedup == pytest.approx(rzf.value / full)
    assert found["6x4, icgnn", "ms"].reference_value == found["6x4, WMMSE, 100 iterations", "ms"].value


def test_generalisation_leaves_a_table_and_a_figure(monkeypatch, tmp_path):
    """Oracle: RZF's ratio to WMMSE on the same draws; every rival has a line."""
    monkeypatch.setattr(bench_generalisation, "SIZES", (4, 9))
    monkeypatch.setattr(bench_generalisation, "_STEPS", 2)
    bench_generalisation.compare(lambda line: None, tmp_path)
    rows = list(csv.reader((tmp_path / "generalisation.csv").read_text().splitlines()))
    assert [row[0] for row in rows[1:]] == ["RZF", *bench_generalisation.RIVALS]
    h = rayleigh(100, 9, 9, stream(0, "generalisation", 9))
    rate = {each: sum_rate(h, each.precode(h, 1.0, 10.0), 1.0).mean() for each in (RZF(), WMMSE())}
    assert float(rows[1][2]) == pytest.approx(float(rate[RZF()] / rate[WMMSE()]), rel=1e-5)
    assert (tmp_path / "generalisation.png").stat().st_size > 1000


def test_cell_free_leaves_a_table_and_a_figure(monkeypatch, tmp_path):
    """Oracles: equal power's 5th percentile on the same drops; no rule's least user beats the optimum's."""
    size = bench_cell_free.Size(6, 3, (1,), "three_slope")
    monkeypatch.setattr(bench_cell_free, "SIZES", (size,))
    monkeypatch.setattr(bench_cell_free, "SHOWN", size)
    monkeypatch.setattr(bench_cell_free, "DROPS", 4)
    said = list[str]()
    bench_cell_free.compare(said.append, tmp_path)
    rows = list(csv.DictReader((tmp_path / "cell_free.csv").read_text().splitlines()))
    problem = drops(
        4, 6, 3, stream(0, "bench cell-free", 6, 3, 1, "three_slope"), antennas=(1,), propagation="three_slope"
    )
    rate = problem.spectral_efficiency(problem.equal())
    equal = next(row for row in rows if row["rule"] == "equal power")
    assert float(equal["se_5_percent"]) == pytest.approx(float(np.percentile(rate.numpy(), 5)), rel=1e-5)
    assert len(said) == len(rows) + 1
    assert all(float(row["worst_drop"]) < 1.001 for row in rows)
    assert (tmp_path / "cell_free.png").stat().st_size > 1000
