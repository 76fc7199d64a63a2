"""The interface of a scheduler: who gets which resource block group of one slot."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    def workspace(self) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
        """Return scratch for compiled schedulers: member lists with their length first, and a number per UE.

        Shapes [num_cells, num_ues + 1] and [num_ues].
        """
        import numpy as np

        num_ues = self.backlog_bytes.shape[1]
        return np.empty((self.reserved.shape[1], num_ues + 1), np.int32), np.empty(num_ues)


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
