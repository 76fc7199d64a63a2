"""Keras on TensorFlow as the framework that clients train with."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from ran.learning.engines.engine import ENGINES, Engine, Trainer, Workplace, course_problem

if TYPE_CHECKING:
    from ran.learning.adapters import Adapter
    from ran.learning.algorithms.algorithm import Algorithm
    from ran.learning.models import Model

TWINS = ("mlp", "cnn")
"""Models that have a twin in Keras."""


def missing_keras() -> list[str]:
    """Return a sentence if TensorFlow is not installed."""
    if find_spec("tensorflow") is not None:
        return []
    return ["Keras is not installed; run `pip install 'airtune[tensorflow]'`, or set learning.engine: auto"]


def twin_limits(engine: str, model: Model, adapter: Adapter, algorithm: Algorithm, device: str) -> list[str]:
    """Return a sentence for each reason why clients cannot train this with Keras."""
    found = course_problem(engine, algorithm)
    if model.name not in TWINS:
        found.append(f"engine {engine} has no Keras twin of {model.name}; set learning.model: {' or '.join(TWINS)}")
    if adapter.name != "full":
        found.append(f"engine {engine} trains all weights, not {adapter.name}; set learning.adapter: full")
    if device != "cpu":
        found.append(f"engine {engine} runs TensorFlow on the processor; set device: cpu")
    return found


@ENGINES.register("keras")
class Keras(Engine):
    """Every client trains the model's twin in Keras, on TensorFlow, and exchanges the same named arrays."""

    def problems(self) -> list[str]:
        """Return a sentence if TensorFlow is not installed."""
        return missing_keras()

    def limits(self, model: Model, adapter: Adapter, algorithm: Algorithm, device: str) -> list[str]:
        """Return why Keras cannot train these."""
        return twin_limits(self.name, model, adapter, algorithm, device)

    def open(self, workplace: Workplace) -> Trainer:
        """Return the trainer; raises UserError when Keras runs on another backend than TensorFlow."""
        from ran.learning.engines.keras_training import KerasTrainer

        return KerasTrainer(workplace)
