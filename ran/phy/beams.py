"""Beams of one coherence interval: what every UE receives of the beam meant for every other UE.

The link of UE u and its cell c has the channel H [UE antennas, cell antennas] per resource block group, with singular
vectors H = sum_l s_l a_l b_l^H. Layer l of u is sent down with b_l and received with a_l; up, the roles change. For one
layer this is maximum ratio transmission and combining. Then ``cross`` of (v, m) and (u, l), |a_{v,m}^H H_{v,c(u)}
b_{u,l}|^2, is the power gain of u's beam l at v's receive filter m (downlink) and, by reciprocity, of v's layer m at
u's receive beam l (uplink). One table serves both directions, signal and interference alike.

A UE's row holds only the cells near to it: the strongest few where ``interfering_cells`` limits them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numba
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.snapshot import ChannelSnapshot


@dataclass(frozen=True)
class Neighbours:
    """Who is served where, and which cells are near to whom.

    Attributes:
        serving_cell: int32 [batch, num_ues].
        near: cells near to every UE in ascending order, the serving one among them, int32 [batch, num_ues, num_near].
        heard: of every cell, the cells that have a UE to which it is near: their number, then they,
            int32 [batch, num_cells, num_cells + 1].
        column: where a cell's UEs begin in a UE's row of ``cross``, or -1 where it is not near,
            int32 [batch, num_ues, num_cells].
        place: position of every UE among those of its cell, int32 [batch, num_ues].
        members: UEs in order of cell and index, int32 [batch, num_ues].
        first: where each cell begins in ``members``, int32 [batch, num_cells + 1].
        path_gain: mean gain per antenna of every link, float64 [batch, num_ues, num_cells].
        own_gain: the same to the serving cell, float64 [batch, num_ues].
        width: UEs in the longest row.
    """

    serving_cell: NDArray[np.int32]
    near: NDArray[np.int32]
    heard: NDArray[np.int32]
    column: NDArray[np.int32]
    place: NDArray[np.int32]
    members: NDArray[np.int32]
    first: NDArray[np.int32]
    path_gain: NDArray[np.float64]
    own_gain: NDArray[np.float64]
    width: int

    @staticmethod
    def of(
        path_gain: NDArray[np.float64], serving_cell: NDArray[np.int32], interfering_cells: int | None
    ) -> Neighbours:
        """Return the neighbours by gains [batch, num_ues, num_cells]: all cells, or the serving and next strongest."""
        batch, ues, cells = path_gain.shape
        count = cells if interfering_cells is None else min(cells, interfering_cells + 1)
        serving = serving_cell[:, :, None].astype(np.int64)
        ranked = path_gain.copy()
        np.put_along_axis(ranked, serving, np.inf, axis=2)
        near = np.sort(np.argpartition(-ranked, count - 1, axis=2)[:, :, :count], axis=2).astype(np.int32)
        heard = np.zeros((batch, cells, cells + 1), np.int32)
        column = np.full((batch, ues, cells), -1, np.int32)
        place = np.empty((batch, ues), np.int32)
        members = np.empty((batch, ues), np.int32)
        first = np.zeros((batch, cells + 1), np.int32)
        width = _index(serving_cell, near, heard, column, place, members, first)
        own = np.take_along_axis(path_gain, serving, axis=2)[:, :, 0]
        return Neighbours(serving_cell, near, heard, column, place, members, first, path_gain, own, width)


@dataclass(frozen=True)
class BeamTable:
    """Channels and power gains between UEs and beams during one coherence interval.

    Attributes:
        rows: channel behind every receive filter, a_l^H H, complex64
            [batch, num_rbgs, num_ues, num_layers, num_cells, num_tx_ant].
        cross: float32 [batch, num_rbgs, num_ues x num_layers, width x num_layers].
        neighbours: how ``cross`` is laid out.
        num_layers: layers of every UE.
    """

    rows: NDArray[np.complex64]
    cross: NDArray[np.float32]
    neighbours: Neighbours
    num_layers: int

    @cached_property
    def own_rows(self) -> NDArray[np.complex64]:
        """First layer's channel to the serving cell, [batch, num_rbgs, num_ues, num_tx_ant]."""
        cell = self.neighbours.serving_cell[:, None, :, None, None].astype(np.int64)
        return np.ascontiguousarray(np.take_along_axis(self.rows[:, :, :, 0], cell, axis=3)[:, :, :, 0])


def beam_table(snapshot: ChannelSnapshot, neighbours: Neighbours, num_layers: int = 1) -> BeamTable:
    """Return the table of a snapshot whose subbands are the groups."""
    rows = _rows(snapshot.gain, neighbours.serving_cell, num_layers)
    batch, groups, ues = rows.shape[:3]
    cross = np.zeros((batch, groups, ues * num_layers, neighbours.width * num_layers), np.float32)
    _cross_gain(rows, neighbours.column, neighbours.members, neighbours.first, cross)
    return BeamTable(rows, cross, neighbours, num_layers)


