"""One client after another: the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ran.learning.engines.engine import ENGINES, Assignment, Engine, Trainer, Workplace

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import ClientUpdate


@dataclass(frozen=True)
class SequentialTrainer:
    """Trains each client on the one network that all share."""

    workplace: Workplace
    title: str = "sequential"

    def train(self, assignments: Sequence[Assignment], round_index: int) -> list[ClientUpdate]:
        """Return the updates, in order."""
        return self.workplace.train(assignments, round_index)

    def close(self) -> None:
        """Do nothing: there is nothing to let go of."""


@ENGINES.register("sequential")
class Sequential(Engine):
    """One client after another, by PyTorch on the one shared network: any model, adapter and algorithm."""

    def open(self, workplace: Workplace) -> Trainer:
        """Return the trainer."""
        return SequentialTrainer(workplace)
