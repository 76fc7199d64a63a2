"""Round robin: equal shares of the resource block groups, the first UE rotating from slot to slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channel.compiled import compiled
from ran.mac.scheduler import SCHEDULERS, Observation, Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@SCHEDULERS.register("round_robin")
class RoundRobin(Scheduler):
    """Deal groups to the waiting UEs in turn, whatever their channel."""

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:
        """Return the position in each cell's ring of UEs, [batch, num_cells]."""
        import numpy as np

        return np.zeros((batch, num_cells))

    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the grant and the advanced positions."""
        owner = observation.reserved
        members, need = observation.workspace()
        _deal(observation.backlog_bytes, observation.rate_bits, observation.serving_cell, members, need, owner, state)
        return owner, state


@compiled
def _deal(backlog, rate, serving_cell, members, need, owner, position):  # type: ignore[no-untyped-def]
    batch, cells, groups = owner.shape
    ues = backlog.shape[1]
    for b in range(batch):
        members[:, 0] = 0
        for u in range(ues):
            need[u] = 8.8 * backlog[b, u]
            if need[u] > 0.0:
                row = members[serving_cell[b, u]]
                row[0] += 1
                row[row[0]] = u
        for c in range(cells):
            ring = members[c, 1:]
            size = members[c, 0]
            if size == 0:
                continue
            # The ring is ordered by UE index; dealing resumes with the first UE at or after the stored one.
            turn = 0
            while turn < size and ring[turn] < position[b, c]:
                turn += 1
            for r in range(groups):
                if owner[b, c, r] >= 0:
                    continue
                for _ in range(size):
                    u = ring[turn % size]
                    turn += 1
                    if need[u] > 0.0:
                        owner[b, c, r] = u
                        need[u] -= max(rate[b, u, r], 1.0)
                        position[b, c] = (u + 1) % ues
                        break
