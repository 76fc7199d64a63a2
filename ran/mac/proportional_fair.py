"""Proportional fair: each resource block group to the UE whose rate there is best beside its own average."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from channel.compiled import compiled
from ran.mac.scheduler import SCHEDULERS, Observation, Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@SCHEDULERS.register("proportional_fair")
class ProportionalFair(Scheduler):
    """Maximise sum log rate: argmax_u rate_u(group) / mean_u, mean over a sliding window (Jalali et al. 2000)."""

    window_slots: float = Field(default=100.0, gt=1.0, le=1e6, description="memory of the average, slots")

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the averages before the first slot, bits per slot, [batch, num_ues]."""
        import numpy as np

        return np.ones((batch, num_ues))

    def update(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the averages with what the last slot served."""
        forget(state, observation.served_bits, 1.0 / self.window_slots)
        return state

    def weight(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the derivative of log rate, 1 / mean."""
        return 1.0 / state


@compiled
def forget(mean, served, share):  # type: ignore[no-untyped-def]
    """Move averages towards the last slot's bits by ``share``, at least a thousandth of a bit, in place."""
    batch, ues = mean.shape
    for b in range(batch):
        for u in range(ues):
            mean[b, u] = max((1.0 - share) * mean[b, u] + share * served[b, u], 1e-3)
