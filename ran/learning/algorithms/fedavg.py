"""Federated averaging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ran.learning.algorithms.algorithm import ALGORITHMS, Algorithm, ClientUpdate, Problem, Server, add, descend

if TYPE_CHECKING:
    import numpy as np

    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("fedavg")
class FedAvg(Algorithm):
    """Local epochs on every client, then the mean weighted by sample counts (McMahan et al., arXiv 1602.05629).

    x <- x + sum_k (n_k / n) (y_k - x), with y_k what client k trained from x. The local optimiser starts
    afresh in every round: no moment survives from one round to the next.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "superpose"

    def client_step(self, received: Arrays, problem: Problem, rng: np.random.Generator, memory: Arrays) -> ClientUpdate:
        """Return y_k - x of one client."""
        problem.load(received)
        optimizer = self.new_optimizer(problem.parameters())
        descent = descend(problem, optimizer, self.batches(problem.num_samples, rng))
        trained = problem.read()
        return ClientUpdate(
            arrays={name: trained[name] - array for name, array in received.items()},
            num_samples=problem.num_samples,
            num_steps=descent.num_steps,
            train_loss=descent.loss,
            flops=descent.num_passes * problem.flops_per_sample,
            memory=memory,
        )

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:  # noqa: ARG002
        """Return x plus the mean update."""
        return replace(server, model=add(server.model, mean))
