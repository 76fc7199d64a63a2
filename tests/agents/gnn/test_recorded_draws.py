"""Training on recordings. Oracles: the file's own numbers, and Sionna RT's where it runs."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from typer.testing import CliRunner

from agents.cli import app
from agents.gnn.draws import rayleigh
from agents.gnn.icgnn import ICGNN
from agents.gnn.recorded_draws import most_antennas, recorded
from agents.gnn.training import NETWORK, PrecoderTraining, Trainer, batch
from channel.errors import UserError
from channel.llvm import find_llvm, llvm_libraries
from channel.ray_tracing_files import scene_names
from channel.recording import write_arrays
from channel.seeding import stream
from scenarios.load import load
from scenarios.record import record

LLVM = find_llvm(os.environ, llvm_libraries())
needs_llvm = pytest.mark.skipif(not LLVM.path or not scene_names(), reason=f"ray tracing: {LLVM.text}")
NOISE_W = 1.380649e-23 * 290 * 20e6 * 10**0.9
"""Thermal noise in 20 MHz at 290 K with a noise figure of 9 dB."""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two intervals of six UEs, two cells of five antennas and three subbands; UE 0 hears cell 1 only."""
    path = tmp_path_factory.mktemp("recording") / "own.h5"
    gain = 1e-5 * rayleigh(2 * 6 * 2, 5, 3, stream(1, "recording")).numpy().reshape(2, 6, 1, 2, 5, 3)
    gain[:, 0, :, 0] *= 1e-2
    write_arrays(
        path, gain=gain, subband_frequency_hz=np.arange(3.0), ue_position_m=np.zeros((6, 3)),
        cell_position_m=np.zeros((2, 3)),
    )  # fmt: skip
    return str(path), gain


def test_rows_are_those_of_the_file_over_the_root_of_noise(file):
    """Oracle: every row is a UE's at one interval, cell and subband of its draw; who is 40 dB down is never there."""
    path, gain = file
    h = recorded(200, 4, 3, stream(2, "draw"), files=(path,)).numpy() * np.sqrt(NOISE_W)
    seen = set()
    for draw in h:
        found = []
        for row in draw:
            near = np.isclose(gain[:, :, 0, :, :, :, None], row, rtol=1e-4)  # [T, ue, cell, antenna, subband, 3]
            hits = np.argwhere(near.any(axis=3).all(axis=-1))
            assert len(hits) == 1
            found.append(hits[0])
        t, ue, cell, band = np.array(found).T
        assert len(set(t)) == len(set(cell)) == len(set(band)) == 1
        assert len(set(ue)) == 4
        assert not (cell == 0)[ue == 0].any()
        seen |= {(int(t[0]), int(cell[0]), int(band[0]))}
    assert len(seen) == 12
    assert most_antennas((path,)) == 5


def test_rows_beyond_the_recorded_users_are_no_streams(file):
    """Property: eight streams of six UEs, five in reach of cell 0: rows of zeros, which training bears."""
    h = recorded(50, 8, 5, stream(3, "draw"), files=(file[0],))
    assert set((h.abs().sum(-1) > 0).sum(-1).tolist()) == {5, 6}
    task = PrecoderTraining(
        steps=5, batch=8, streams=(4, 5), antennas=(4, 16), umi_share=0.0, recordings=(file[0],), recorded_share=1.0
    )
    assert all(batch(task, step)[0].shape[-1] <= 5 for step in range(20))
    trainer = Trainer(task)
    assert np.isfinite([trainer.step() for _ in range(5)]).all()


def test_without_recordings_nothing_changes():
    """Oracle: the stream's numbers in their order, as what made shipped weights drew them: rows up to path gains."""
    h, rng = batch(PrecoderTraining(batch=4, umi_share=0.0), 3)[0], stream(0, "precoder training", 3)
    streams = int(rng.integers(2, 13))
    antennas = int(rng.integers(streams, 25))
    antennas = streams if rng.random() < 0.5 else antennas
    assert rng.random() >= 0.0  # whether it is a street
    ratio = h / rayleigh(4, streams, antennas, rng)
    torch.testing.assert_close(ratio, ratio[..., :1].abs().expand_as(ratio) + 0j)


def test_what_is_wrong_is_said(tmp_path):
    """Property: a share without files, a missing file: one sentence with the remedy."""
    with pytest.raises(ValidationError, match="recorded_share needs recordings"):
        PrecoderTraining(recorded_share=0.5)
    with pytest.raises(UserError, match="airtune record"):
        batch(PrecoderTraining(recordings=(str(tmp_path / "none.h5"),), recorded_share=1.0), 0)


def test_the_command_trains_on_a_scenarios_recording(tmp_path):
    """Property: record, train, precode: the three commands of the documentation."""
    record(load("quickstart", ["channel=rayleigh"]), tmp_path / "own.h5", duration_s=0.01, contents="gains")
    (tmp_path / "mine.yaml").write_text(
        f"{{steps: 3, batch: 4, umi_share: 0, recordings: [{tmp_path}/own.h5], recorded_share: 0.5, "
        "options: {width: 4}}\n"
    )
    said = CliRunner().invoke(app, ["train-precoder", str(tmp_path / "mine.yaml"), "--out", str(tmp_path / "run")])
    assert said.exit_code == 0, said.output
    v = ICGNN(weights=str(tmp_path / "run" / NETWORK)).precode(rayleigh(2, 3, 4, stream(0, "command")), 1.0, 1.0)
    torch.testing.assert_close(v.abs().square().sum((-2, -1)), torch.ones(2))


@needs_llvm
def test_a_network_learns_on_ray_traced_channels(tmp_path, monkeypatch):
    """Property: in a street canyon, as Sionna RT traces it, training raises the sum rate over RZF's."""
    monkeypatch.setenv("AIRTUNE_CACHE", str(tmp_path))
    path = tmp_path / "canyon.h5"
    canyon = [
        "channel={name: ray_traced, scene: simple_street_canyon, samples: 20000}", "ues.mobility=static",
        "sites.layout={name: explicit, positions_m: [[-60, 0]]}", "sites.gnb.height_m=20",
        f"ues.placement={{name: explicit, positions_m: {[[x, 0] for x in range(-40, 40, 10)]}}}",
    ]  # fmt: skip
    record(load("quickstart", canyon), path, duration_s=0.005, contents="gains")
    task = PrecoderTraining(
        steps=1000, batch=32, streams=(4, 4), antennas=(6, 6), square_share=0.0, recordings=(str(path),),
        recorded_share=1.0, umi_share=0.0, learning_rate=3e-3,
    )  # fmt: skip
    trainer = Trainer(task)
    ratios = [trainer.step() for _ in range(60)]
    assert np.isfinite(ratios).all()
    assert np.mean(ratios[-15:]) > np.mean(ratios[:15])
