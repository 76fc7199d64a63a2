"""FLoRA: LoRA's factors stacked, so that their products add up exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ran.learning.algorithms.algorithm import (
    ALGORITHMS,
    Algorithm,
    ClientUpdate,
    Problem,
    Server,
    add,
    descend,
    difference,
)
from ran.learning.low_rank import Factors, factors, named, other_arrays, stacked

if TYPE_CHECKING:
    import numpy as np

    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("flora")
class Flora(Algorithm):
    """LoRA's factors stacked instead of averaged, exact for any ranks (FLoRA, Wang et al., arXiv 2409.05976).

    A = [A_0; A_1; ...; A_K] and B = [R/R_0 B_0, p_1 R/r_1 B_1, ..., p_K R/r_K B_K] with R = R_0 + sum_k r_k, so that
    alpha B A / R = alpha B_0 A_0 / R_0 + sum_k p_k alpha B_k A_k / r_k: what was learnt before (index 0) plus the mean
    of the participants' products, p_k = n_k / n. A client adds the stack to its frozen weights and trains
    factors that start afresh in every round, A drawn as LoRA does and B zero. Other trained arrays, such as the
    classifier, are averaged as in fedavg.

    Payloads, in values per adapted layer of i inputs and o outputs: a client of rank r sends r (i + o) up. Down goes
    the stack of all rounds so far, R (i + o), for a UE that missed a round needs all of it; R grows by the
    participants' ranks per round and stops at min(i, o), where the stack is replaced by a smaller one of the same
    product. (The paper sends the last round's stack alone, and supposes that everybody has merged those before.)
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "deliver"
    mixes_ranks: ClassVar[bool] = True

    def broadcast(self, server: Server) -> Arrays:
        """Return the stack of all rounds, nothing yet before the first, and the other arrays."""
        learnt = {layer: each.without_zeros() for layer, each in factors(server.model).items()}
        return other_arrays(server.model) | named(learnt, server.model)

    def client_step(self, received: Arrays, problem: Problem, rng: np.random.Generator, memory: Arrays) -> ClientUpdate:
        """Return the trained factors themselves, and the differences of the other arrays."""
        own = {layer: _fresh(each, rng) for layer, each in factors(problem.initial).items()}
        rest = other_arrays(received)
        problem.load(rest | named(own, problem.initial))
        problem.merge({name: array for name, array in received.items() if name not in rest})
        optimizer = self.new_optimizer(problem.parameters())
        descent = descend(problem, optimizer, self.batches(problem.num_samples, rng))
        trained = problem.read()
        return ClientUpdate(
            arrays=trained | difference(trained, rest),
            num_samples=problem.num_samples,
            num_steps=descent.num_steps,
            train_loss=descent.loss,
            flops=descent.num_passes * problem.flops_per_sample,
            memory=memory,
        )

    def aggregate(self, server: Server, updates: Sequence[Arrays], reports: Sequence[Report]) -> Server:
        """Return the server with the participants' factors on the stack."""
        weights = [1.0, *self.shares(reports)]
        sent = [factors(update) for update in updates]
        after = {
            layer: stacked([old.without_zeros(), *(each[layer] for each in sent)], weights).compact()
            for layer, old in factors(server.model).items()
        }
        rest = replace(server, model=other_arrays(server.model))
        rest = super().aggregate(rest, [other_arrays(update) for update in updates], reports)
        return replace(rest, model=rest.model | named(after, server.model))

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:  # noqa: ARG002
        """Return the model plus the mean step of the arrays that are no LoRA factors."""
        return replace(server, model=add(server.model, mean))


def _fresh(like: Factors, rng: np.random.Generator) -> Factors:
    """Return factors as PEFT draws them: A uniform within 1 / sqrt(inputs), B zero."""
    bound = like.a.shape[1] ** -0.5
    return Factors(rng.uniform(-bound, bound, like.a.shape), 0 * like.b)
