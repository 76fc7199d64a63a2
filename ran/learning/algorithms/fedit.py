"""FedIT: LoRA's two factors averaged apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ran.learning.algorithms.algorithm import ALGORITHMS, Algorithm, Server, add, difference
from ran.learning.low_rank import resized

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("fedit")
class FedIt(Algorithm):
    """Means of LoRA's A and of its B, each by itself (FedIT, Zhang et al., arXiv 2305.05644).

    A <- sum_k p_k A_k, B <- sum_k p_k B_k, p_k = n_k / n. The product of two means is not the mean of the products: it
    lacks sum_k p_k (B_k - B)(A_k - A). With equal ranks this is fedavg. Lower ranks are filled up with zeros to
    the largest, and a client starts from the first components of the global factors (HetLoRA, Cho et al., arXiv
    2401.06432, without its pruning); so components that few clients train shrink.

    Payloads: a client of rank r exchanges r (inputs + outputs) values per adapted layer, either way.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "deliver"
    mixes_ranks: ClassVar[bool] = True

    def tailor(self, broadcast: Arrays, like: Arrays) -> Arrays:
        """Return the first components of the global factors, as many as the client's rank."""
        return resized(broadcast, like)

    def aggregate(self, server: Server, updates: Sequence[Arrays], reports: Sequence[Report]) -> Server:
        """Return the server with the means of the clients' factors, zeros where a client's rank does not reach."""
        trained = [add(resized(server.model, update), update) for update in updates]
        steps = [difference(resized(arrays, server.model), server.model) for arrays in trained]
        return super().aggregate(server, steps, reports)

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:  # noqa: ARG002
        """Return the model plus the mean step of arrays of equal shapes."""
        return replace(server, model=add(server.model, mean))
