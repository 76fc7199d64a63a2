"""Explicit state of the radio: what a slot reads and writes, as plain structured arrays.

Structured arrays cross into compiled code in half a microsecond, copy with one call and go to disk as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.plan import LinkPlan

# TS 23.501 table 5.7.4-1, 5QI 9: what a bearer is held to where nothing else is said.
DEFAULT_BUDGET_S, DEFAULT_PRIORITY = 0.3, 90.0

# Most byte ranges that one UE may wait to retransmit; when full, HARQ goes on instead of giving up.
NACK_CAPACITY = 64

# What one UE's link remembers, whatever the bearer.
UE_DTYPE = np.dtype(
    [
        ("nack_count", "i8"),  # ranges waiting for RLC retransmission
        ("last_mcs", "i8"),  # last choice of link adaptation
        ("resume_slot", "i8"),  # first slot after a handover interruption
        ("olla_db", "f8"),  # outer-loop offset added to the reported SINR
    ],
    align=True,
)

# A bearer: one UE's byte stream in one slice.
BEARER_DTYPE = np.dtype(
    [
        ("enqueued", "i8"),  # bytes ever handed to RLC
        ("sent", "i8"),  # bytes sent at least once
        ("delivered", "i8"),  # bytes that arrived, each counted once
        ("lost", "i8"),  # bytes given up (RLC UM)
        ("served_bits", "i8"),  # transport block bits that arrived in the last slot
        ("head_s", "f8"),  # when the oldest data that wait were handed over; NaN where none do
        ("deadline_s", "f8"),  # when they are wanted; inf where nobody said
        ("budget_s", "f8"),  # packet delay budget of the bearer's 5QI
        ("priority", "f8"),  # priority level of the bearer's 5QI; low is urgent
        ("backoff_db", "f8"),  # how far below its most power the UE stays with it (uplink)
        ("share", "f8"),  # of the band that it is to have, on any common scale; 0 where nobody said
        ("arrived_by_s", "f8"),  # when the last payload that arrived whole was wanted; 0 for none
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
        ("sinr", "f8"),  # summed effective SINR of the attempts
        ("tb_bits", "i4"),
        ("prbs", "i4"),
        ("mcs", "i4"),
        ("rank", "i4"),  # layers
        ("bearer", "i4"),
        ("kind", "i4"),  # row of the size tables: slot kind and layers
        ("attempts", "i4"),
        ("status", "i4"),  # IDLE, WAITING (for feedback) or PENDING (to be sent again)
        ("ack", "i4"),
    ],
    align=True,
)

NACK_DTYPE = np.dtype([("start", "i8"), ("payload", "i8"), ("ready_slot", "i8"), ("bearer", "i8")], align=True)

BLOCK_DTYPE = np.dtype(
    [
        ("start", "i8"),  # first SDU byte carried
        ("payload", "i8"),  # SDU bytes carried
        ("delivered", "i8"),  # SDU bytes that arrived now
        ("lost", "i8"),  # SDU bytes given up now (RLC UM)
        ("sinr", "f8"),  # effective SINR of this attempt, linear
        ("combined_sinr", "f8"),  # after combining with earlier attempts
        ("error_rate", "f8"),
        ("prb_power_w", "f8"),  # transmit power per PRB, all layers
        ("header", "i4"),  # bytes of MAC and RLC headers
        ("tb_bits", "i4"),
        ("prbs", "i4"),
        ("mcs", "i4"),
        ("rank", "i4"),  # layers
        ("bearer", "i4"),
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
        ("lost_bytes", "i8"),  # RLC SDU bytes given up
        ("rlc_bytes", "i8"),  # SDU bytes sent again by RLC
        ("mcs_sum", "f8"),  # over first transmissions
        ("sinr_db_sum", "f8"),  # over first transmissions
        ("radiated_w_symbols", "f8"),  # power x OFDM symbols; times the symbol duration it is joules
        ("active_symbols", "i8"),
        ("rank_sum", "i8"),  # over first transmissions
    ],
    align=True,
)

# What one cell used.
CELL_DTYPE = np.dtype(
    [
        ("active_symbols", "i8"),  # OFDM symbols in which the cell used the direction
        ("prb_slots", "i8"),  # PRBs in use, counted once however many streams share them
        ("delivered_bytes", "i8"),
    ],
    align=True,
)


@dataclass
class LinkState:
    """Everything that one direction (downlink or uplink) remembers from slot to slot.

    Attributes:
        ue: UE_DTYPE [batch, num_ues].
        bearer: BEARER_DTYPE [batch, num_ues, num_slices].
        harq: HARQ_DTYPE [batch, num_ues, processes].
        nack: NACK_DTYPE [batch, num_ues, NACK_CAPACITY].
        tally: TALLY_DTYPE [batch, num_ues, num_slices], counted since it was last zeroed.
        cell: CELL_DTYPE [batch, num_cells], likewise.
        share: of the groups, guaranteed to each slice; the scenario's until somebody changes it, float64
            [batch, num_cells, num_slices].
        credit: groups that each slice is owed, likewise.
        scheduler: the own state of every slice's scheduler.
    """

    ue: NDArray[Any]
    bearer: NDArray[Any]
    harq: NDArray[Any]
    nack: NDArray[Any]
    tally: NDArray[Any]
    cell: NDArray[Any]
    share: NDArray[np.float64]
    credit: NDArray[np.float64]
    scheduler: list[NDArray[Any]]

    @staticmethod
    def start(plan: LinkPlan, batch: int, num_ues: int) -> LinkState:
        """Return the state before the first slot."""
        ue = np.zeros((batch, num_ues), UE_DTYPE)
        ue["last_mcs"] = plan.tables.first_mcs
        bearer = np.zeros((batch, num_ues, plan.num_slices), BEARER_DTYPE)
        bearer["head_s"], bearer["deadline_s"], bearer["budget_s"] = np.nan, np.inf, DEFAULT_BUDGET_S
        bearer["priority"] = DEFAULT_PRIORITY
        return LinkState(
            ue=ue,
            bearer=bearer,
            harq=np.zeros((batch, num_ues, plan.processes), HARQ_DTYPE),
            nack=np.zeros((batch, num_ues, NACK_CAPACITY), NACK_DTYPE),
            tally=np.zeros((batch, num_ues, plan.num_slices), TALLY_DTYPE),
            cell=np.zeros((batch, plan.num_cells), CELL_DTYPE),
            share=np.tile(plan.slices["share"], (batch, plan.num_cells, 1)),
            credit=np.zeros((batch, plan.num_cells, plan.num_slices)),
            scheduler=[scheduler.start(batch, plan.num_cells, num_ues) for scheduler in plan.schedulers],
        )

    def copy(self) -> LinkState:
        """Return an independent copy."""
        copied = {name: getattr(self, name).copy() for name in _PLAIN}
        return LinkState(**copied, scheduler=[state.copy() for state in self.scheduler])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays by name, for a checkpoint."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return plain | {f"scheduler{k}": state for k, state in enumerate(self.scheduler)}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned."""
        for name in _PLAIN:
            setattr(self, name, arrays[name])
        self.scheduler = [arrays[f"scheduler{k}"] for k in range(len(self.scheduler))]


_PLAIN = ("ue", "bearer", "harq", "nack", "tally", "cell", "share", "credit")
