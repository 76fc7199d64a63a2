"""Unsupervised training of precoding networks on sum rates, over mixed sizes, channels and powers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agents.gnn.draws import rayleigh, umi
from agents.gnn.network import build, save
from agents.gnn.recorded_draws import most_antennas, recorded
from agents.gnn.task import Training
from channel.seeding import stream, stream_key
from ran.phy.precoding import RZF
from ran.phy.precoding.streams import Streams

CHECKPOINT, NETWORK, CURVE, TASK = "checkpoint.safetensors", "network.safetensors", "progress.csv", "task.json"
_SAVE_EVERY_S = 60.0
_UMI_PORTS = 32  # of the panel that antennas are taken from
_UMI_SEED = 1000  # of the first world; those of tests and of scenarios are smaller


class PrecoderTraining(Training):
    """What is trained, and on what."""

    network: str = Field(default="icgnn", description="icgnn, unfolded_wmmse, bipartite, direct or mlp")
    utility: Literal["sum", "proportional_fair", "max_min"] = Field(
        default="sum", description="of the streams' rates: their sum, sum of logarithms, or least"
    )
    streams: tuple[int, int] = Field(default=(2, 12), description="fewest and most streams")
    antennas: tuple[int, int] = Field(default=(2, 24), description="fewest and most antennas")
    square_share: float = Field(
        default=0.5, ge=0, le=1, description="part of the steps with as many antennas as streams"
    )
    held_out: tuple[tuple[int, int], ...] = Field(
        default=((16, 16), (32, 32), (12, 5), (64, 16)),
        description="antennas and streams kept for tests: a step that would draw them gets one antenna more",
    )
    snr_db: tuple[float, float] = Field(default=(-5.0, 30.0), description="range for Rayleigh channels")
    spread_db: float = Field(default=8.0, ge=0, le=40, description="largest deviation of Rayleigh UEs' path gains")
    umi_share: float = Field(default=0.4, ge=0, le=1, description="part of the steps on TR 38.901 UMi channels")
    umi_power_dbm: tuple[float, float] = Field(default=(15.0, 40.0), description="range of transmit powers there")
    umi_worlds: int = Field(default=16, ge=1, le=1000, description="streets to draw UEs from")
    recordings: tuple[str, ...] = Field(
        default=(), description="files of `airtune record`, of ray-traced or any other channels"
    )
    recorded_share: float = Field(default=0.0, ge=0, le=1, description="part of the steps on those; powers as for UMi")

    reference: ClassVar[str] = "RZF"

    @model_validator(mode="after")
    def _recordings_are_there(self) -> Self:
        if self.recorded_share and not self.recordings:
            raise ValueError("recorded_share needs recordings; name files of `airtune record` there")
        return self

    def loss(self, network: nn.Module, step: int) -> tuple[Tensor, float]:
        """Return the loss of a step's channels, and the mean utility over that of RZF."""
        h, power_w = batch(self, step)
        streams = Streams.of(h, 1.0, power_w)
        reference = utility(rates(streams, h, None), self.utility)
        stages = [utility(rates(streams, h, a), self.utility) for a in network(streams)]
        gains = [_gain(value, reference, self.utility).mean() for value in stages]
        return -(gains[-1] + 0.3 * sum(gains[:-1]) / max(len(gains) - 1, 1)), float(gains[-1].detach())


@dataclass(frozen=True)
class Progress:
    """How far a training is: steps done, and the mean utility over the reference's (RZF's) in the last ones."""

    steps: int
    ratio: float
    steps_per_s: float


