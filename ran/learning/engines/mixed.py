"""A federation whose clients train with different frameworks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ran.learning.engines.auto import Auto
from ran.learning.engines.engine import ENGINES, Assignment, Engine, Trainer, Workplace
from ran.learning.engines.keras import Keras, missing_keras, twin_limits

if TYPE_CHECKING:
    from ran.learning.adapters import Adapter
    from ran.learning.algorithms.algorithm import Algorithm, ClientUpdate
    from ran.learning.models import Model


@dataclass(frozen=True)
class MixedTrainer:
    """Gives each participant to its own framework's trainer."""

    keras_ues: frozenset[int]
    keras: Trainer
    torch: Trainer

    @property
    def title(self) -> str:
        """Both, and how many clients Keras has."""
        return f"{self.keras.title} on {len(self.keras_ues)} UEs, else {self.torch.title}"

    def train(self, assignments: Sequence[Assignment], round_index: int) -> list[ClientUpdate]:
        """Return the updates, in order."""
        updates: dict[int, ClientUpdate] = {}
        for trainer in (self.keras, self.torch):
            mine = [each for each in assignments if (each.client in self.keras_ues) == (trainer is self.keras)]
            made = trainer.train(mine, round_index)
            updates |= {each.client: update for each, update in zip(mine, made, strict=True)}
        return [updates[each.client] for each in assignments]

    def close(self) -> None:
        """Close both."""
        self.keras.close()
        self.torch.close()


@ENGINES.register("mixed")
class Mixed(Engine):
    """Some UEs train with Keras, the others with PyTorch as engine auto would; all exchange the same named arrays."""

    keras_ues: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, description="UEs that train with Keras")

    def problems(self) -> list[str]:
        """Return a sentence if TensorFlow is not installed."""
        return missing_keras()

    def limits(self, model: Model, adapter: Adapter, algorithm: Algorithm, device: str) -> list[str]:
        """Return why Keras cannot train these."""
        return twin_limits(self.name, model, adapter, algorithm, device)

    def client_limits(self, num_clients: int) -> list[str]:
        """Return a sentence where it names UEs that there are not."""
        strangers = [str(ue) for ue in self.keras_ues if ue >= num_clients]
        if not strangers:
            return []
        return [f"`keras_ues`: there is no UE {', '.join(strangers)}; the UEs are 0 to {num_clients - 1}"]

    def open(self, workplace: Workplace) -> Trainer:
        """Return the trainer."""
        # Torch's first: it may move the samples, and Keras looks at them where they are.
        torch = Auto().open(workplace)
        return MixedTrainer(frozenset(self.keras_ues), Keras().open(workplace), torch)
