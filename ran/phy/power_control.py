"""Uplink open-loop power control (TS 38.213 clause 7.1.1)."""

from pydantic import Field

from channel.component import Settings


class PowerControl(Settings):
    """Fractional path-loss compensation: P = min(P_max, P0 + 10 log10(M) + alpha PL) dBm over M PRBs."""

    p0_dbm: float = Field(default=-80.0, ge=-202.0, le=24.0, description="target received power per PRB, dBm")
    alpha: float = Field(default=0.8, ge=0.0, le=1.0, description="share of the path loss that is compensated")
