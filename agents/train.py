"""Train an agent, follow it, and compare it with every baseline: what `airtune train-agent` does."""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from safetensors.torch import load_file, save_file

from agents.batched import BatchedEnv, made
from agents.envs import ENVIRONMENTS
from agents.evaluate import Score, compare, figure
from agents.policy import SavedPolicy
from agents.ppo import Settings, Trainer
from channel.errors import UserError
from channel.registry import did_you_mean

if TYPE_CHECKING:
    from agents.ppo import Progress

ALGORITHMS = ("batched_ppo", "ppo", "a2c", "sac", "dqn", "maskable_ppo")
TASK, CHECKPOINT, POLICY, SCORES, CURVE = (
    "task.json", "checkpoint.safetensors", "policy.safetensors", "scores.csv", "progress.csv",
)  # fmt: skip
_SAVE_EVERY_S = 60.0
_OFF_POLICY = ("sac", "dqn")


@dataclass(frozen=True)
class Task:
    """What is to be trained; written beside the result, so that it can go on and be repeated.

    Attributes:
        environment: name of a registered one.
        parameters: of the environment.
        algorithm: one of ALGORITHMS.
        settings: of the algorithm, by its own names.
        steps: environment steps.
        num_envs: replicas.
        seed: of everything.
        episodes: of the comparison at the end.
        device: of the networks.
    """

    environment: str
    parameters: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "batched_ppo"
    settings: dict[str, Any] = field(default_factory=dict)
    steps: int = 1_000_000
    num_envs: int = 256
    seed: int = 0
    episodes: int = 200
    device: str = "cpu"

    @staticmethod
    def read(folder: Path) -> Task:
        """Return the task of a folder; raises UserError where there is none."""
        try:
            return Task(**json.loads((folder / TASK).read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError(f"{folder} holds no agent's training ({error}); give the folder of one") from None


class Learner(Protocol):
    """An algorithm at work."""

    @property
    def steps(self) -> int:
        """Environment steps done."""

    def train(self, tell: Callable[[Progress], None]) -> None:
        """Train to the end; tell after every update."""

    def save(self, path: Path) -> None:
        """Write all that going on needs."""

    def load(self, path: Path) -> None:
        """Take over what ``save`` wrote."""

    def policy(self) -> SavedPolicy:
        """Return what it has learnt."""


def train_agent(
    task: Task, out: Path, *, resume: bool = False, tell: Callable[[Progress], None] = lambda progress: None
) -> dict[str, Score]:
    """Train, save and compare; return the scores of the policy and of all baselines, the best first.

    ``out`` gets the task, TensorBoard logs, progress.csv, a checkpoint every minute, and in the end the policy, the
    scores and figures of both.

    Args:
        task: what to train.
        out: folder.
        resume: go on from the checkpoint in ``out``.
        tell: told after every update.

    Raises UserError where the task does not make sense, and KeyboardInterrupt after a checkpoint.
    """
    learner = start(task)
    out.mkdir(parents=True, exist_ok=True)
    if resume and (out / CHECKPOINT).exists():
        learner.load(out / CHECKPOINT)
    (out / TASK).write_text(json.dumps(asdict(task), indent=2))
    log = _Log(out, fresh=not resume)
    saved_s = [time.monotonic()]

    def told(progress: Progress) -> None:
        log.write(progress)
        tell(progress)
        if time.monotonic() - saved_s[0] > _SAVE_EVERY_S:
            learner.save(out / CHECKPOINT)
            saved_s[0] = time.monotonic()

    try:
        if learner.steps < task.steps:
            learner.train(told)
    finally:
        log.close()
        learner.save(out / CHECKPOINT)
    policy = learner.policy()
    policy.save(out / POLICY)
    return report(task, {"agent": policy}, out)


def start(task: Task) -> Learner:
    """Return the algorithm of a task, before its first step; raises UserError where it does not go together."""
    if task.algorithm not in ALGORITHMS:
        near = did_you_mean(task.algorithm, list(ALGORITHMS))
        raise UserError(f"unknown algorithm {task.algorithm!r}{near or '.'} Known: {', '.join(ALGORITHMS)}")
    environment = made(task.environment, dict(task.parameters))
    env = BatchedEnv(environment, task.num_envs)
    if task.algorithm == "batched_ppo":
        return _Own(env, task)
    return _Stable(env, task)


def report(task: Task, policies: Mapping[str, SavedPolicy], out: Path) -> dict[str, Score]:
    """Compare policies with all baselines over episodes that nobody trained on; write a table and a figure."""
    environment = made(task.environment, dict(task.parameters))
    scores = compare(environment, policies, task.episodes)
    with (out / SCORES).open("w", newline="") as file:
        terms = [term.name for term in environment.terms()]
        writer = csv.writer(file)
        writer.writerow(["policy", "return", "half_width_95", "episodes", *terms])
        for name, score in scores.items():
            means = [float(score.terms[term].mean()) for term in terms]
            writer.writerow([name, score.mean, score.half_width, len(score.returns), *means])
    figure(environment, scores, out / "scores.png")
    _draw_curve(environment.title, out)
    return scores


@dataclass
class _Own:
    """PPO of ``agents.ppo``."""

    env: BatchedEnv
    task: Task

    def __post_init__(self) -> None:
        known = [each.name for each in fields(Settings)]
        tuned = {**ENVIRONMENTS.get(self.task.environment).training, **self.task.settings}
        for name in tuned:
            if name not in known:
                raise UserError(
                    f"batched_ppo has no setting {name!r}{did_you_mean(name, known) or ';'} {', '.join(known)}"
                )
        settings = replace(Settings(), **{**tuned, "total_steps": self.task.steps})
        self.trainer = Trainer(self.env, settings, self.task.seed, self.task.device)

    @property
    def steps(self) -> int:
        return self.trainer.steps

    def train(self, tell: Callable[[Progress], None]) -> None:
        self.trainer.train(tell)

    def save(self, path: Path) -> None:
        self.trainer.save(path)

    def load(self, path: Path) -> None:
        self.trainer.load(path)

    def policy(self) -> SavedPolicy:
        layers = [module for module in self.trainer.actor.layers if isinstance(module, torch.nn.Linear)]
        return SavedPolicy.of(self.env.environment, layers, "tanh", "logits" if self.trainer.actor.options else "mean")


class _Stable:
    """An algorithm of Stable-Baselines3."""

    def __init__(self, env: BatchedEnv, task: Task) -> None:
        from agents.stable import new_model

        self.env, self.task = env, task
        self.model = new_model(task.algorithm, env, task.seed, task.device, dict(task.settings))

    @property
    def steps(self) -> int:
        return int(self.model.num_timesteps)

    def train(self, tell: Callable[[Progress], None]) -> None:
        from agents.stable import Teller

        self.model.learn(self.task.steps - self.steps, callback=Teller(tell), reset_num_timesteps=False)

    def save(self, path: Path) -> None:
        from agents.stable import tensors_of

        save_file(tensors_of(self.model), path)

    def load(self, path: Path) -> None:
        from agents.stable import restore

        restore(self.model, load_file(path))

    def policy(self) -> SavedPolicy:
        from agents.stable import linear_layers

        return SavedPolicy.of(self.env.environment, *linear_layers(self.model))


class _Log:
    """Progress as a table and for TensorBoard."""

    def __init__(self, folder: Path, *, fresh: bool) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorBoard imports TensorFlow where it is installed
        from torch.utils.tensorboard import SummaryWriter

        self._table = (folder / CURVE).open("w" if fresh else "a", newline="")
        self._board = SummaryWriter(str(folder))
        self._rows = csv.writer(self._table)
        self._headed = not fresh

    def write(self, progress: Progress) -> None:
        """Add a row."""
        named = {"return": progress.episode_return, "steps_per_s": progress.steps_per_s}
        named |= {f"reward/{name}": value for name, value in progress.terms.items()}
        losses = {f"train/{name}": value for name, value in progress.losses.items()}
        if not self._headed:
            self._rows.writerow(["steps", *named])
            self._headed = True
        self._rows.writerow([progress.steps, *named.values()])
        self._table.flush()
        for name, value in {**named, **losses}.items():
            if math.isfinite(value):
                self._board.add_scalar(name, value, progress.steps)

    def close(self) -> None:
        """Close both."""
        self._table.close()
        self._board.close()


def _draw_curve(title: str, out: Path) -> None:
    """Draw returns over steps, and the baselines beside them, to curve.png."""
    import pandas as pd
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curve, scores = pd.read_csv(out / CURVE), pd.read_csv(out / SCORES)
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot(
        curve["steps"], curve["return"].rolling(5, min_periods=1).mean(), color="tab:blue", label="agent, exploring"
    )
    shown = scores[scores["policy"] != "agent"].head(5)
    for place, row in enumerate(shown.itertuples()):
        axes.axhline(row[2], color=f"C{place + 1}", lw=1, ls="--", label=row[1])
    axes.set(xlabel="environment steps", ylabel="return of an episode", title=title)
    axes.legend(fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(out / "curve.png", dpi=130)
