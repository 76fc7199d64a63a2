"""The packet ledger of one direction: explicit state from which delays, losses and queue lengths are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.traffic.delay_bins import NUM_BINS
from ran.traffic.ledger_kernels import head_delay_s, settle_slot

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKET_DTYPE = np.dtype(
    [
        ("arrival_s", "f8"),
        ("end", "i8"),  # offset of its last byte in the bearer's stream, plus 1
        ("left", "i8"),  # bytes that have neither arrived nor been given up
        ("lost", "i8"),  # bytes given up (RLC UM)
    ],
    align=True,
)

# The packets of a bearer that have not left lie in a ring.
QUEUE_DTYPE = np.dtype(
    [
        ("head", "i8"),  # where the oldest lies
        ("count", "i8"),
        ("since_s", "f8"),  # until when queue_packet_s is up to date
    ],
    align=True,
)

DELAY_DTYPE = np.dtype(
    [
        ("offered", "i8"),  # packets that arrived: delivered, lost, dropped or still waiting
        ("offered_bytes", "i8"),
        ("delivered", "i8"),  # packets that left whole
        ("lost", "i8"),  # packets that left with bytes missing (RLC UM)
        ("dropped", "i8"),  # packets that found the ring full
        ("arrived_bytes", "i8"),  # of all packets, also of those that will be lost
        ("lost_bytes", "i8"),
        ("dropped_bytes", "i8"),
        ("late", "i8"),  # delivered after the delay budget
        ("delay_sum_s", "f8"),  # over delivered packets, from arrival to in-order delivery
        ("delay_square_sum_s2", "f8"),
        ("delay_max_s", "f8"),
        ("sojourn_sum_s", "f8"),  # over delivered and lost packets
        ("queue_packet_s", "f8"),  # integral of the number of waiting packets over time
    ],
    align=True,
)

CAPACITY = 1024
"""Packets that one bearer may have waiting; what arrives beyond is dropped before RLC."""


@dataclass
class Ledger:
    """What became of every packet of one direction.

    Attributes:
        packet: PACKET_DTYPE [batch, num_ues, num_bearers, capacity].
        queue: QUEUE_DTYPE [batch, num_ues, num_bearers].
        delay: DELAY_DTYPE [batch, num_ues, num_bearers], counted since the start or ``recount``.
        histogram: delays of delivered packets by ``delay_bins``, int64 [batch, num_ues, num_bearers, NUM_BINS].
        position: window of arrivals and cursor within it, int64 [2].
    """

    packet: NDArray[Any]
    queue: NDArray[Any]
    delay: NDArray[Any]
    histogram: NDArray[np.int64]
    position: NDArray[np.int64]

    @staticmethod
    def start(batch: int, num_ues: int, num_bearers: int, *, capacity: int = CAPACITY) -> Ledger:
        """Return the ledger at time 0."""
        shape = (batch, num_ues, num_bearers)
        return Ledger(
            packet=np.zeros((*shape, capacity), PACKET_DTYPE),
            queue=np.zeros(shape, QUEUE_DTYPE),
            delay=np.zeros(shape, DELAY_DTYPE),
            histogram=np.zeros((*shape, NUM_BINS), np.int64),
            position=np.zeros(2, np.int64),
        )

    def settle(self, end_s: float, block: NDArray[Any], budget_s: NDArray[np.float64]) -> None:
        """Book the blocks of the slot that ends at ``end_s``.

        Args:
            end_s: when the bytes arrived, s.
            block: structured [batch, num_ues] with ``bearer``, ``start``, ``delivered`` and ``lost`` (bytes): a block
                is delivered or lost, or neither yet; both are 0 where a UE has none.
            budget_s: packet delay budgets, [num_ues, num_bearers].

        Raises:
            AssertionError: a byte is settled twice.
        """
        settle_slot(
            self.packet,
            self.queue,
            self.delay,
            self.histogram,
            budget_s,
            end_s,
            block["bearer"],
            block["start"],
            block["delivered"],
            block["lost"],
        )

    def head_delay_s(self, now_s: float) -> NDArray[np.float64]:
        """Return the age of every bearer's oldest packet, 0 where none waits, s, [batch, num_ues, num_bearers]."""
        age_s = np.empty(self.queue.shape)
        head_delay_s(now_s, self.packet, self.queue, age_s)
        return age_s

    def waiting_s(self, now_s: float) -> NDArray[np.float64]:
        """Return the summed ages of all waiting packets, s, [batch, num_ues, num_bearers].

        What Little's law still owes: queue_packet_s = sojourn_sum_s + waiting_s at any moment since the start.
        """
        capacity = self.packet.shape[-1]
        place = (np.arange(capacity) - self.queue["head"][..., None]) % capacity
        waiting = place < self.queue["count"][..., None]
        ages_s: NDArray[np.float64] = np.where(waiting, now_s - self.packet["arrival_s"], 0.0).sum(-1)
        return ages_s

    def count_until(self, now_s: float) -> NDArray[Any]:
        """Bring the queue integral up to ``now_s`` and return the counters, DELAY_DTYPE."""
        self.delay["queue_packet_s"] += self.queue["count"] * (now_s - self.queue["since_s"])
        self.queue["since_s"] = now_s
        return self.delay

    def recount(self, now_s: float) -> None:
        """Start all counters again from ``now_s`` (after a warm-up); waiting packets stay, with their arrivals."""
        self.count_until(now_s)
        self.delay = np.zeros_like(self.delay)
        self.histogram = np.zeros_like(self.histogram)

    def copy(self) -> Ledger:
        """Return an independent copy."""
        return Ledger(**{name: array.copy() for name, array in self.arrays().items()})

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for a checkpoint."""
        return {
            "packet": self.packet,
            "queue": self.queue,
            "delay": self.delay,
            "histogram": self.histogram,
            "position": self.position,
        }

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned."""
        for name in self.arrays():
            setattr(self, name, arrays[name])
