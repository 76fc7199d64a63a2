"""Extended reality: video frames of varying size at a jittered frame rate."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ran.traffic.traffic import TRAFFIC, WINDOW_S, Direction, Traffic, periodic_times_s

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TRAFFIC.register("xr")
class Xr(Traffic):
    """Video frames of extended reality or cloud gaming (3GPP TR 38.838 clause 5.1.1, one stream per UE).

    Frame n arrives at (n + phase) / frame_rate + jitter, the phase uniform per UE. Sizes are Gaussian of mean
    M = rate / (8 frame_rate), truncated to [size_min, size_max] M; jitter is Gaussian of mean 0, truncated to
    +-jitter_limit. All frames come jitter_limit later than written here, so that none falls before time 0. A frame
    is one packet. It does not model several streams per UE (I and P frames, audio).
    """

    rate_bit_s: float = Field(default=30e6, ge=1e3, le=1e11, description="mean bit rate of each UE, bit/s")
    frame_rate_hz: float = Field(default=60.0, ge=1.0, le=1000.0, description="frames per second")
    size_std: float = Field(default=0.105, gt=0.0, le=1.0, description="standard deviation of a frame's size, over M")
    size_min: float = Field(default=0.5, gt=0.0, lt=1.0, description="smallest frame, over M")
    size_max: float = Field(default=1.5, gt=1.0, le=10.0, description="largest frame, over M")
    jitter_std_s: float = Field(default=2e-3, gt=0.0, le=0.1, description="standard deviation of the jitter, s")
    jitter_limit_s: float = Field(default=4e-3, ge=0.0, le=0.1, description="largest jitter, s; 0: none")
    five_qi: int = 80

    @model_validator(mode="after")
    def _frames_have_bytes(self) -> Self:
        if self.size_min * self.rate_bit_s < 8.0 * self.frame_rate_hz:
            raise PydanticCustomError(
                "frame_bytes", "the smallest frame would have less than one byte; raise rate_bit_s or size_min"
            )
        return self

    def packets(
        self, seed: int, ue: int, direction: Direction, window: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return when frames arrive (s) and their sizes (bytes)."""
        import numpy as np

        phase_s = self._stream(seed, ue, direction, "phase").random() / self.frame_rate_hz
        # A frame due in one window may arrive in the next, so each window draws its own frames and the last one's.
        parts = [self._frames(seed, ue, direction, due, phase_s) for due in range(max(window - 1, 0), window + 1)]
        times_s = np.concatenate([times for times, _ in parts])
        sizes = np.concatenate([sizes for _, sizes in parts])
        here = np.flatnonzero((times_s >= window * WINDOW_S) & (times_s < (window + 1) * WINDOW_S))
        here = here[np.argsort(times_s[here], kind="stable")]
        return times_s[here], sizes[here]

    def _frames(
        self, seed: int, ue: int, direction: Direction, window: int, phase_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return arrival times and sizes of the frames that are due in a window."""
        import numpy as np

        due_s = periodic_times_s(1.0 / self.frame_rate_hz, phase_s, window)
        rng = self._stream(seed, ue, direction, window)
        mean_bytes = self.rate_bit_s / (8.0 * self.frame_rate_hz)
        size = truncated_normal(rng, self.size_std, self.size_min - 1.0, self.size_max - 1.0, len(due_s))
        jitter_s = truncated_normal(rng, self.jitter_std_s, -self.jitter_limit_s, self.jitter_limit_s, len(due_s))
        return due_s + self.jitter_limit_s + jitter_s, np.rint((1.0 + size) * mean_bytes).astype(np.int64)

    def offered_bit_s(self) -> float:
        """Return the mean load of one UE in one direction, bit/s; truncation off centre moves it from rate_bit_s.

        E[size] / M = 1 + std (phi(a) - phi(b)) / (Phi(b) - Phi(a)), a and b the limits in standard deviations.
        """
        low, high = (self.size_min - 1.0) / self.size_std, (self.size_max - 1.0) / self.size_std
        inside = 0.5 * (math.erf(high / math.sqrt(2.0)) - math.erf(low / math.sqrt(2.0)))
        density = (math.exp(-0.5 * low**2) - math.exp(-0.5 * high**2)) / math.sqrt(2.0 * math.pi)
        return self.rate_bit_s * (1.0 + self.size_std * density / inside)


def truncated_normal(rng: np.random.Generator, std: float, low: float, high: float, count: int) -> NDArray[np.float64]:
    """Return ``count`` draws of N(0, std^2) conditioned on [low, high], by inversion: one uniform number each."""
    from scipy.special import ndtr, ndtri

    below, above = ndtr(low / std), ndtr(high / std)
    return (std * ndtri(below + (above - below) * rng.random(count))).clip(low, high)
