"""Oracles: the same training without a break, progress over RZF, and a bare loop over utilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from agents.cli import app
from agents.gnn.draws import rayleigh
from agents.gnn.icgnn import ICGNN
from agents.gnn.network import NETWORKS, load
from agents.gnn.training import CURVE, NETWORK, PrecoderTraining, Trainer, batch, train_precoder, utility
from channel.errors import UserError
from channel.seeding import stream

SMALL = {"steps": 12, "batch": 16, "streams": (2, 5), "antennas": (2, 6), "umi_share": 0.0}


def test_a_break_changes_nothing(tmp_path):
    """Oracle: twelve steps in one go, against five, a checkpoint, and seven; exactly equal weights."""
    task = PrecoderTraining(options={"width": 8}, **SMALL)
    whole = load(train_precoder(task, tmp_path / "whole")).state_dict()

    first = Trainer(task)
    for _ in range(5):
        first.step()
    (tmp_path / "parts").mkdir()
    first.save(tmp_path / "parts" / "checkpoint.safetensors")
    parts = load(train_precoder(task, tmp_path / "parts", resume=True)).state_dict()
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    assert (tmp_path / "whole" / NETWORK).exists()
    steps, ratio, _ = (tmp_path / "whole" / CURVE).read_text().strip().split("\n")[-1].split(",")
    assert int(steps) == 12
    assert 0.5 < float(ratio) < 2.0


# Networks know nothing of utilities: in the default run each network learns one, and one network each.
GOALS = [("icgnn", goal) for goal in ("sum", "proportional_fair", "max_min")]
GOALS += [
    (network, goal) if goal == "sum" else pytest.param(network, goal, marks=pytest.mark.slow)
    for network in sorted(set(NETWORKS) - {"icgnn"})
    for goal in ("sum", "proportional_fair", "max_min")
]


@pytest.mark.parametrize(("network", "goal"), GOALS)
def test_every_network_learns_from_every_utility(network, goal):
    """Property: some steps on one size raise the utility over RZF's on the same draws, whatever it starts from."""
    task = PrecoderTraining(
        network=network, utility=goal, steps=1000, batch=64, streams=(4, 4), antennas=(4, 4), umi_share=0.0,
        snr_db=(10, 10), learning_rate=3e-3, spread_db=0.0,
    )  # fmt: skip
    trainer = Trainer(task)
    ratios = [trainer.step() for _ in range(60)]
    assert np.isfinite(ratios).all()
    assert np.mean(ratios[-10:]) > np.mean(ratios[:10])


def test_utilities_by_hand():
    """Oracle: rates 1, 2, 4: sum 7, sum of logarithms ln 8, least 1."""
    rate = torch.tensor([1.0, 2.0, 4.0])
    found = [float(utility(rate, kind)) for kind in ("sum", "proportional_fair", "max_min")]
    assert found == pytest.approx([7.0, np.log(8.0), 1.0])


def test_batches_mix_sizes_within_bounds_and_repeat():
    """Properties: sizes in the given ranges, some square and some not; equal steps give equal channels."""
    task = PrecoderTraining(**SMALL)
    shapes = {tuple(batch(task, step)[0].shape) for step in range(60)}
    assert all(shape[0] == 16 and 2 <= shape[1] <= 5 and 2 <= shape[2] <= 6 for shape in shapes)
    assert any(k == m for _, k, m in shapes)
    assert any(k < m for _, k, m in shapes)
    assert torch.equal(batch(task, 3)[0], batch(task, 3)[0])


def test_a_wrong_configuration_is_named(tmp_path):
    """Property: the file, the key and what there is."""
    (tmp_path / "a.yaml").write_text("stepps: 3\n")
    with pytest.raises(UserError, match=r"a.yaml: `stepps`: .* known are network"):
        PrecoderTraining.read(tmp_path / "a.yaml")
    with pytest.raises(UserError, match="give a training's YAML file"):
        PrecoderTraining.read(tmp_path / "none.yaml")


def test_the_command_trains_and_a_scenario_can_use_it(tmp_path):
    """Property: `airtune train-precoder` leaves weights that the precoder icgnn takes."""
    (tmp_path / "mine.yaml").write_text("steps: 2\nbatch: 4\numi_share: 0\noptions: {width: 4}\n")
    said = CliRunner().invoke(app, ["train-precoder", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "run")])
    assert said.exit_code == 0, said.output
    h = rayleigh(2, 3, 4, stream(0, "command"))
    v = ICGNN(weights=str(tmp_path / "run" / NETWORK)).precode(h, 1.0, 1.0)
    torch.testing.assert_close(v.abs().square().sum((-2, -1)), torch.ones(2))
