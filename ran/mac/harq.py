"""HARQ: stop-and-wait processes per UE with chase combining or incremental redundancy."""

from typing import Literal

from pydantic import Field

from channel.component import Settings


class Harq(Settings):
    """Hybrid ARQ (TS 38.321 clauses 5.3.2 and 5.4.2) with soft combining.

    Chase combining repeats the same bits: SINRs add. Incremental redundancy sends new parity until the mother code is
    used up: mutual information adds (see ``ran.phy.harq_combining``).
    """

    processes: int = Field(default=16, ge=1, le=16, description="processes per UE and direction")
    max_attempts: int = Field(default=4, ge=1, le=16, description="transmissions of one block, the first included")
    feedback_slots: int = Field(default=4, ge=1, le=64, description="slots from a transmission to its acknowledgement")
    combining: Literal["chase", "incremental_redundancy"] = Field(
        default="chase", description="chase: attempts repeat the same bits; incremental_redundancy: they add parity"
    )
