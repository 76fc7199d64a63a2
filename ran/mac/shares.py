"""Shares that others have set: every UE gets its part of the band, slot by slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channel.compiled import compiled
from ran.mac.scheduler import SCHEDULERS, Observation, Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@SCHEDULERS.register("shares")
class Shares(Scheduler):
    """Deal groups to the waiting UEs of a cell in proportion to the shares that their data were given.

    Deficit counters: a waiting UE earns its share, of those that wait, of every slot's free groups, and pays for those
    that it gets; the next group goes to whom most is owed. So shares hold on average also where they are less than a
    group of a slot, and what one UE leaves goes to the others. Shares come with an update from
    `learning.participation: policy`; data without one count as those with the mean share.
    """

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the groups that each UE is owed, [batch, num_ues]."""
        import numpy as np

        return np.zeros((batch, num_ues))

    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the grant and what is owed now."""
        owner = observation.reserved
        members, need_bits = observation.waiting()
        _share_out(members, need_bits, observation.rate_bits, observation.bearer["share"], owner, state)
        return owner, state


# A UE that could not use its share for long is not owed more than so many slots.
_MOST_OWED = 2.0


@compiled
def _share_out(members, need, rate, share, owner, owed):  # type: ignore[no-untyped-def]
    batch, cells, groups = owner.shape
    for b in range(batch):
        for u in range(owed.shape[1]):
            if need[b, u] == 0.0:
                owed[b, u] = 0.0
        for c in range(cells):
            free = 0
            for r in range(groups):
                free += owner[b, c, r] == -1
            total = 0.0
            said = 0
            for i in range(1, members[b, c, 0] + 1):
                total += share[b, members[b, c, i]]
                said += share[b, members[b, c, i]] > 0.0
            usual = total / said if said > 0 else 1.0
            total += usual * (members[b, c, 0] - said)
            for i in range(1, members[b, c, 0] + 1):
                u = members[b, c, i]
                mine = share[b, u] if share[b, u] > 0.0 else usual
                owed[b, u] = min(max(owed[b, u] + free * mine / total, -_MOST_OWED * groups), _MOST_OWED * groups)
            for r in range(groups):
                if owner[b, c, r] != -1:
                    continue
                best = -1
                for i in range(1, members[b, c, 0] + 1):
                    u = members[b, c, i]
                    if need[b, u] > 0.0 and (best < 0 or owed[b, u] > owed[b, best]):
                        best = u
                if best >= 0:
                    owner[b, c, r] = best
                    need[b, best] -= max(rate[b, best, r], 1.0)
                    owed[b, best] -= 1.0
