"""FedDyn: dynamic regularisation that makes the clients' optima agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ran.learning.algorithms.algorithm import (
    ALGORITHMS,
    Algorithm,
    Server,
    add,
    combine,
    difference,
    part,
    prefixed,
    zeros,
)
from ran.learning.algorithms.course import Course, pull_problems
from ran.learning.algorithms.scaffold import all_samples, sample_share

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("feddyn")
class FedDyn(Algorithm):
    """Federated learning with dynamic regularisation (Acar et al., arXiv 2111.04263, algorithm 1).

    Client k descends F_k(y) - <g_k, y> + alpha / 2 ||y - x||^2 from y = x, then

        g_k <- g_k - alpha (y_k - x),    h <- h - alpha share mean(y_k - x),    x <- mean(y_k) - h / alpha,

    where share is the participants' part of all samples, |S| / N for clients of equal size; g_k and h are zero at
    first. As in FedAvg, sample counts weigh the mean (the paper minimises the plain mean of the clients'
    losses). A fixed point has y_k = x and g_k = grad F_k(x), hence sum_k n_k grad F_k(x) = 0: the
    optimum, however few steps a client takes. g_k stays on the client: FedAvg's payload.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "superpose"
    keeps: ClassVar[Literal["always", "delivered"]] = "delivered"

    alpha: float = Field(default=0.1, gt=0, le=1e6, description="weight of the regulariser")

    def problems(self) -> list[str]:
        """Return a sentence when sgd would diverge on the regulariser alone."""
        return pull_problems(self, "alpha", self.alpha)

    def start(self, model: Arrays, num_samples: Sequence[int] = ()) -> Server:
        """Return the server with h = 0; ``num_samples`` of every client must be given."""
        return Server(model, prefixed("h", zeros(model)) | all_samples(num_samples))

    def course(self, received: Arrays, memory: Arrays) -> Course:
        """Return the way along the gradient - g_k + alpha (y - x)."""
        return Course(received, pull=self.alpha, offset=combine(received, (-1.0, memory)) if memory else None)

    def conclude(self, received: Arrays, memory: Arrays, trained: Arrays, num_steps: int) -> tuple[Arrays, Arrays]:  # noqa: ARG002
        """Return y_k - x, and the new g_k to remember."""
        update = difference(trained, received)
        return update, add(memory or zeros(received), update, -self.alpha)

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:
        """Return x and h after the mean update."""
        h = add(part("h", server.memory), mean, -self.alpha * sample_share(server, reports))
        model = combine(server.model, (1.0, server.model), (1.0, mean), (-1 / self.alpha, h))
        return replace(server, model=model, memory=server.memory | prefixed("h", h))
