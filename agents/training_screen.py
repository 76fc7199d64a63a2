"""A training on the terminal: how far it is, how good it is, how fast it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agents.train import Task, train_agent

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from agents.evaluate import Score
    from agents.gnn.task import Training
    from agents.gnn.training import Progress as PrecoderProgress
    from agents.ppo import Progress


def followed(task: Task, folder: Path, *, resume: bool) -> dict[str, Score]:
    """Train with a bar on standard error; see ``train_agent``."""
    with _bar() as bar:
        line = bar.add_task(f"{task.algorithm} on {task.environment}", total=task.steps, told="")

        def tell(progress: Progress) -> None:
            rate = f"{progress.steps_per_s:,.0f} steps/s"
            mean = progress.episode_return
            told = rate if mean != mean else f"return {mean:.4g}, {rate}"
            bar.update(line, completed=progress.steps, told=told)

        return train_agent(task, folder, resume=resume, tell=tell)


def followed_precoder(task: Training, folder: Path, *, resume: bool) -> Path:
    """Train with a bar on standard error; see ``train_precoder``."""
    from agents.gnn.training import train_precoder

    with _bar() as bar:
        line = bar.add_task(task.network, total=task.steps, told="")

        def tell(progress: PrecoderProgress) -> None:
            told = f"{progress.ratio:.3f} of {task.reference}, {progress.steps_per_s:.0f} steps/s"
            bar.update(line, completed=progress.steps, told=told)

        return train_precoder(task, folder, resume=resume, tell=tell)


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )  # fmt: skip
    return Bar(*columns, console=Console(stderr=True))
