"""RLC acknowledged mode: segmentation, headers, status reports, in-order byte-exact delivery."""

from pydantic import Field

from channel.component import Settings


class Rlc(Settings):
    """Acknowledged mode (TS 38.322) with 18-bit sequence numbers over MAC sub-PDUs (TS 38.321 clause 6.1.2)."""

    sdu_bytes: int = Field(default=1500, ge=40, le=9000, description="payload bytes per RLC SDU (one IP packet)")
    status_slots: int = Field(
        default=20, ge=0, le=2000, description="slots from a final HARQ failure to the status report that reveals it"
    )
