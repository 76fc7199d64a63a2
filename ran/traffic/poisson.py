"""Poisson traffic: packets of one size at independent times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.traffic.traffic import MAX_PACKETS_PER_S, TRAFFIC, Direction, Traffic, poisson_times_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TRAFFIC.register("poisson")
class Poisson(Traffic):
    """Packets of one size whose arrivals at each UE form a Poisson process: the M of M/D/1."""

    packets_per_s: float = Field(
        default=100.0, gt=0.0, le=MAX_PACKETS_PER_S, description="mean arrivals at each UE per second"
    )
    packet_bytes: int = Field(default=1500, ge=1, le=10**9, description="size of a packet, bytes")

    def packets(
        self, seed: int, ue: int, direction: Direction, window: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return when packets arrive (s) and their sizes (bytes)."""
        import numpy as np

        times_s = poisson_times_s(self._stream(seed, ue, direction, window), self.packets_per_s, window)
        return times_s, np.full(len(times_s), self.packet_bytes, np.int64)

    def offered_bit_s(self) -> float:
        """Return the mean load of one UE in one direction, bit/s."""
        return 8.0 * self.packet_bytes * self.packets_per_s
