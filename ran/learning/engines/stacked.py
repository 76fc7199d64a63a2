"""All participants of a round as one batched computation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ran.learning.engines.engine import ENGINES, Engine, Trainer, Workplace, course_problem

if TYPE_CHECKING:
    from ran.learning.adapters import Adapter
    from ran.learning.algorithms.algorithm import Algorithm
    from ran.learning.models import Model


@ENGINES.register("stacked")
class Stacked(Engine):
    """All participants at once, their weights stacked [clients, outputs, inputs]: for linear and MLP models."""

    def limits(self, model: Model, adapter: Adapter, algorithm: Algorithm, device: str) -> list[str]:  # noqa: ARG002
        """Return why these cannot be stacked."""
        found = course_problem(self.name, algorithm)
        if model.name != "mlp":
            found.append(
                f"engine stacked computes perceptrons alone, not {model.name}; set learning.engine: auto, or "
                "learning.model: mlp"
            )
        if adapter.name != "full":
            found.append(f"engine stacked trains all weights, not {adapter.name}; set learning.adapter: full")
        return found

    def open(self, workplace: Workplace) -> Trainer:
        """Return the trainer."""
        from ran.learning.engines.stacked_training import StackedTrainer

        return StackedTrainer(workplace)
