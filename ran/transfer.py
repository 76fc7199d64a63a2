"""A payload on its way, what came of it, and what a set of them cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.network import DIRECTIONS, Direction
from ran.state import TALLY_DTYPE

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEARNING_SLICE = 0
"""Bearer of every transfer."""


@dataclass(frozen=True)
class Transfer:
    """A payload of bytes for one UE (downlink) or from it (uplink), ready to go at ``release_s``.

    Attributes:
        deadline_s: when it is wanted; schedulers may know, nothing else depends on it.
        backoff_db: how far below its most power the UE stays with it (uplink), dB.
        share: of the band that it is to have, on any common scale, for schedulers that share by it; 0: nobody said.
    """

    ue: int
    direction: Direction
    payload: bytes
    release_s: float
    deadline_s: float = math.inf
    backoff_db: float = 0.0
    share: float = 0.0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as named arrays, for a checkpoint."""
        numbers = [
            self.ue, DIRECTIONS.index(self.direction), self.release_s, self.deadline_s, self.backoff_db, self.share
        ]  # fmt: skip
        return {"payload": np.frombuffer(self.payload, np.uint8), "numbers": np.array(numbers, np.float64)}

    @staticmethod
    def of(arrays: dict[str, NDArray[Any]]) -> Transfer:
        """Return the transfer that ``arrays`` described."""
        ue, way, *rest = arrays["numbers"].tolist()
        return Transfer(int(ue), DIRECTIONS[int(way)], arrays["payload"].tobytes(), *rest)


@dataclass(frozen=True)
class Delivery:
    """A transfer that ended: the bytes that came out, or None where the link was given up.

    Attributes:
        start_s: end of the slot before its first; done_s: end of its last slot, virtual seconds.
        gaps: ranges (start, stop) of the payload that were lost (RLC UM); zero, unless a recovery says otherwise.
        lost_bytes: of the payload, in gaps or recovered since; 0 before any recovery has looked at it.
        parity_bytes: that came beside the payload to recover lost ones.
    """

    ue: int
    direction: Direction
    payload: bytes | None
    start_s: float
    done_s: float
    gaps: tuple[tuple[int, int], ...] = ()
    lost_bytes: int = 0
    parity_bytes: int = 0

    @property
    def recovered_bytes(self) -> int:
        """Lost bytes of the payload that are no gap any more."""
        return self.lost_bytes - sum(stop - start for start, stop in self.gaps)


@dataclass(frozen=True)
class Exchange:
    """What a set of transfers cost.

    Attributes:
        deliveries: one per transfer, in the order given.
        downlink, uplink: TALLY_DTYPE [num_ues], of the learning slice.
        downlink_airtime_s, uplink_airtime_s: time in which any transfer used the direction.
        cell_active_s: time in which cells sent or received, summed over cells, by the slice's part of their PRBs.
        radiated_j: energy that the cells radiated for the slice.
        end_s: end of the last slot.
    """

    deliveries: list[Delivery]
    downlink: NDArray[Any]
    uplink: NDArray[Any]
    downlink_airtime_s: float = 0.0
    uplink_airtime_s: float = 0.0
    cell_active_s: float = 0.0
    radiated_j: float = 0.0
    end_s: float = 0.0


def difference(after: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
    """Return what structured counters grew by."""
    grown = np.empty_like(after)
    for name in after.dtype.names or ():
        grown[name] = after[name] - before[name]
    return grown


def empty_tally(num_ues: int) -> NDArray[Any]:
    """Return a tally of nothing, TALLY_DTYPE [num_ues]."""
    return np.zeros(num_ues, TALLY_DTYPE)