class Trainer:
    """A training: weights, optimiser, and steps that depend on nothing but their number and the seed."""

    def __init__(self, task: Training) -> None:
        self.task, self.steps = task, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_key(task.seed, "precoder weights") % 2**63)
            self.network = build(task.network, task.building())
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=task.learning_rate)

    def step(self) -> float:
        """Take one gradient step; return the batch's mean utility over the reference's."""
        task = self.task
        for group in self.optimiser.param_groups:
            group["lr"] = task.learning_rate * 0.5 * (1 + math.cos(math.pi * self.steps / task.steps))
        loss, ratio = task.loss(self.network.train(), self.steps)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if torch.isfinite(norm):
            self.optimiser.step()
        self.steps += 1
        return ratio

    def save(self, path: Path) -> None:
        """Write all that going on needs."""
        tensors = {f"network.{key}": value.contiguous() for key, value in self.network.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{key}": value.contiguous() for key, value in state.items()}
        save_file({**tensors, "steps": torch.tensor(self.steps)}, path)

    def load(self, path: Path) -> None:
        """Take over what ``save`` wrote."""
        tensors = load_file(path)
        self.steps = int(tensors.pop("steps"))
        self.network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("network.")})
        state = dict[int, dict[str, Tensor]]()
        for name, value in tensors.items():
            if name.startswith("adam."):
                _, index, key = name.split(".", 2)
                state.setdefault(int(index), {})[key] = value
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def train_precoder(
    task: Training, out: Path, *, resume: bool = False, tell: Callable[[Progress], None] = lambda progress: None
) -> Path:
    """Train, with a checkpoint every minute, and return the file of the trained network.

    ``out`` gets the configuration, progress.csv, the checkpoint and the network.

    Args:
        task: what to train.
        out: folder.
        resume: go on from the checkpoint in ``out``; the outcome is the same as without a break.
        tell: told twenty steps apart.
    """
    trainer = Trainer(task)
    out.mkdir(parents=True, exist_ok=True)
    if resume and (out / CHECKPOINT).exists():
        trainer.load(out / CHECKPOINT)
    (out / TASK).write_text(json.dumps(task.model_dump(mode="json"), indent=2))
    saved_s, told_s, gains = time.monotonic(), time.monotonic(), list[float]()
    with (out / CURVE).open("a" if resume else "w") as curve:
        try:
            while trainer.steps < task.steps:
                gains.append(trainer.step())
                if len(gains) == 20 or trainer.steps == task.steps:
                    now_s = time.monotonic()
                    progress = Progress(trainer.steps, float(np.mean(gains)), len(gains) / (now_s - told_s))
                    curve.write(f"{progress.steps},{progress.ratio:.6f},{progress.steps_per_s:.2f}\n")
                    tell(progress)
                    told_s, gains = now_s, []
                    if now_s - saved_s > _SAVE_EVERY_S:
                        curve.flush()
                        trainer.save(out / CHECKPOINT)
                        saved_s = now_s
        finally:
            trainer.save(out / CHECKPOINT)
    save(trainer.network, task.network, task.building(), out / NETWORK)
    return out / NETWORK


def batch(task: PrecoderTraining, step: int) -> tuple[Tensor, float]:
    """Return the channels over the root of noise, complex64 [batch, K, M], and the power of one step."""
    rng = stream(task.seed, "precoder training", step)
    streams = int(rng.integers(task.streams[0], task.streams[1] + 1))
    antennas = int(rng.integers(min(streams, task.antennas[1]), task.antennas[1] + 1))
    if rng.random() < task.square_share:
        antennas = streams
    antennas = max(antennas, task.antennas[0])
    antennas += (antennas, streams) in task.held_out
    if task.recorded_share and rng.random() < task.recorded_share:
        antennas, power_dbm = min(antennas, most_antennas(task.recordings)), rng.uniform(*task.umi_power_dbm)
        h = recorded(task.batch, min(streams, antennas), antennas, rng, files=task.recordings)
        return h, float(10 ** (power_dbm / 10 - 3))
    if rng.random() < task.umi_share:
        power_dbm = rng.uniform(*task.umi_power_dbm)
        h = umi(task.batch, streams, _UMI_PORTS, rng, worlds=task.umi_worlds, seed=_UMI_SEED)
        return h[..., np.sort(rng.permutation(_UMI_PORTS)[:antennas])], float(10 ** (power_dbm / 10 - 3))
    h = rayleigh(task.batch, streams, antennas, rng)
    spread_db = rng.uniform(0, task.spread_db) if rng.random() < 0.5 else 0.0
    gain_db = rng.standard_normal((task.batch, streams, 1)) * spread_db
    return h * torch.from_numpy(10 ** (gain_db / 20)).float(), float(10 ** (rng.uniform(*task.snr_db) / 10))


def rates(streams: Streams, h: Tensor, coefficients: Tensor | None) -> Tensor:
    """Return the rates, bit/s/Hz, real [..., K], of a network's coefficients, of RZF without any; noise is 1."""
    v = RZF().solve(streams) if coefficients is None else streams.total_power(coefficients.mH @ streams.direction)
    gain = torch.view_as_real((h @ v).resolve_conj()).square().sum(-1)
    signal = gain.diagonal(dim1=-2, dim2=-1)
    return torch.log2(1.0 + signal / (gain.sum(-1) - signal + 1.0).clamp(min=1.0))


def utility(rate: Tensor, kind: str) -> Tensor:
    """Return the utility of rates [..., K], [...]: their sum, sum of logarithms, or least."""
    if kind == "sum":
        return rate.sum(-1)
    return rate.clamp(min=1e-3).log().sum(-1) if kind == "proportional_fair" else rate.amin(-1)


def _gain(value: Tensor, reference: Tensor, kind: str) -> Tensor:
    """Return a utility relative to the reference's, 1 where equal."""
    if kind == "proportional_fair":
        return 1.0 + value - reference
    return value / reference.clamp(min=0.1)
