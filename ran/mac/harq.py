"""HARQ: stop-and-wait processes per UE with chase combining."""

from pydantic import Field

from channel.component import Settings


class Harq(Settings):
    """Hybrid ARQ (TS 38.321 clause 5.3.2 and 5.4.2), soft-combining attempts of equal redundancy version.

    The effective SINR of attempt n is the sum of the effective SINRs of attempts 1..n (chase combining).
    """

    processes: int = Field(default=16, ge=1, le=16, description="processes per UE and direction")
    max_attempts: int = Field(default=4, ge=1, le=16, description="transmissions of one block, the first included")
    feedback_slots: int = Field(default=4, ge=1, le=64, description="slots from a transmission to its acknowledgement")
