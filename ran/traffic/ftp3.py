"""FTP model 3: files that arrive at each UE at random."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.traffic.traffic import MAX_PACKETS_PER_S, TRAFFIC, Direction, Traffic, poisson_times_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TRAFFIC.register("ftp3")
class Ftp3(Traffic):
    """FTP model 3: files of one size arrive at every UE by a Poisson process, whether the last is done or not.

    FTP model 2 of 3GPP TR 36.814 clause A.2.1.3.1 (one file after the other, 0.5 MB) with the arrivals of model 1,
    per UE (TR 36.889 annex A). A file is one packet; its delay counts from its arrival to its last byte.
    """

    file_bytes: int = Field(default=500_000, ge=1, le=10**12, description="size of a file, bytes")
    files_per_s: float = Field(
        default=0.5, gt=0.0, le=MAX_PACKETS_PER_S, description="mean arrivals at each UE per second"
    )

    def packets(
        self, seed: int, ue: int, direction: Direction, window: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return when files arrive (s) and their sizes (bytes)."""
        import numpy as np

        times_s = poisson_times_s(self._stream(seed, ue, direction, window), self.files_per_s, window)
        return times_s, np.full(len(times_s), self.file_bytes, np.int64)

    def offered_bit_s(self) -> float:
        """Return the mean load of one UE in one direction, bit/s."""
        return 8.0 * self.file_bytes * self.files_per_s
