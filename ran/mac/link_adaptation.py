"""Link adaptation: reports with delay and quantisation, and an outer loop that keeps the block error rate."""

from typing import Literal

from pydantic import Field

from channel.component import Settings


class LinkAdaptation(Settings):
    """MCS choice by reported SINR, corrected by a per-UE offset that follows HARQ feedback.

    A NACK lowers the offset by ``olla_step_db``, an ACK raises it by ``olla_step_db * target / (1 - target)``,
    whose fixed point is the target (Pedersen et al., VTC 2007).
    """

    bler_target: float = Field(default=0.1, gt=0.0, lt=0.9, description="first-transmission block error rate")
    olla_step_db: float = Field(default=0.5, gt=0.0, le=5.0, description="offset lost on a NACK, dB")
    olla_range_db: float = Field(default=20.0, gt=0.0, le=40.0, description="largest |offset|, dB")
    mcs_table: Literal[1, 2] = Field(default=1, description="TS 38.214 table: 1 up to 64QAM, 2 up to 256QAM")
    csi: Literal["delayed", "perfect"] = Field(
        default="delayed",
        description="delayed: measured csi_delay_s ago, at least one coherence interval; perfect: now",
    )
    csi_delay_s: float = Field(default=4e-3, ge=0.0, le=1.0, description="age of a report when it is used, s")
    cqi: Literal["subband", "wideband", "unquantised"] = Field(
        default="subband", description="downlink reports: 4-bit CQI per group, one for the band, or exact SINRs"
    )
