"""What algorithms share whose mathematics takes local steps to be those of plain gradient descent."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ran.learning.algorithms.algorithm import Algorithm


class PlainSgd(Algorithm):
    """An algorithm that reads mean gradients off the way that a client went: (x - y) / (K rate) after K steps.

    That is a mean gradient only if steps are plain ones: no moments, no decay, no second optimiser to choose.
    """

    optimizer: Literal["sgd", "adamw"] = Field(default="sgd", description="sgd; the method knows no other")
    learning_rate: float = Field(default=0.05, gt=0, le=100)

    def problems(self) -> list[str]:
        """Return a sentence for each setting that makes steps other than -rate x direction."""
        wanted = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0}
        return [
            f"`{field}`: {self.name} reads gradients off plain sgd steps; set it to {value}, or choose fedavg"
            for field, value in wanted.items()
            if getattr(self, field) != value
        ]
