"""The benchmark of the environments runs, over all of them, and counts steps of replicas."""

from __future__ import annotations

import time

import pytest

from agents import bench_envs as bench
from agents.envs import ENVIRONMENTS


def test_every_environment_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: a plain and a batched rate for each; a peer's rate beside Handover's alone."""
    monkeypatch.setattr(bench, "BATCHES", (4,))
    monkeypatch.setattr(bench, "_TRAINED", ("air_comp_power",))
    for steps in ("_BATCHED_STEPS", "_PLAIN_STEPS", "_PEER_STEPS"):
        monkeypatch.setattr(bench, steps, 5)
    monkeypatch.setattr(bench, "find_spec", lambda _: object())
    monkeypatch.setattr(bench, "_peer", lambda: lambda: time.sleep(0))
    found = {each.name: each for each in bench.measure()}
    trained = {f"PPO on {name}, batch of 4, updates included" for name in bench._TRAINED}
    forms = {f"{name}, {form}" for name in ENVIRONMENTS.names() for form in ("plain", "batch of 4")}
    assert set(found) == forms | trained
    assert all(each.value > 0 for each in found.values())
    assert [name.split(",")[0] for name, each in found.items() if each.speedup] == ["handover"] * 2


def test_a_rate_is_of_replicas_steps() -> None:
    """Oracle: a step of 4 replicas that takes a millisecond of the thread's time makes at most 4000 a second."""

    def step() -> None:
        start_s = time.thread_time()
        while time.thread_time() - start_s < 1e-3:
            pass

    assert 3000 < bench._per_s(step, 4, 20) <= 4000
