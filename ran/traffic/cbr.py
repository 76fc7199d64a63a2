"""Constant bit rate: equal packets at equal intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ran.traffic.traffic import MAX_PACKETS_PER_S, TRAFFIC, Direction, Traffic, periodic_times_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TRAFFIC.register("cbr")
class Cbr(Traffic):
    """Equal packets at equal intervals 8 packet_bytes / rate_bit_s; where in an interval a UE starts is random.

    Conversational video by default (5QI 2); voice is ``rate_bit_s: 24e3, packet_bytes: 60, five_qi: 1``.
    """

    rate_bit_s: float = Field(default=1e6, ge=1.0, le=1e11, description="bit rate of each UE, bit/s")
    packet_bytes: int = Field(default=1250, ge=1, le=10**9, description="size of a packet, bytes")
    five_qi: int = 2

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if self.rate_bit_s > 8.0 * self.packet_bytes * MAX_PACKETS_PER_S:
            raise PydanticCustomError(
                "packets_per_s",
                "{rate} bit/s in packets of {size} bytes are more than 1e6 packets a second; raise packet_bytes",
                {"rate": f"{self.rate_bit_s:g}", "size": self.packet_bytes},
            )
        return self

    def packets(
        self, seed: int, ue: int, direction: Direction, window: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return when packets arrive (s) and their sizes (bytes)."""
        import numpy as np

        period_s = 8.0 * self.packet_bytes / self.rate_bit_s
        phase_s = period_s * self._stream(seed, ue, direction, "phase").random()
        times_s = periodic_times_s(period_s, phase_s, window)
        return times_s, np.full(len(times_s), self.packet_bytes, np.int64)

    def offered_bit_s(self) -> float:
        """Return the mean load of one UE in one direction, bit/s."""
        return self.rate_bit_s
