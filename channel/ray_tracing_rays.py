"""Traced rays as plain arrays: plane waves whose phases turn as a UE moves through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channel.compiled import compiled
from channel.snapshot import PathSet


@dataclass(frozen=True)
class TracedRays:
    """The paths of every link as found with the UEs at ``position_m``.

    Attributes:
        position_m: where the UEs were, [num_rx, 3].
        amplitude: complex amplitude of every path at every antenna with the carrier's phase, path loss and antenna
            patterns included, complex64 [num_rx, num_tx, num_paths, num_tx_ant].
        wave_rad_m: 2 pi r / lambda with r the unit vector towards where a path comes from,
            float64 [num_rx, num_tx, num_paths, 3].
        delay_s: float64 [num_rx, num_tx, num_paths].
        delay_phasor: exp(-j 2 pi f tau) at the subband centres, complex64 [num_rx, num_tx, num_paths, num_subbands].
    """

    position_m: NDArray[np.float64]
    amplitude: NDArray[np.complex64]
    wave_rad_m: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    delay_phasor: NDArray[np.complex64]

    def at(self, position_m: NDArray[np.float64]) -> tuple[PathSet, NDArray[np.complex64]]:
        """Return the paths with the UEs at ``position_m``, [num_rx, 3], and their response at the subband centres.

        a_p(x) = A_p exp(j 2 pi r_p . (x - x_0) / lambda), H(f) = sum_p a_p exp(-j 2 pi f tau_p), summed in one order
        and in double precision. The response is [1, num_rx, 1, num_tx, num_tx_ant, num_subbands].
        """
        num_rx, num_tx, num_paths, num_ant = self.amplitude.shape
        path = np.empty((1, num_rx, 1, num_tx, num_ant, num_paths), np.complex64)
        gain = np.empty((1, num_rx, 1, num_tx, num_ant, self.delay_phasor.shape[-1]), np.complex64)
        moved_m = position_m - self.position_m
        _sum_paths(self.amplitude, self.wave_rad_m, self.delay_phasor, moved_m, path[0, :, 0], gain[0, :, 0])
        return PathSet(gain=path, delay_s=self.delay_s[None]), gain


@compiled
def _sum_paths(
    amplitude: NDArray[np.complex64],
    wave_rad_m: NDArray[np.float64],
    delay_phasor: NDArray[np.complex64],
    moved_m: NDArray[np.float64],
    path: NDArray[np.complex64],
    gain: NDArray[np.complex64],
) -> None:
    """Fill ``path`` [num_rx, num_tx, num_ant, num_paths] and ``gain`` [num_rx, num_tx, num_ant, num_subbands]."""
    num_rx, num_tx, num_paths, num_ant = amplitude.shape
    response = np.empty((num_ant, delay_phasor.shape[-1]), np.complex128)
    for rx in range(num_rx):
        for tx in range(num_tx):
            response[:] = 0
            for p in range(num_paths):
                wave = wave_rad_m[rx, tx, p]
                phase = wave[0] * moved_m[rx, 0] + wave[1] * moved_m[rx, 1] + wave[2] * moved_m[rx, 2]
                turn = complex(np.cos(phase), np.sin(phase))
                for ant in range(num_ant):
                    value = amplitude[rx, tx, p, ant] * turn
                    path[rx, tx, ant, p] = value
                    for band in range(response.shape[1]):
                        response[ant, band] += value * delay_phasor[rx, tx, p, band]
            gain[rx, tx] = response
