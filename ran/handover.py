"""Mobility management: event A3, radio link failure and re-establishment (the instants: ``ran.handover_kernels``)."""

from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from channel.component import Settings


class Handover(Settings):
    """When a UE changes its cell, and what that costs (TS 38.331 clauses 5.3.10 and 5.5.4.4; TR 36.839 clause 5.2).

    The network follows every A3 report at once. Not modelled: measurement errors of layer 1, reports or commands lost
    on a bad link, N310 and N311 (one measurement decides), cell-individual offsets, admission control.
    """

    mode: Literal["a3", "off"] = Field(
        default="a3", description="a3: a UE moves to a neighbour that is offset better; off: it keeps its first cell"
    )
    offset_db: float = Field(
        default=3.0, ge=-15.0, le=15.0, description="a3-Offset (TS 38.331): how much better a neighbour must be, dB"
    )
    hysteresis_db: float = Field(default=1.0, ge=0.0, le=15.0, description="hysteresis of event A3 (TS 38.331), dB")
    time_to_trigger_s: float = Field(
        default=0.16, ge=0.0, le=5.12, description="how long event A3 must hold (timeToTrigger of TS 38.331), s"
    )
    filter_coefficient: Literal[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 17, 19] = Field(
        default=4, description="k of layer-3 filtering (filterCoefficient of TS 38.331, clause 5.5.3.2); 0: no filter"
    )
    interruption_s: float = Field(
        default=0.05, ge=0.0, le=1.0, description="time without data during a handover (TR 36.881 counts 49.5 ms), s"
    )
    ping_pong_s: float = Field(
        default=1.0, ge=0.0, le=60.0, description="a return to the last cell sooner than this is a ping-pong, s"
    )
    qout_db: float = Field(default=-8.0, ge=-30.0, le=10.0, description="SINR below which T310 starts (Qout), dB")
    qin_db: float = Field(default=-6.0, ge=-30.0, le=10.0, description="SINR above which T310 stops (Qin), dB")
    t310_s: float = Field(
        default=1.0, ge=0.0, le=6.0, description="T310 (TS 38.331): bad radio that ends in radio link failure, s"
    )
    reestablishment_s: float = Field(
        default=0.2, ge=0.0, le=30.0, description="time without data from radio link failure to the new cell, s"
    )

    @model_validator(mode="after")
    def _qin_is_not_below_qout(self) -> Self:
        if self.qin_db < self.qout_db:
            raise PydanticCustomError(
                "qin_below_qout",
                "qin_db ({qin}) is below qout_db ({qout}): T310 would start and stop at once; set qin_db to {qout} "
                "or more",
                {"qin": f"{self.qin_db:g}", "qout": f"{self.qout_db:g}"},
            )
        return self
