"""Beams of one coherence interval: what every UE receives of the beam meant for every other UE.

The cell serving UE u steers by maximum ratio to u's channel, ``w_u = conj(h_u) / ||h_u||``, per resource block
group. Then ``cross[v, u] = |h_{v,c(u)} w_u|^2`` is the power gain of u's beam at UE v (downlink) and, by
reciprocity, of UE v at the receive beam of u (uplink, maximum ratio combining). One table serves both directions,
signal and interference alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.snapshot import ChannelSnapshot


@dataclass(frozen=True)
class BeamTable:
    """Power gains between UEs and beams during one coherence interval.

    Attributes:
        cross: float32 [batch, num_rbgs, num_ues (v), num_ues (beam u)].
        path_gain: wideband mean gain per antenna to the serving cell, float64 [batch, num_ues].
    """

    cross: NDArray[np.float32]
    path_gain: NDArray[np.float64]


def beam_table(snapshot: ChannelSnapshot, serving_cell: NDArray[np.int32]) -> BeamTable:
    """Return the table of a snapshot whose subbands are the groups; ``serving_cell`` is int32 [batch, num_ues]."""
    assert snapshot.gain.shape[2] == 1, "UEs carry one antenna"
    gain = snapshot.gain[:, :, 0]  # [batch, num_rx, num_tx, num_tx_ant, num_subbands]
    by_group = np.ascontiguousarray(gain.transpose(0, 4, 1, 2, 3))  # [batch, num_subbands, num_rx, num_tx, num_tx_ant]
    batch, groups, ues = by_group.shape[:3]
    cross = np.empty((batch, groups, ues, ues), np.float32)
    _cross_gain(by_group, serving_cell, cross)
    own = np.take_along_axis(snapshot.path_gain, serving_cell[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    return BeamTable(cross=cross, path_gain=own)


@numba.njit(cache=True, parallel=True)
def _cross_gain(gain, serving_cell, cross):  # type: ignore[no-untyped-def]
    batch, groups, ues, _cells, antennas = gain.shape
    for b in range(batch):
        for s in numba.prange(groups):
            for u in range(ues):
                cell = serving_cell[b, u]
                norm = 0.0
                for m in range(antennas):
                    h = gain[b, s, u, cell, m]
                    norm += h.real * h.real + h.imag * h.imag
                for v in range(ues):
                    real = 0.0
                    imag = 0.0
                    for m in range(antennas):
                        a = gain[b, s, v, cell, m]
                        h = gain[b, s, u, cell, m]
                        real += a.real * h.real + a.imag * h.imag
                        imag += a.imag * h.real - a.real * h.imag
                    cross[b, s, v, u] = (real * real + imag * imag) / norm if norm > 0.0 else 0.0
