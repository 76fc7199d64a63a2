"""The engine that suits the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ran.learning.engines.engine import ENGINES, Engine, Trainer, Workplace
from ran.learning.engines.processes import Processes
from ran.learning.engines.sequential import Sequential
from ran.learning.engines.stacked import Stacked

if TYPE_CHECKING:
    from ran.learning.adapters import Adapter
    from ran.learning.algorithms.algorithm import Algorithm
    from ran.learning.models import Model

ENOUGH_WORK_FLOPS = 1e11
"""Workers take some seconds to start: as long as one core takes for about this much, in convolutions."""


@ENGINES.register("auto")
class Auto(Engine):
    """The engine that suits the model: stacked for perceptrons, processes for long convolutions, else sequential."""

    def choose(
        self, model: Model, adapter: Adapter, algorithm: Algorithm, device: str, flops_per_round: float
    ) -> Engine:
        """Return the engine; ``flops_per_round`` are those of training if everybody takes part in a round."""
        stacked, processes = Stacked(), Processes()
        if not stacked.limits(model, adapter, algorithm, device):
            return stacked
        able = not processes.limits(model, adapter, algorithm, device) and processes.number > 1
        if model.name == "cnn" and able and flops_per_round > ENOUGH_WORK_FLOPS:
            return processes
        return Sequential()

    def open(self, workplace: Workplace) -> Trainer:
        """Return the chosen engine's trainer."""
        passes = sum(workplace.algorithm.passes(len(rows)) for rows in workplace.rows)
        device = str(workplace.labels.device)
        chosen = self.choose(
            workplace.model, workplace.adapter, workplace.algorithm, device, passes * workplace.flops_per_sample
        )
        return chosen.open(workplace)
