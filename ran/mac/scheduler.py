"""The interface of a scheduler: who gets which resource block group of one slot."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
        reserved: owner of groups taken by HARQ retransmissions, or -1, int32 [batch, num_cells, num_rbgs].
        slot: index of the slot.
    """

    backlog_bytes: NDArray[np.int64]
    rate_bits: NDArray[np.float32]
    served_bits: NDArray[np.int64]
    serving_cell: NDArray[np.int32]
    reserved: NDArray[np.int32]
    slot: int

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


class Scheduler(Component):
    """Assigns every resource block group of every cell to at most one of the cell's UEs."""

    @abstractmethod
    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:
        """Return the scheduler's own state before the first slot, an array of any shape [batch, ...]."""

    @abstractmethod
    def decide(
        self, observation: Observation, state: NDArray[np.float64]
    ) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return the owner UE of every group, or -1, int32 [batch, num_cells, num_rbgs], and the next state.

        Groups that ``observation.reserved`` gives away keep their owner. Both arrays may be filled in place.
        """


SCHEDULERS: Registry[Scheduler] = Registry("scheduler", Scheduler)
