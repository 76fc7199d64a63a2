"""Federated averaging."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from ran.learning.algorithms.algorithm import ALGORITHMS, Algorithm, ClientUpdate, Problem, descend

if TYPE_CHECKING:
    import numpy as np

    from ran.learning.algorithms.algorithm import Arrays


@ALGORITHMS.register("fedavg")
class FedAvg(Algorithm):
    """Local epochs on every client, then the mean weighted by sample counts (McMahan et al., arXiv 1602.05629).

    x <- x + sum_k (n_k / n) (y_k - x), with y_k what client k trained from x. The local optimiser starts
    afresh in every round: no moment survives from one round to the next.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "superpose"

    def client_step(self, arrays: Arrays, problem: Problem, rng: np.random.Generator) -> ClientUpdate:
        """Return y_k - x of one client."""
        problem.load(arrays)
        optimizer = self.new_optimizer(problem.parameters())
        descent = descend(problem, optimizer, self.batches(problem.num_samples, rng))
        trained = problem.read()
        return ClientUpdate(
            arrays={name: trained[name] - received for name, received in arrays.items()},
            num_samples=problem.num_samples,
            num_steps=descent.num_steps,
            train_loss=descent.loss,
            flops=descent.num_passes * problem.flops_per_sample,
        )

    def aggregate(self, arrays: Arrays, updates: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
        """Return x plus the weighted mean of the updates, summed in double precision, in the dtype of x."""
        import numpy as np

        assert len(updates) == len(weights) > 0
        total = float(sum(weights))
        merged: Arrays = {}
        for name, current in arrays.items():
            mean = sum(
                weight / total * update[name].astype(np.float64)
                for update, weight in zip(updates, weights, strict=True)
            )
            merged[name] = (current.astype(np.float64) + mean).astype(current.dtype)
        return merged
