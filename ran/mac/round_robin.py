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
        members, need_bits = observation.waiting()
        _deal(members, need_bits, observation.rate_bits, owner, state)
        return owner, state


@compiled
def _deal(members, need, rate, owner, position):  # type: ignore[no-untyped-def]
    batch, cells, groups = owner.shape
    for b in range(batch):
        for c in range(cells):
            size = members[b, c, 0]
            if size == 0:
                continue
            ring = members[b, c, 1 : size + 1]
            # The ring is in order of UE index; dealing resumes with the first UE at or after the stored one.
            turn = 0
            while turn < size and ring[turn] < position[b, c]:
                turn += 1
            for r in range(groups):
                if owner[b, c, r] != -1:
                    continue
                for _ in range(size):
                    u = ring[turn % size]
                    turn += 1
                    if need[b, u] > 0.0:
                        owner[b, c, r] = u
                        need[b, u] -= max(rate[b, u, r], 1.0)
                        position[b, c] = u + 1
                        break
