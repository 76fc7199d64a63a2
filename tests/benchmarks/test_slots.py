"""The slot loop beside the loop of Sionna's own parts; run with `pytest tests/benchmarks --benchmark-only`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from scenarios.bench import run_benchmark
from scenarios.bench.bench import Measurement
from scenarios.bench.slots import CachedWorld

SLOTS = 200


@pytest.mark.parametrize(("cells", "ues"), [(1, 8), (21, 10)])
@pytest.mark.parametrize("loop", ["ours", "sionna"])
def test_slots(benchmark, loop, cells, ues):
    """Time of 200 slots on one thread; compare the rows of equal size."""
    world = CachedWorld(cells, ues)
    run = world.loop() if loop == "ours" else world.sionna_loop().run
    benchmark.pedantic(run, args=(SLOTS,), rounds=3, warmup_rounds=1)


def test_both_loops_deliver_alike():
    """Oracle: Sionna's loop on the same beams; mean cell rates agree within a third.

    The two differ in granularity (groups or PRBs), in HARQ combining and in how the first MCS is found, so no closer
    agreement is due; a wrong unit, a lost cell or a wrong slot length would be far outside.
    """
    world = CachedWorld(3, 4)
    slots = 800
    state = world.loop()(slots)
    ours = 8 * state.tally["delivered_bytes"].sum() / slots
    sionna = world.sionna_loop()
    sionna.run(200)
    theirs = sionna.run(slots) / slots
    assert ours == pytest.approx(theirs, rel=0.33)


def test_every_measurement_is_a_json_line(monkeypatch):
    """Property: the machine first, then one object a measurement with the keys that readers rely on, in order."""
    one = Measurement("a", 10.0, "slots/s", "b", 4.0, 2.5)
    monkeypatch.setattr("scenarios.bench.slots.measure", lambda: iter([one]))
    lines: list[str] = []
    run_benchmark("slots", lines.append)
    assert "machine" in json.loads(lines[0])
    assert list(json.loads(lines[1])) == ["name", "value", "unit", "reference", "reference_value", "speedup"]


def test_every_benchmark_can_be_imported():
    """Property: what `airtune bench` lists exists, in a process that has imported nothing else."""
    code = """
import importlib
import agents.cli
from scenarios.bench.bench import BENCHMARKS, module_of
for name in BENCHMARKS:
    module = importlib.import_module(module_of(name))
    assert any(callable(getattr(module, way, None)) for way in ("measure", "tell", "compare")), name
"""
    subprocess.run([sys.executable, "-c", code], check=True)
