"""The interface of a scheduler: who gets which resource block group of one slot."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Observation:
    """What a scheduler may know at the start of a slot.

    Attributes:
        backlog_bytes: bytes waiting per UE, retransmissions included, int64 [batch, num_ues].
        rate_bits: bits that one resource block group would carry for a UE by its reported channel,
            float32 [batch, num_ues, num_rbgs].
        mean_rate_bits: exponentially averaged bits per slot that a UE was served, float64 [batch, num_ues].
        serving_cell: int32 [batch, num_ues].
        reserved: resource block groups already taken by HARQ retransmissions, owner UE or -1,
            int32 [batch, num_cells, num_rbgs].
        slot: index of the slot.
    """

    backlog_bytes: NDArray[np.int64]
    rate_bits: NDArray[np.float32]
    mean_rate_bits: NDArray[np.float64]
    serving_cell: NDArray[np.int32]
    reserved: NDArray[np.int32]
    slot: int


class Scheduler(Component):
    """Assigns every resource block group of every cell to at most one of the cell's UEs."""

    @abstractmethod
    def start(self, num_replicas: int, num_cells: int, num_ues: int) -> Any:
        """Return the scheduler's own state before the first slot."""

    @abstractmethod
    def decide(self, observation: Observation, state: Any) -> tuple[NDArray[np.int32], Any]:
        """Return the owner UE of every group, or -1, int32 [batch, num_cells, num_rbgs], and the next state."""


SCHEDULERS: Registry[Scheduler] = Registry("scheduler", Scheduler)
