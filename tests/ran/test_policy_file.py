"""Oracles: NumPy's own arithmetic, and files that are something else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from channel.errors import UserError
from ran.policy_file import described, load_actor, policy_problem, save_actor


def saved(path: Path, activation: str = "tanh") -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(1)
    weights = [rng.normal(size=(4, 3)), rng.normal(size=(2, 4))]
    biases = [rng.normal(size=4), rng.normal(size=2)]
    save_actor(path, weights, biases, activation, {"environment": "slicing", "levels": 11})
    return weights, biases


@pytest.mark.parametrize(("activation", "function"), [("tanh", np.tanh), ("relu", lambda x: np.maximum(x, 0))])
def test_an_actor_comes_back(tmp_path, activation, function):
    """Oracle: the two layers written out in NumPy; metadata and sizes come back too."""
    path = tmp_path / "deep" / "policy.safetensors"
    weights, biases = saved(path, activation)
    actor = load_actor(path)
    seen = np.random.default_rng(2).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(
        actor(seen), function(seen @ weights[0].T + biases[0]) @ weights[1].T + biases[1], rtol=1e-5
    )
    assert (actor.inputs, actor.outputs, actor.meta) == (3, 2, {"environment": "slicing", "levels": 11})
    assert described(path) == {
        "activation": activation, "layers": 2, "meta": actor.meta, "inputs": 3, "outputs": 2
    }  # fmt: skip


def test_a_file_that_changes_is_read_anew(tmp_path):
    """Property: a second training that writes to the same place is not mistaken for the first."""
    path = tmp_path / "policy.safetensors"
    saved(path)
    before = load_actor(path)
    save_actor(path, [np.eye(2)], [np.zeros(2)], "relu", {})
    assert (before.inputs, load_actor(path).inputs) == (3, 2)


def broken(tmp_path: Path) -> dict[str, Path]:
    """Return files that are no policies."""
    from safetensors.numpy import save_file

    paths = {name: tmp_path / name for name in ("text", "empty", "model", "misfit", "words", "list")}
    paths["text"].write_text("weights: [1, 2]")
    paths["empty"].write_bytes(b"")
    save_file({"weight.0": np.zeros((2, 2), np.float32)}, paths["model"])
    save_actor(paths["misfit"], [np.zeros((4, 3)), np.zeros((2, 5))], [np.zeros(4), np.zeros(2)], "tanh", {})
    save_actor(paths["words"], [np.eye(2)], [np.zeros(2)], "softmax", {})  # type: ignore[arg-type]
    header = json.dumps([1, 2]).encode()
    paths["list"].write_bytes(len(header).to_bytes(8, "little") + header)
    return paths | {"folder": tmp_path, "nothing": tmp_path / "nothing"}


def test_what_is_no_policy_is_refused_in_a_sentence(tmp_path):
    """Property: text, an empty file, other tensors, layers that do not fit, unknown functions, folders, nothing."""
    for path in broken(tmp_path).values():
        assert "airtune train-agent" in policy_problem(path)
        assert "\n" not in policy_problem(path)
        with pytest.raises(UserError):
            load_actor(path)
