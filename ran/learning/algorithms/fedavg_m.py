"""FedAvg-M: momentum inside the local steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ran.learning.algorithms.algorithm import ALGORITHMS, Server, add, combine, part, prefixed, zeros
from ran.learning.algorithms.course import Course
from ran.learning.algorithms.plain_sgd import PlainSgd

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("fedavg_m")
class FedAvgM(PlainSgd):
    """FedAvg whose clients step along beta g + (1 - beta) g_bar (Cheng et al., arXiv 2306.16504, FedAvg-M).

    g is the client's own minibatch gradient, g_bar the mean direction of all participants' steps in the round
    before, zero at first:

        g_bar <- sum_k p_k (x - y_k) / (rate K),    x <- x - server_learning_rate rate K g_bar,

    with p_k = n_k / n and K = sum_k p_k K_k the mean number of steps, which in the paper are all equal.
    beta = 1 is FedAvg. Where g_bar has come to rest at 0, clients drift as in FedAvg at beta times the rate: a small
    beta takes that much of the bias away and, through g_bar, none of the speed. Server momentum (Hsu et al., arXiv
    1909.06335, also called FedAvgM) leaves local steps, and with them the fixed point, as they are: it smooths only
    the sequence of mean updates. g_bar travels down beside the model: twice FedAvg's downlink, the same uplink.

    g_bar takes some 1 / beta rounds to build up, in which clients go more slowly than FedAvg's at the same rate. Over
    a few tens of rounds beta = 0.2 to 0.5 at a few times FedAvg's rate does best (see ``airtune bench methods``).
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "superpose"

    beta: float = Field(default=0.1, gt=0, le=1, description="share of the own gradient in a step; 1 is fedavg")
    server_learning_rate: float = Field(default=1.0, gt=0, le=100, description="factor of the mean update")

    def start(self, model: Arrays, num_samples: Sequence[int] = ()) -> Server:  # noqa: ARG002
        """Return the server with no direction yet."""
        return Server(model, prefixed("direction", zeros(model)))

    def broadcast(self, server: Server) -> Arrays:
        """Return the model and the direction g_bar."""
        return prefixed("model", server.model) | server.memory

    def course(self, received: Arrays, memory: Arrays) -> Course:  # noqa: ARG002
        """Return the way along beta g + (1 - beta) g_bar."""
        model = part("model", received)
        offset = combine(model, (1 - self.beta, part("direction", received)))
        return Course(model, scale=self.beta, offset=offset)

    def conclude(self, received: Arrays, memory: Arrays, trained: Arrays, num_steps: int) -> tuple[Arrays, Arrays]:
        """Return y_k - x, and nothing new to remember."""
        return super().conclude(part("model", received), memory, trained, num_steps)

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:
        """Return x plus the mean update, and the direction that it came from."""
        direction = combine(server.model, (-1 / (self.learning_rate * mean_steps(reports)), mean))
        model = add(server.model, mean, self.server_learning_rate)
        return replace(server, model=model, memory=prefixed("direction", direction))


def mean_steps(reports: Sequence[Report]) -> float:
    """Return the number of local steps, the mean over participants weighted by their samples."""
    samples = sum(report.num_samples for report in reports)
    return sum(report.num_samples * report.num_steps for report in reports) / samples
