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

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:
        """Return the averages before the first slot, bits per slot, [batch, num_ues]."""
        import numpy as np

        return np.ones((batch, num_ues))

    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the grant and the updated averages; a UE stops receiving groups once its backlog is covered."""
        owner = observation.reserved
        members, need_bits = observation.waiting()
        share = 1.0 / self.window_slots
        _allocate(members, need_bits, observation.rate_bits, observation.served_bits, share, owner, state)
        return owner, state


@compiled
def _allocate(members, need, rate, served, share, owner, mean):  # type: ignore[no-untyped-def]
    batch, cells, groups = owner.shape
    for b in range(batch):
        for u in range(mean.shape[1]):
            mean[b, u] = max((1.0 - share) * mean[b, u] + share * served[b, u], 1e-3)
        for c in range(cells):
            for r in range(groups):
                if owner[b, c, r] >= 0:
                    continue
                best = -1
                best_metric = 0.0
                for i in range(1, members[b, c, 0] + 1):
                    u = members[b, c, i]
                    if need[b, u] > 0.0:
                        metric = rate[b, u, r] / mean[b, u]
                        if metric > best_metric:
                            best = u
                            best_metric = metric
                if best >= 0:
                    owner[b, c, r] = best
                    need[b, best] -= rate[b, best, r]
