"""FlexLoRA: the mean of LoRA's products, cut to each client's rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from ran.learning.algorithms.algorithm import ALGORITHMS, Algorithm, Server, add
from ran.learning.low_rank import Factors, factors, named, other_arrays, resized, stacked

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("flexlora")
class FlexLora(Algorithm):
    """The mean of LoRA's products, by singular values in each client's rank (FlexLoRA, Bai et al., arXiv 2402.11505).

    sum_k p_k alpha B_k A_k / r_k = U S V^T, p_k = n_k / n; a client of rank r gets the r largest components, which
    approximate the mean best among all matrices of that rank. The global model keeps the largest rank of
    any client; where the participants' ranks together do not reach it, the rest of A stays and that of B is zero. Other
    trained arrays, such as the classifier, are averaged as in fedavg.

    Payloads: a client of rank r exchanges r (inputs + outputs) values per adapted layer, either way.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "deliver"
    mixes_ranks: ClassVar[bool] = True

    def tailor(self, broadcast: Arrays, like: Arrays) -> Arrays:
        """Return the strongest components of the mean, as many as the client's rank."""
        return resized(broadcast, like)

    def aggregate(self, server: Server, updates: Sequence[Arrays], reports: Sequence[Report]) -> Server:
        """Return the server with the best approximation of the mean product in every layer."""
        before = factors(server.model)
        trained = [factors(add(resized(server.model, update), update)) for update in updates]
        shares = self.shares(reports)
        after = {
            layer: _filled(stacked([each[layer] for each in trained], shares).best(old.rank), old)
            for layer, old in before.items()
        }
        rest = replace(server, model=other_arrays(server.model))
        rest = super().aggregate(rest, [other_arrays(update) for update in updates], reports)
        return replace(rest, model=rest.model | named(after, server.model))

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:  # noqa: ARG002
        """Return the model plus the mean step of the arrays that are no LoRA factors."""
        return replace(server, model=add(server.model, mean))


def _filled(found: Factors, old: Factors) -> Factors:
    """Return ``found`` in the rank of ``old``, with its last rows of A: zeros in both factors would never train."""
    filled = found.resized(old.rank)
    filled.a[found.rank :] = old.a[found.rank :]
    return filled
