"""Explicit state of the radio: what a slot reads and writes, as plain structured arrays.

Structured arrays cross into compiled code in half a microsecond, copy with one call and go to disk as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Most byte ranges that one UE may wait to retransmit; when full, HARQ goes on instead of giving up.
NACK_CAPACITY = 64

FLOW_DTYPE = np.dtype(
    [
        ("enqueued", "i8"),  # bytes ever handed to RLC
        ("sent", "i8"),  # bytes sent at least once
        ("delivered", "i8"),  # bytes that arrived, each counted once
        ("nack_count", "i8"),  # ranges waiting for RLC retransmission
        ("last_mcs", "i8"),  # last choice of link adaptation
        ("olla_db", "f8"),  # outer-loop offset added to the reported SINR
        ("served_bits", "i8"),  # transport block bits that arrived in the last slot
    ],
    align=True,
)

IDLE, WAITING, PENDING = 0, 1, 2

HARQ_DTYPE = np.dtype(
    [
        ("due_slot", "i8"),  # when the feedback of the last attempt arrives
        ("first_slot", "i8"),  # slot of the first attempt
        ("start", "i8"),  # first SDU byte carried
        ("payload", "i8"),  # SDU bytes carried
        ("sinr", "f8"),  # summed effective SINR of the attempts (chase combining)
        ("tb_bits", "i4"),
        ("prbs", "i4"),
        ("mcs", "i4"),
        ("kind", "i4"),  # which RE-per-PRB count the block was sized for
        ("attempts", "i4"),
        ("status", "i4"),  # IDLE, WAITING (for feedback) or PENDING (to be sent again)
        ("ack", "i4"),
    ],
    align=True,
)

NACK_DTYPE = np.dtype([("start", "i8"), ("payload", "i8"), ("ready_slot", "i8")], align=True)

BLOCK_DTYPE = np.dtype(
    [
        ("start", "i8"),  # first SDU byte carried
        ("payload", "i8"),  # SDU bytes carried
        ("delivered", "i8"),  # SDU bytes that arrived now
        ("sinr", "f8"),  # effective SINR of this attempt, linear
        ("combined_sinr", "f8"),  # after combining with earlier attempts
        ("error_rate", "f8"),
        ("prb_power_w", "f8"),  # transmit power per PRB
        ("header", "i4"),  # bytes of MAC and RLC headers
        ("tb_bits", "i4"),
        ("prbs", "i4"),
        ("mcs", "i4"),
        ("attempt", "i4"),  # 1 for the first transmission
        ("process", "i4"),
        ("ack", "i4"),
        ("again", "i4"),  # 1 where the payload is an RLC retransmission
    ],
    align=True,
)

TALLY_DTYPE = np.dtype(
    [
        ("air_bits", "i8"),  # transport block bits of all attempts
        ("delivered_bytes", "i8"),  # RLC SDU bytes that arrived
        ("header_bytes", "i8"),
        ("prb_slots", "i8"),
        ("prb_symbols", "i8"),  # PRBs x OFDM symbols on the air
        ("blocks", "i8"),  # first transmissions
        ("first_errors", "i8"),
        ("attempts", "i8"),
        ("failures", "i8"),  # blocks that HARQ gave up
        ("rlc_bytes", "i8"),  # SDU bytes sent again by RLC
        ("mcs_sum", "f8"),  # over first transmissions
        ("sinr_db_sum", "f8"),  # over first transmissions
        ("radiated_w_symbols", "f8"),  # power x OFDM symbols; times the symbol duration it is joules
        ("active_symbols", "i8"),
    ],
    align=True,
)


@dataclass
class LinkState:
    """Everything that one direction (downlink or uplink) remembers from slot to slot.

    Attributes:
        flow: FLOW_DTYPE [batch, num_ues].
        harq: HARQ_DTYPE [batch, num_ues, processes].
        nack: NACK_DTYPE [batch, num_ues, NACK_CAPACITY].
        tally: TALLY_DTYPE [batch, num_ues], counted since it was last zeroed.
        scheduler: the scheduler's own state.
    """

    flow: NDArray[Any]
    harq: NDArray[Any]
    nack: NDArray[Any]
    tally: NDArray[Any]
    scheduler: NDArray[Any]

    @staticmethod
    def start(batch: int, num_ues: int, processes: int, first_mcs: int, scheduler: NDArray[Any]) -> LinkState:
        """Return the state before the first slot."""
        flow = np.zeros((batch, num_ues), FLOW_DTYPE)
        flow["last_mcs"] = first_mcs
        return LinkState(
            flow=flow,
            harq=np.zeros((batch, num_ues, processes), HARQ_DTYPE),
            nack=np.zeros((batch, num_ues, NACK_CAPACITY), NACK_DTYPE),
            tally=np.zeros((batch, num_ues), TALLY_DTYPE),
            scheduler=scheduler,
        )

    def copy(self) -> LinkState:
        """Return an independent copy."""
        return LinkState(*(array.copy() for array in self.arrays().values()))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for a checkpoint."""
        return {
            "flow": self.flow,
            "harq": self.harq,
            "nack": self.nack,
            "tally": self.tally,
            "scheduler": self.scheduler,
        }
