"""Max-min fairness: whoever has received least comes first, and takes the group that suits it best."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from channel.compiled import compiled
from ran.mac.proportional_fair import forget
from ran.mac.scheduler import SCHEDULERS, Observation, Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@SCHEDULERS.register("max_min")
class MaxMin(Scheduler):
    """Equalise throughput by progressive filling (Bertsekas & Gallager, Data Networks, 1992, clause 6.5.2).

    Again and again the waiting UE u of smallest (W - 1) mean_u + granted_u takes the free group that suits it best:
    mean over a sliding window of W slots, granted so far in this slot, in bits. A UE whose rate is zero in every free
    group takes none; one whose rate is merely low slows down everyone in its cell.
    """

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
        """Return the derivative of the steepest fair utility that pairs well, 1 / mean^2 (Mo & Walrand 2000)."""
        return state**-2.0

    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the grant and the averages."""
        import numpy as np

        state = self.update(observation, state)
        level = (self.window_slots - 1.0) * state
        return fill_progressively(observation, level, np.ones(level.shape)), state


def fill_progressively(
    observation: Observation, level: NDArray[np.float64], demand: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Return the grant in which the waiting UE of lowest ``level / demand`` always takes the next group.

    It takes the free group g of highest rate_u(g) / sum_v rate_v(g) / mean rate_v, v over the cell's waiting UEs: where
    it is better than at other groups, and than the others are there. Rhee & Cioffi (VTC 2000) take the highest rate;
    what the others lose by that makes the common level lower.

    Args:
        observation: the slot; its free groups are given away.
        level: bits that each UE has had, [batch, num_ues], raised in place by what it is granted.
        demand: positive, [batch, num_ues]; levels grow in proportion to it.
    """
    import numpy as np

    members, need_bits = observation.waiting()
    rate, owner = observation.rate_bits, observation.reserved
    wanted = np.empty(owner.shape)
    _rate_groups(members, rate, wanted)
    _fill(members, need_bits, rate, level, demand, wanted, owner)
    return owner


@compiled
def _rate_groups(members, rate, wanted):  # type: ignore[no-untyped-def]
    batch, cells, groups = wanted.shape
    for b in range(batch):
        for c in range(cells):
            wanted[b, c] = 0.0
            for i in range(1, members[b, c, 0] + 1):
                u = members[b, c, i]
                total = 0.0
                for r in range(groups):
                    total += rate[b, u, r]
                if total > 0.0:
                    for r in range(groups):
                        wanted[b, c, r] += rate[b, u, r] / total


@compiled
def _fill(members, need, rate, level, demand, wanted, owner):  # type: ignore[no-untyped-def]
    batch, cells, groups = owner.shape
    for b in range(batch):
        for c in range(cells):
            free = 0
            for r in range(groups):
                free += owner[b, c, r] == -1
            while free > 0:
                poorest = -1
                for i in range(1, members[b, c, 0] + 1):
                    u = members[b, c, i]
                    if need[b, u] > 0.0 and (
                        poorest < 0 or level[b, u] * demand[b, poorest] < level[b, poorest] * demand[b, u]
                    ):
                        poorest = u
                if poorest < 0:
                    break
                best = -1
                highest = 0.0
                for r in range(groups):
                    if owner[b, c, r] == -1 and rate[b, poorest, r] > highest * wanted[b, c, r]:
                        best = r
                        highest = rate[b, poorest, r] / wanted[b, c, r]
                if best < 0:
                    need[b, poorest] = 0.0
                    continue
                owner[b, c, best] = poorest
                free -= 1
                level[b, poorest] += rate[b, poorest, best]
                need[b, poorest] -= rate[b, poorest, best]
