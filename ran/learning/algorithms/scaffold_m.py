"""SCAFFOLD-M: control variates and momentum in the local steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ran.learning.algorithms.algorithm import ALGORITHMS, Server, add, combine, difference, part, prefixed, zeros
from ran.learning.algorithms.course import Course
from ran.learning.algorithms.fedavg_m import mean_steps
from ran.learning.algorithms.plain_sgd import PlainSgd
from ran.learning.algorithms.scaffold import all_samples, moved_control

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("scaffold_m")
class ScaffoldM(PlainSgd):
    """SCAFFOLD whose clients step along beta (g - c_k + c) + (1 - beta) g_bar (Cheng et al., arXiv 2306.16504).

    g_bar is the mean direction of the round before, as in fedavg_m; c_k+ is the mean of the client's own gradients,

        c_k+ = c_k - c + ((x - y) / (K_k rate) - (1 - beta) g_bar) / beta.

    c and weights are as in scaffold, which beta = 1 is. Three arrays for every parameter go down, two come up. As in
    fedavg_m, g_bar takes some 1 / beta rounds to build up.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "superpose"
    keeps: ClassVar[Literal["always", "delivered"]] = "delivered"

    beta: float = Field(default=0.1, gt=0, le=1, description="share of the own direction in a step; 1 is scaffold")
    server_learning_rate: float = Field(default=1.0, gt=0, le=100, description="factor of the mean update")

    def start(self, model: Arrays, num_samples: Sequence[int] = ()) -> Server:
        """Return the server with zero control and direction; ``num_samples`` of every client must be given."""
        still = prefixed("control", zeros(model)) | prefixed("direction", zeros(model))
        return Server(model, still | all_samples(num_samples))

    def broadcast(self, server: Server) -> Arrays:
        """Return the model, the server's control variate and the direction g_bar."""
        control, direction = part("control", server.memory), part("direction", server.memory)
        return prefixed("model", server.model) | prefixed("control", control) | prefixed("direction", direction)

    def course(self, received: Arrays, memory: Arrays) -> Course:
        """Return the way along beta (g - c_k + c) + (1 - beta) g_bar."""
        model, control, direction = (part(prefix, received) for prefix in ("model", "control", "direction"))
        own = memory or zeros(model)
        offset = combine(model, (self.beta, control), (-self.beta, own), (1 - self.beta, direction))
        return Course(model, scale=self.beta, offset=offset)

    def conclude(self, received: Arrays, memory: Arrays, trained: Arrays, num_steps: int) -> tuple[Arrays, Arrays]:
        """Return y_k - x and c_k+ - c_k, and c_k+ to remember."""
        model, control, direction = (part(prefix, received) for prefix in ("model", "control", "direction"))
        own, per_step = memory or zeros(model), 1 / (num_steps * self.learning_rate * self.beta)
        new = combine(
            model, (1.0, own), (-1.0, control), (per_step, model), (-per_step, trained), (1 - 1 / self.beta, direction)
        )
        return prefixed("model", difference(trained, model)) | prefixed("control", difference(new, own)), new

    def server_step(self, server: Server, mean: Arrays, reports: Sequence[Report]) -> Server:
        """Return x, c and g_bar after the means of what the clients sent."""
        update = part("model", mean)
        direction = combine(server.model, (-1 / (self.learning_rate * mean_steps(reports)), update))
        memory = server.memory | moved_control(server, mean, reports) | prefixed("direction", direction)
        return replace(server, model=add(server.model, update, self.server_learning_rate), memory=memory)
