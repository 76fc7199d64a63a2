"""Participants spread over worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.learning.engines.engine import ENGINES, Engine, Trainer, Workplace

if TYPE_CHECKING:
    from ran.learning.adapters import Adapter
    from ran.learning.algorithms.algorithm import Algorithm
    from ran.learning.models import Model


@ENGINES.register("processes")
class Processes(Engine):
    """Participants spread over worker processes, for convolutions: the sequential bits, whatever their number.

    The workers start with the first round (some seconds, for they import PyTorch) and stay to the end. Training data
    and frozen weights lie in one file that all processes map into memory: no process has a copy of its own.
    Each worker computes with ``learning.threads`` threads.
    """

    workers: int | None = Field(default=None, ge=1, le=256, description="null: one for each processor core")

    def limits(self, model: Model, adapter: Adapter, algorithm: Algorithm, device: str) -> list[str]:  # noqa: ARG002
        """Return why it cannot be used."""
        if device == "cpu":
            return []
        return [f"engine processes spreads work over processor cores, not over {device}; set learning.engine: auto"]

    @property
    def number(self) -> int:
        """How many workers there are."""
        return self.workers or available_cores()

    def open(self, workplace: Workplace) -> Trainer:
        """Return the trainer; raises UserError when a worker cannot start."""
        from ran.learning.engines.worker_pool import WorkerPool

        return WorkerPool(workplace, self.number)


def available_cores() -> int:
    """Return how many processor cores this process may use."""
    import os

    # Where there is no affinity (macOS, Windows), all of them.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
