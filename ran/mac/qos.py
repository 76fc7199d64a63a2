"""Quality of service: proportional fairness, bent towards data that near their delay budget and urgent bearers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pydantic import Field

from ran.mac.proportional_fair import LEAST_MEAN, advance
from ran.mac.scheduler import SCHEDULERS, Observation, Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@SCHEDULERS.register("qos")
class Qos(Scheduler):
    """Modified largest weighted delay first with 5QI priorities: argmax_u (1 + a_u W_u) / P_u * rate_u / mean_u.

    M-LWDF (Andrews et al., IEEE Comm. Mag. 39(2), 2001; in the form that divides by throughput: Capozzi et al., IEEE
    Comm. Surveys 15(2), 2013) multiplies the proportional fair metric by a_u W_u. W_u is for how long the oldest data
    wait and a_u = -ln(delta) / budget_u, so that a delay above the budget is about as likely, delta, for everyone
    while the cell can carry what is offered. Three things are ours:

    - The 1: data that have just come, and bearers without packets (full buffer), count as in proportional fairness.
    - W_u stops at ``max_delay_s``. An overloaded elastic bearer waits ever longer, and would win over everyone.
    - P_u, the bearer's priority level: when not all budgets can be kept, low levels go first (TS 23.501 clause
      5.7.3.3). 5G-LENA (Koutlia et al., WNS3 2023) weighs by 100 - P_u, which is negative above 100; 1 / P_u orders
      alike.
    """

    delta: float = Field(default=0.05, gt=0.0, lt=1.0, description="probability allowed of exceeding the delay budget")
    window_slots: float = Field(default=100.0, gt=1.0, le=1e6, description="memory of the average, slots")
    max_delay_s: float = Field(default=0.3, gt=0.0, le=1e3, description="wait beyond which urgency grows no more, s")

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the averages before the first slot, bits per slot, [batch, num_ues]: 0 stands for none yet."""
        import numpy as np

        return np.zeros((batch, num_ues))

    def update(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the averages with what the last slot served, those of ``proportional_fair``."""
        return advance(observation, state, self.window_slots)

    def weight(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return (1 + a W) / (P mean)."""
        import numpy as np

        bearer = observation.bearer
        wait_s = np.clip(observation.head_delay_s(), 0.0, self.max_delay_s)
        urgency: NDArray[np.float64] = 1.0 - math.log(self.delta) * wait_s / bearer["budget_s"]
        return urgency / (bearer["priority"] * np.maximum(state, LEAST_MEAN))
