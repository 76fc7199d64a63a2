"""SCAFFOLD: control variates that take the client drift out of local steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ran.learning.algorithms.algorithm import ALGORITHMS, Server, add, combine, difference, part, prefixed, zeros
from ran.learning.algorithms.course import Course
from ran.learning.algorithms.plain_sgd import PlainSgd

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("scaffold")
class Scaffold(PlainSgd):
    """Stochastic controlled averaging with option II (Karimireddy et al., arXiv 1910.06378, algorithm 1).

    Client k steps y <- y - rate (g - c_k + c) from x, K_k times, then

        c_k+ = c_k - c + (x - y) / (K_k rate),    x <- x + server_learning_rate mean(y_k - x),
        c <- c + share mean(c_k+ - c_k),

    where share is the participants' part of all samples, |S| / N for clients of equal size. The paper minimises the
    plain mean of the clients' losses; here, as in FedAvg, sample counts weigh: one superposition of the payload
    (model/..., control/...) yields both means, c = sum_k n_k c_k / n holds after every round, and
    the fixed point is the optimum of the pooled loss. All c are zero at first.
    Twice FedAvg's payload in both directions.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "superpose"
    keeps: ClassVar[Literal["always", "delivered"]] = "delivered"

    server_learning_rate: float = Field(default=1.0, gt=0, le=100, description="factor of the mean update")

    def start(self, model: Arrays, num_samples: Sequence[int] = ()) -> Server:
        """Return the server with zero control variates; ``num_samples`` of every client must be given."""
        return Server(model, prefixed("control", zeros(model)) | all_samples(num_samples))

    def broadcast(self, server: Server) -> Arrays:
        """Return the model and the server's control variate."""
        return prefixed("model", server.model) | prefixed("control", part("control", server.memory))

    def course(self, received: Arrays, memory: Arrays) -> Course:
        """Return the way along g - c_k + c."""
        model, control = part("model", received), part("control", received)
        return Course(model, offset=difference(control, memory or zeros(model)))

    def conclude(self, received: Arrays, memory: Arrays, trained: Arrays, num_steps: int) -> tuple[Arrays, Arrays]:
        """Return y_k - x and c_k+ - c_k, and c_k+ to remember."""
        model, control = part("model", received), part("control", received)
        own, per_step = memory or zeros(model), 1 / (num_steps * self.learning_rate)
        new = combine(model, (1.0, own), (-1.0, control), (per_step, model), (-per_step, trained))
        return prefixed("model", difference(trained, model)) | prefixed("control", difference(new, own)), new

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:
        """Return x and c after the means of what the clients sent."""
        model = add(server.model, part("model", mean), self.server_learning_rate)
        return replace(server, model=model, memory=server.memory | moved_control(server, mean, reports))


def all_samples(num_samples: Sequence[int]) -> Arrays:
    """Return the samples of all clients together as server memory, for ``sample_share``."""
    import numpy as np

    assert num_samples, "this algorithm needs to know the samples of every client, participant or not"
    return {"num_samples": np.array(sum(num_samples))}


def sample_share(server: Server, reports: Sequence[Report]) -> float:
    """Return which part of all samples the participants hold, |S| / N for clients of equal size."""
    return sum(report.num_samples for report in reports) / float(server.memory["num_samples"])


def moved_control(server: Server, mean: Arrays, reports: Sequence[Report]) -> Arrays:
    """Return the server's control variate, under its names in memory, after the mean change of the participants'."""
    control = add(part("control", server.memory), part("control", mean), sample_share(server, reports))
    return prefixed("control", control)
