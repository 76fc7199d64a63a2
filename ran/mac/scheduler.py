"""The interface of a scheduler: who gets which resource block group of one slot."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from channel.compiled import compiled
from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Observation:
    """What a scheduler may know at the start of a slot.

    Attributes:
        backlog_bytes: bytes that may start a new block, int64 [batch, num_ues]; 0 excludes a UE.
        rate_bits: bits that one resource block group would carry for a UE by its reported channel,
            float32 [batch, num_ues, num_rbgs].
        served_bits: bits that arrived for a UE in the last slot of this direction, int64 [batch, num_ues].
        serving_cell: int32 [batch, num_ues].
        reserved: groups that may be granted are -1; others have an owner by HARQ retransmission or belong to another
            slice (-2), int32 [batch, num_cells, num_rbgs].
        slot: index of the slot.
        now_s: virtual time at the slot's start, s.
        bearer: BEARER_DTYPE (see ``ran.state``) [batch, num_ues]: bytes enqueued and delivered, since when the oldest
            wait (``head_s``, NaN for none), until when they are wanted (``deadline_s``), delay budget and priority.
    """

    backlog_bytes: NDArray[np.int64]
    rate_bits: NDArray[np.float32]
    served_bits: NDArray[np.int64]
    serving_cell: NDArray[np.int32]
    reserved: NDArray[np.int32]
    slot: int
    now_s: float
    bearer: NDArray[Any]

    def waiting(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return who waits in each cell, and for how many bits, for schedulers that serve until the backlog is covered.

        int32 [batch, num_cells, num_ues + 1]: the number of waiting UEs, then their indices in ascending order; and
        float64 [batch, num_ues]: bits wanted, a tenth more than the backlog for headers and padding.
        """
        import numpy as np

        batch, num_ues = self.backlog_bytes.shape
        members = np.empty((batch, self.reserved.shape[1], num_ues + 1), np.int32)
        need_bits = np.empty((batch, num_ues))
        _list_waiting(self.backlog_bytes, self.serving_cell, members, need_bits)
        return members, need_bits

    def grant_by(self, weight: NDArray[np.float64]) -> NDArray[np.int32]:
        """Return the grant that gives every free group to the waiting UE of largest ``weight x rate_bits`` there.

        ``weight`` is float64 [batch, num_ues], positive. A UE stops receiving groups once its backlog is covered.
        """
        members, need_bits = self.waiting()
        _allocate(members, need_bits, self.rate_bits, weight, self.reserved)
        return self.reserved

    def head_delay_s(self) -> NDArray[np.float64]:
        """Return for how long the oldest data of every UE have waited, s, [batch, num_ues]; 0 where none do."""
        import numpy as np

        return np.nan_to_num(self.now_s - self.bearer["head_s"])

    def remaining_bytes(self) -> NDArray[np.int64]:
        """Return the bytes that have not arrived yet, [batch, num_ues]."""
        remaining: NDArray[np.int64] = self.bearer["enqueued"] - self.bearer["delivered"] - self.bearer["lost"]
        return remaining


@compiled
def _list_waiting(backlog, serving_cell, members, need):  # type: ignore[no-untyped-def]
    batch, ues = backlog.shape
    for b in range(batch):
        members[b, :, 0] = 0
        for u in range(ues):
            need[b, u] = 8.8 * backlog[b, u]
            if backlog[b, u] > 0:
                row = members[b, serving_cell[b, u]]
                row[0] += 1
                row[row[0]] = u


@compiled
def _allocate(members, need, rate, weight, owner):  # type: ignore[no-untyped-def]
    batch, cells, groups = owner.shape
    for b in range(batch):
        for c in range(cells):
            for r in range(groups):
                if owner[b, c, r] != -1:
                    continue
                best = -1
                best_metric = 0.0
                for i in range(1, members[b, c, 0] + 1):
                    u = members[b, c, i]
                    if need[b, u] > 0.0:
                        metric = rate[b, u, r] * weight[b, u]
                        if metric > best_metric:
                            best = u
                            best_metric = metric
                if best >= 0:
                    owner[b, c, r] = best
                    need[b, best] -= rate[b, best, r]


class Scheduler(Component):
    """Assigns every resource block group of every cell to at most one of the cell's UEs.

    Most schedulers are a ``weight``: what a bit is worth to each UE now. Others write ``decide`` themselves.
    """

    across_slices: ClassVar[bool] = False
    """Whether it decides for all slices at once where none has another scheduler, whatever their shares."""

    @abstractmethod
    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:
        """Return the scheduler's own state before the first slot, an array of any shape [batch, ...]."""

    def update(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the state after what the last slot delivered; called once a slot. ``state`` may be changed."""
        return state

    def weight(self, observation: Observation, state: NDArray[np.float64]) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the value of a bit for every UE, positive, float64 [batch, num_ues]; pairing maximises it too."""
        import numpy as np

        return np.ones(observation.backlog_bytes.shape)

    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the owner UE of every group, or a negative number, int32 [batch, num_cells, num_rbgs]; and the state.

        Only groups of which ``observation.reserved`` is -1 may change. Both arrays may be filled in place.
        """
        state = self.update(observation, state)
        return observation.grant_by(self.weight(observation, state)), state


SCHEDULERS: Registry[Scheduler] = Registry("scheduler", Scheduler)
