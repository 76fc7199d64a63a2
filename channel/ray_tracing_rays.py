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
        amplitude: complex amplitude of every path from every cell antenna to a UE's vertical element, and to its
            horizontal one where it has one, with the carrier's phase, path loss and antenna patterns included,
            complex64 [num_rx, num_waves, num_tx, num_paths, num_tx_ant].
        wave_rad_m: 2 pi r / lambda with r the unit vector towards where a path comes from,
            float64 [num_rx, num_tx, num_paths, 3].
        delay_s: float64 [num_rx, num_tx, num_paths].
        delay_phasor: exp(-j 2 pi f tau) at the subband centres, complex64 [num_rx, num_tx, num_paths, num_subbands].
        ue_place_m: the UE's elements or pairs of them from its position, [num_places, 3].
    """

    position_m: NDArray[np.float64]
    amplitude: NDArray[np.complex64]
    wave_rad_m: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    delay_phasor: NDArray[np.complex64]
    ue_place_m: NDArray[np.float64]

    def at(self, position_m: NDArray[np.float64]) -> tuple[PathSet, NDArray[np.complex64]]:
        """Return the paths with the UEs at ``position_m``, [num_rx, 3], and their response at the subband centres.

        a_p(x) = A_p exp(j 2 pi r_p . (x + d - x_0) / lambda) at the place d of an antenna on the UE, H(f) =
        sum_p a_p exp(-j 2 pi f tau_p), summed in one order and in double precision. The response is
        [1, num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands].
        """
        num_rx, num_waves, num_tx, num_paths, num_ant = self.amplitude.shape
        shape = (num_rx, num_waves * len(self.ue_place_m), num_tx, num_ant)
        path = np.empty((*shape, num_paths), np.complex64)
        gain = np.empty((*shape, self.delay_phasor.shape[-1]), np.complex64)
        place_m = (position_m - self.position_m)[:, None] + self.ue_place_m  # [num_rx, num_places, 3]
        _sum_paths(self.amplitude, self.wave_rad_m, self.delay_phasor, place_m, path, gain)
        return PathSet(gain=path[None], delay_s=self.delay_s[None]), gain[None]


@compiled
def _sum_paths(
    amplitude: NDArray[np.complex64],
    wave_rad_m: NDArray[np.float64],
    delay_phasor: NDArray[np.complex64],
    place_m: NDArray[np.float64],
    path: NDArray[np.complex64],
    gain: NDArray[np.complex64],
) -> None:
    """Fill ``path`` [num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths] and ``gain`` [..., num_subbands]."""
    num_rx, _, num_tx, num_paths, num_ant = amplitude.shape
    num_places = place_m.shape[1]
    response = np.empty((num_ant, delay_phasor.shape[-1]), np.complex128)
    for rx, antenna, tx in np.ndindex((num_rx, path.shape[1], num_tx)):
        x, y, z = place_m[rx, antenna % num_places]
        response[:] = 0
        for p in range(num_paths):
            wave = wave_rad_m[rx, tx, p]
            phase = wave[0] * x + wave[1] * y + wave[2] * z
            turn = complex(np.cos(phase), np.sin(phase))
            for ant in range(num_ant):
                value = amplitude[rx, antenna // num_places, tx, p, ant] * turn
                path[rx, antenna, tx, ant, p] = value
                for band in range(response.shape[1]):
                    response[ant, band] += value * delay_phasor[rx, tx, p, band]
        gain[rx, antenna, tx] = response