def _rows(gain: NDArray[np.complex64], serving_cell: NDArray[np.int32], num_layers: int) -> NDArray[np.complex64]:
    """Return a_l^H H of the strongest layers, [batch, num_rbgs, num_ues, num_layers, num_cells, num_tx_ant]."""
    # [batch, num_subbands, num_rx, num_rx_ant, num_tx, num_tx_ant]
    by_group = np.ascontiguousarray(gain.transpose(0, 5, 1, 2, 3, 4))
    antennas = by_group.shape[3]
    assert num_layers <= antennas, "a UE has at most as many layers as antennas"
    if antennas == 1:
        return by_group
    cell = serving_cell[:, None, :, None, None, None].astype(np.int64)
    # [batch, num_subbands, num_rx, num_rx_ant, num_tx_ant]
    own = np.take_along_axis(by_group, cell, axis=4)[:, :, :, :, 0]
    scale = np.maximum(np.abs(own).max(axis=(3, 4), keepdims=True), np.finfo(np.float32).tiny)
    own = (own / scale).astype(np.complex128)
    _, vectors = np.linalg.eigh(own @ own.conj().swapaxes(3, 4))  # eigenvalues ascend
    receive = vectors[..., ::-1][..., :num_layers].astype(np.complex64)  # [batch, num_subbands, num_rx, num_rx_ant, l]
    flat = by_group.reshape(*by_group.shape[:4], -1)
    rows = receive.conj().swapaxes(3, 4) @ flat
    return np.ascontiguousarray(rows.reshape(*rows.shape[:4], *by_group.shape[4:]))


@numba.njit(cache=True)
def _index(serving_cell, near, heard, column, place, members, first):  # type: ignore[no-untyped-def]
    """Fill the index arrays of Neighbours; return the width of the longest row."""
    batch, ues, count = near.shape
    cells = column.shape[2]
    width = 0
    for b in range(batch):
        for u in range(ues):
            first[b, serving_cell[b, u] + 1] += 1
        for c in range(cells):
            first[b, c + 1] += first[b, c]
        size = np.zeros(cells, np.int32)
        hears = np.zeros((cells, cells), np.bool_)
        for u in range(ues):
            c = serving_cell[b, u]
            place[b, u] = size[c]
            members[b, first[b, c] + size[c]] = u
            size[c] += 1
            for n in range(count):
                hears[near[b, u, n], c] = True
        for c in range(cells):
            for d in range(cells):
                if hears[c, d]:
                    heard[b, c, 0] += 1
                    heard[b, c, heard[b, c, 0]] = d
        for u in range(ues):
            begin = 0
            for n in range(count):
                c = near[b, u, n]
                column[b, u, c] = begin
                begin += size[c]
            width = max(width, begin)
    return width


@numba.njit(cache=True, parallel=True)
def _cross_gain(rows, column, members, first, cross):  # type: ignore[no-untyped-def]
    """Fill the table group by group and cell by cell.

    The innermost loop runs over a cell's beams in single precision and without a sum across them, so that it becomes
    vector instructions and the result depends on nothing else.
    """
    batch, groups, ues, layers, cells, antennas = rows.shape
    for b in range(batch):
        for s in numba.prange(groups):
            real, imag = np.empty((2, antennas, ues * layers), np.float32)
            sum_real, sum_imag = np.empty((2, ues * layers), np.float32)
            for c in range(cells):
                count = (first[b, c + 1] - first[b, c]) * layers
                _unit_beams(rows[b, s], c, members[b, first[b, c] : first[b, c + 1]], real, imag)
                for v in range(ues):
                    if column[b, v, c] < 0:
                        continue
                    for m in range(layers):
                        sum_real[:count] = np.float32(0.0)
                        sum_imag[:count] = np.float32(0.0)
                        for a in range(antennas):
                            g_real = rows[b, s, v, m, c, a].real
                            g_imag = rows[b, s, v, m, c, a].imag
                            for j in range(count):
                                sum_real[j] += g_real * real[a, j] + g_imag * imag[a, j]
                                sum_imag[j] += g_imag * real[a, j] - g_real * imag[a, j]
                        start = column[b, v, c] * layers
                        for j in range(count):
                            power = sum_real[j] * sum_real[j] + sum_imag[j] * sum_imag[j]
                            cross[b, s, v * layers + m, start + j] = power


@numba.njit(cache=True)
def _unit_beams(rows, c, served, real, imag):  # type: ignore[no-untyped-def]
    """Fill ``real`` and ``imag`` [num_tx_ant, beams] with the channels of cell ``c``'s UEs, each of norm 1."""
    layers, antennas = rows.shape[1], rows.shape[3]
    for j in range(len(served)):
        for k in range(layers):
            norm = 0.0
            for a in range(antennas):
                h = rows[served[j], k, c, a]
                norm += h.real * h.real + h.imag * h.imag
            scale = 1.0 / np.sqrt(norm) if norm > 0.0 else 0.0
            for a in range(antennas):
                h = rows[served[j], k, c, a]
                real[a, j * layers + k] = np.float32(h.real * scale)
                imag[a, j * layers + k] = np.float32(h.imag * scale)
