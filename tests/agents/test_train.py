"""Training from end to end: files, resume, export, errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from agents.batched import made
from agents.policy import SavedPolicy
from agents.train import Task, start, train_agent
from channel.errors import UserError

SMALL = {"ues": 4, "least_ues": 2, "steps": 5}
ALGORITHMS = {
    "batched_ppo": {"rollout": 8},
    "ppo": {"n_steps": 16, "batch_size": 64},
    "a2c": {},
    "sac": {"learning_starts": 40, "buffer_size": 500},
}


def task_of(algorithm: str, steps: int) -> Task:
    return Task("air_comp_power", SMALL, algorithm, ALGORITHMS[algorithm], steps, num_envs=8, episodes=20)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_leaves_what_it_promises_and_goes_on(algorithm: str, tmp_path: Path) -> None:
    """Property: files are there; a second half after a resume adds to the first; a policy read back acts the same."""
    train_agent(task_of(algorithm, 300), tmp_path)
    half = start(task_of(algorithm, 600))
    half.load(tmp_path / "checkpoint.safetensors")
    assert 300 <= half.steps < 600
    scores = train_agent(task_of(algorithm, 600), tmp_path, resume=True)
    assert {"agent", "oracle", "random"} <= set(scores)
    assert {"curve.png", "scores.png", "policy.safetensors", "task.json"} <= {file.name for file in tmp_path.iterdir()}
    assert list(tmp_path.glob("events.*"))
    assert Task.read(tmp_path) == task_of(algorithm, 600)
    assert set(pd.read_csv(tmp_path / "scores.csv")["policy"]) == set(scores)

    environment = made("air_comp_power", SMALL)
    read, whole = SavedPolicy.load(tmp_path / "policy.safetensors", environment), start(task_of(algorithm, 600))
    whole.load(tmp_path / "checkpoint.safetensors")
    state = environment.start(np.arange(6, dtype=np.uint64))
    seen = environment.observe(state)
    action = read(environment, state, seen)
    np.testing.assert_array_equal(action, whole.policy()(environment, state, seen))
    if algorithm != "batched_ppo":
        # Oracle: what the library itself would do.
        own, _ = whole.model.predict(seen, deterministic=True)  # type: ignore[attr-defined]
        np.testing.assert_allclose(action, own, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"algorithm": "pop"}, "did you mean 'ppo'"),
        ({"algorithm": "dqn", "settings": {}}, "use ppo"),
        ({"algorithm": "maskable_ppo", "settings": {}}, "nothing to mask"),
        ({"settings": {"rolout": 3}}, "did you mean 'rollout'"),
        ({"algorithm": "ppo", "settings": {"n_step": 3}}, "n_step"),
        ({"parameters": {"ues": 4, "least_ues": 9}}, "more than ues"),
    ],
)
def test_says_what_is_wrong(change: dict[str, object], says: str) -> None:
    """Property: a user's mistake is one sentence that names the remedy."""
    with pytest.raises(UserError, match=says):
        start(Task(**{"environment": "air_comp_power", "algorithm": "batched_ppo", **change}))


def test_a_policy_of_another_environment_is_refused(tmp_path: Path) -> None:
    """Property: sizes and names are checked before anything acts."""
    learner = start(task_of("batched_ppo", 100))
    learner.policy().save(tmp_path / "policy.safetensors")
    with pytest.raises(UserError, match="was trained in air_comp_power on 8 values"):
        SavedPolicy.load(tmp_path / "policy.safetensors", made("air_comp_power", {}))
    (tmp_path / "text.safetensors").write_text(json.dumps({}))
    with pytest.raises(UserError, match="holds no policy"):
        SavedPolicy.load(tmp_path / "text.safetensors", made("air_comp_power", {}))
