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
    """Maximise sum log rate: argmax_u rate_u(group) / mean_u, mean over a sliding window (Jalali et al. 2000).

    A UE's first mean is its rate over the whole band, divided by the UEs that wait in its cell: a fair share from the
    first slot on, instead of a start in which strangers to the window take turns.
    """

    window_slots: float = Field(default=100.0, gt=1.0, le=1e6, description="memory of the average, slots")

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the averages before the first slot, bits per slot, [batch, num_ues]: 0 stands for none yet."""
        import numpy as np

        return np.zeros((batch, num_ues))

    def update(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the averages with what the last slot served."""
        return advance(observation, state, self.window_slots)

    def weight(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the derivative of log rate, 1 / mean; that of a UE which never waited does not matter."""
        import numpy as np

        return 1.0 / np.maximum(state, LEAST_MEAN)


def advance(observation: Observation, state: NDArray[np.float64], window_slots: float) -> NDArray[np.float64]:
    """Return the averages, in place, with what the last slot served, begun for UEs that wait for the first time."""
    forget(state, observation.served_bits, 1.0 / window_slots)
    begin(state, observation.backlog_bytes, observation.rate_bits, observation.serving_cell)
    return state


LEAST_MEAN = 1e-3
"""Smallest average of a UE that has waited, bits per slot."""


@compiled
def forget(mean, served, share):  # type: ignore[no-untyped-def]
    """Move averages that have begun towards the last slot's bits by ``share``, in place."""
    batch, ues = mean.shape
    for b in range(batch):
        for u in range(ues):
            if mean[b, u] > 0.0:
                mean[b, u] = max((1.0 - share) * mean[b, u] + share * served[b, u], LEAST_MEAN)


@compiled
def begin(mean, backlog, rate, serving_cell):  # type: ignore[no-untyped-def]
    """Give UEs that wait for the first time an average: the band's rate over the UEs that wait in the cell."""
    batch, ues, groups = rate.shape
    for b in range(batch):
        for u in range(ues):
            if mean[b, u] > 0.0 or backlog[b, u] <= 0:
                continue
            waiting = 0
            for v in range(ues):
                if backlog[b, v] > 0 and serving_cell[b, v] == serving_cell[b, u]:
                    waiting += 1
            band = 0.0
            for r in range(groups):
                band += rate[b, u, r]
            mean[b, u] = max(band / waiting, LEAST_MEAN)
