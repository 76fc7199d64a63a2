"""Rays that go on in time: a drop's rays as plain arrays, whose phases turn with their Doppler shifts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channel.compiled import compiled
from channel.snapshot import PathSet


@dataclass(frozen=True)
class RayState:
    """The rays of every link at time 0, in paths of equal delay.

    Attributes:
        amplitude: complex amplitude of every ray at every antenna, path loss and antenna patterns included,
            complex64 [num_rx, num_tx, num_rays, num_tx_ant].
        doppler_rad_s: turning rate of every ray's phase, float64 [num_rx, num_tx, num_rays].
        first_ray: path p holds rays first_ray[p] to first_ray[p + 1] - 1, int64 [num_paths + 1].
        delay_s: delay of every path, float64 [num_rx, num_tx, num_paths].
        delay_phasor: exp(-j 2 pi f tau) at the subband centres, complex64 [num_rx, num_tx, num_paths, num_subbands].
    """

    amplitude: NDArray[np.complex64]
    doppler_rad_s: NDArray[np.float64]
    first_ray: NDArray[np.int64]
    delay_s: NDArray[np.float64]
    delay_phasor: NDArray[np.complex64]

    def at(self, time_s: float) -> tuple[PathSet, NDArray[np.complex64]]:
        """Return the paths at ``time_s`` and their response at the subband centres.

        a_p(t) = sum over the rays r of path p of A_r exp(j w_r t), H(f) = sum_p a_p(t) exp(-j 2 pi f tau_p):
        exact at any time, in any order, on one thread in one order of summation, in double precision. The
        response is [1, num_rx, 1, num_tx, num_tx_ant, num_subbands].
        """
        num_rx, num_tx, _, num_ant = self.amplitude.shape
        path = np.empty((1, num_rx, 1, num_tx, num_ant, self.delay_s.shape[-1]), np.complex64)
        gain = np.empty((1, num_rx, 1, num_tx, num_ant, self.delay_phasor.shape[-1]), np.complex64)
        _sum_rays(
            self.amplitude, self.doppler_rad_s, self.first_ray, self.delay_phasor, time_s, path[0, :, 0], gain[0, :, 0]
        )
        return PathSet(gain=path, delay_s=self.delay_s[None]), gain


@compiled
def _sum_rays(
    amplitude: NDArray[np.complex64],
    doppler_rad_s: NDArray[np.float64],
    first_ray: NDArray[np.int64],
    delay_phasor: NDArray[np.complex64],
    time_s: float,
    path: NDArray[np.complex64],
    gain: NDArray[np.complex64],
) -> None:
    """Fill ``path`` [num_rx, num_tx, num_ant, num_paths] and ``gain`` [num_rx, num_tx, num_ant, num_subbands]."""
    num_rx, num_tx, _, num_ant = amplitude.shape
    num_paths, num_subbands = delay_phasor.shape[2:]
    real, imag = np.empty(num_ant), np.empty(num_ant)
    response = np.empty((num_ant, num_subbands), np.complex128)
    for rx in range(num_rx):
        for tx in range(num_tx):
            response[:] = 0
            for p in range(num_paths):
                real[:] = 0
                imag[:] = 0
                for ray in range(first_ray[p], first_ray[p + 1]):
                    phase = doppler_rad_s[rx, tx, ray] * time_s
                    cos, sin = np.cos(phase), np.sin(phase)
                    for ant in range(num_ant):
                        a = amplitude[rx, tx, ray, ant]
                        real[ant] += a.real * cos - a.imag * sin
                        imag[ant] += a.real * sin + a.imag * cos
                for ant in range(num_ant):
                    value = complex(real[ant], imag[ant])
                    path[rx, tx, ant, p] = value
                    for band in range(num_subbands):
                        response[ant, band] += value * delay_phasor[rx, tx, p, band]
            gain[rx, tx] = response
