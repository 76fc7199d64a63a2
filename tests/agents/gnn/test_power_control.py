"""Oracles: hand-computed rates, corners of the power box, monotone iterations, WMMSE for a shortly trained network."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from agents.cli import app
from agents.gnn.cell_free_network import CellFreeNetwork
from agents.gnn.cell_free_training import CellFreeTraining
from agents.gnn.interference_channel import fractional_power, pair_rates, rayleigh_pairs, wmmse_power
from agents.gnn.network import load, load_as
from agents.gnn.task import read_training
from agents.gnn.training import CURVE, NETWORK, PrecoderTraining, Trainer, train_precoder
from agents.gnn.wcgcn import Wcgcn, WcgcnTraining
from channel.errors import UserError
from channel.seeding import stream

SMALL = {"steps": 12, "batch": 4, "aps": (4, 8), "users": (2, 4), "propagation": "three_slope"}


def total(magnitude, power) -> torch.Tensor:
    return pair_rates(magnitude, power, 0.1).sum(-1)


def test_rates_of_pairs_by_hand():
    """Oracle: two pairs, gains 4, 1 (direct) and 0.25, 9 (cross), powers 1 and 0.5, noise 0.1."""
    magnitude = torch.tensor([[2.0, 0.5], [3.0, 1.0]])
    found = pair_rates(magnitude, torch.tensor([1.0, 0.5]), 0.1)
    torch.testing.assert_close(found, torch.log2(1 + torch.tensor([4 / (0.125 + 0.1), 0.5 / (9 + 0.1)])))
    torch.testing.assert_close(fractional_power(magnitude, 0.5), torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(fractional_power(magnitude, 0.0), torch.ones(2))


def test_wmmse_never_loses_and_finds_good_corners():
    """Oracles: rates by iteration never fall; two pairs' sum rate is largest at a corner (Gjendemsjo et al. 2008)."""
    pairs = rayleigh_pairs(100, 6, stream(0, "wmmse")).double()
    rates = torch.stack([total(pairs, wmmse_power(pairs, 0.1, n)) for n in (0, 1, 2, 5, 20, 100)])
    assert (rates.diff(dim=0) > -1e-9).all()
    two = rayleigh_pairs(200, 2, stream(0, "corners")).double()
    corners = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2)), dtype=torch.float64)[1:]
    best = torch.stack([total(two, corner.expand(200, 2)) for corner in corners]).amax(0)
    found = total(two, wmmse_power(two, 0.1, 500))
    assert (found <= best + 1e-6).all()
    assert (found > best - 1e-2).double().mean() > 0.8


def test_wcgcn_learns_power_control_for_more_pairs_than_it_saw():
    """Oracle: WMMSE. After 300 short steps on 3 to 8 pairs at least 0.85 of it at 8, and far above full power at 12."""
    trainer = Trainer(WcgcnTraining(network="wcgcn", steps=300, batch=64, learning_rate=5e-3, pairs=(3, 8)))
    for _ in range(300):
        trainer.step()
    for pairs, part in ((8, 0.85), (12, 0.75)):
        magnitude = rayleigh_pairs(200, pairs, stream(0, "wcgcn test", pairs))
        with torch.no_grad():
            power = trainer.network(magnitude)
        assert ((power >= 0) & (power <= 1)).all()
        found = total(magnitude, power).mean()
        assert found > part * total(magnitude, wmmse_power(magnitude, 0.1)).mean()
        assert found > 1.5 * total(magnitude, torch.ones_like(power)).mean()


def test_wcgcn_knows_no_order_of_pairs():
    """Property: permuting pairs permutes their powers; one pair alone is served too."""
    magnitude, order = rayleigh_pairs(3, 7, stream(0, "order")), torch.randperm(7, generator=torch.Generator())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Wcgcn().requires_grad_(requires_grad=False)
    torch.testing.assert_close(
        network(magnitude[:, order][..., order]), network(magnitude)[:, order], atol=1e-4, rtol=0
    )
    assert network(magnitude[:, :1, :1]).shape == (3, 1)


@pytest.mark.parametrize("utility", ["max_min", "sum", "proportional_fair"])
def test_a_cell_free_network_learns_from_every_utility(utility):
    """Property: some steps on one size raise the utility on those drops beyond what fresh passes reach."""
    task = CellFreeTraining(
        network="cell_free", utility=utility, options={"passes": 2, "width": 8}, aps=(10, 10), users=(5, 5),
        steps=1000, batch=16, propagation="three_slope", learning_rate=1e-2,
    )  # fmt: skip
    trainer = Trainer(task)
    with torch.no_grad():
        fresh = -float(task.loss(trainer.network, 0)[0])
    for _ in range(60):
        ratio = trainer.step()
    with torch.no_grad():
        learned = -float(task.loss(trainer.network, 0)[0])
    assert np.isfinite(ratio)
    assert learned > fresh


def test_a_break_changes_nothing(tmp_path):
    """Oracle: twelve steps in one go, against five, a checkpoint, and seven; exactly equal weights."""
    task = CellFreeTraining(network="cell_free", options={"passes": 2, "width": 4}, **SMALL)
    whole = load_as(train_precoder(task, tmp_path / "whole"), CellFreeNetwork).state_dict()
    first = Trainer(task)
    for _ in range(5):
        first.step()
    (tmp_path / "parts").mkdir()
    first.save(tmp_path / "parts" / "checkpoint.safetensors")
    parts = load_as(train_precoder(task, tmp_path / "parts", resume=True), CellFreeNetwork).state_dict()
    assert all(torch.equal(parts[name], value) for name, value in whole.items())
    assert int((tmp_path / "whole" / CURVE).read_text().split(",")[0]) == 12


def test_the_command_trains_what_the_file_names(tmp_path):
    """Property: the network's name decides what is trained; weights say which task they are for, and are checked."""
    path = tmp_path / "mine.yaml"
    path.write_text(
        "network: cell_free\nutility: sum\nsteps: 2\nbatch: 2\noptions: {passes: 1, width: 4}\n"
        "propagation: three_slope\n"
    )
    said = CliRunner().invoke(app, ["train-precoder", str(path), "--out", str(tmp_path / "run")])
    assert said.exit_code == 0, said.output
    assert load_as(tmp_path / "run" / NETWORK, CellFreeNetwork).utility == "sum"
    with pytest.raises(UserError, match="holds the network cell_free, which is for another task"):
        load(tmp_path / "run" / NETWORK)
    path.write_text("network: cell_free\nantenas: [1]\n")
    with pytest.raises(UserError, match=r"mine.yaml: `antenas`: .* known are network"):
        read_training(path)
    path.write_text("network: wcgcn\n")
    assert isinstance(read_training(path), WcgcnTraining)
    path.write_text("steps: 3\n")
    assert isinstance(read_training(path), PrecoderTraining)
