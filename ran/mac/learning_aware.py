"""Learning-aware: finish a round early, by letting all updates of the round arrive together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.mac.max_min import fill_progressively
from ran.mac.proportional_fair import forget
from ran.mac.scheduler import SCHEDULERS, Observation, Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# One subframe (TS 38.211 clause 4.3.1): the time that a missed deadline counts as, so that it is urgent, not infinite.
_SUBFRAME_S = 1e-3


@SCHEDULERS.register("learning_aware")
class LearningAware(Scheduler):
    """Progressive filling of mean_u / demand_u, demand_u = remaining_u / time_u: who lags most behind comes first.

    A round ends with its last update. Where rates are concave in bandwidth (a UE out of power gains little from more)
    the earliest end is the one that all reach together, with rates in proportion to what remains (Shi et al., IEEE TWC
    20(1), 2021; Yang et al., IEEE TWC 20(3), 2021). Groups are dealt one by one as in ``max_min``, so that a slot is
    shared, and power-limited UEs send all the time on few groups instead of now and then on all. The mean is that of
    the bits that arrived: errors and rates that differ from the report correct themselves.

    time_u is what is left until the bearer's deadline, at least 1 ms. Without one it is T / (1 + age_u / T), with
    T = ``age_scale_s`` and age_u for how long the oldest data have been ready: the staler an update, the less it is
    worth (age of update, H. H. Yang et al., ICASSP 2020). In a synchronous round the ages differ too little to matter.
    Keep other traffic in a slice of its own: its queues would look like updates.
    """

    window_slots: float = Field(
        default=10.0, gt=1.0, le=1e6, description="memory of the average, slots: between grants, not over the round"
    )
    age_scale_s: float = Field(default=10.0, gt=0.0, le=1e6, description="age that doubles an update's urgency, s")

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the averages before the first slot, bits per slot, [batch, num_ues]."""
        import numpy as np

        return np.ones((batch, num_ues))

    def update(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the averages with what the last slot served."""
        forget(state, observation.served_bits, 1.0 / self.window_slots)
        return state

    def demand(self, observation: Observation) -> NDArray[np.float64]:
        """Return the rate that each update needs, bytes per second, positive, [batch, num_ues]."""
        import numpy as np

        bearer = observation.bearer
        patience_s = self.age_scale_s / (1.0 + np.maximum(observation.head_delay_s(), 0.0) / self.age_scale_s)
        left_s = np.maximum(bearer["deadline_s"] - observation.now_s, _SUBFRAME_S)
        needed: NDArray[np.float64] = np.maximum(observation.remaining_bytes(), 1) / np.where(
            np.isinf(left_s), patience_s, left_s
        )
        return needed

    def weight(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return demand / mean^2, the derivative of -sum demand / mean: the sum of the times still to go."""
        return self.demand(observation) / state**2

    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the grant and the averages."""
        state = self.update(observation, state)
        level = (self.window_slots - 1.0) * state
        return fill_progressively(observation, level, self.demand(observation)), state
