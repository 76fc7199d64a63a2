"""From channels to ICGNN's precoders on a CPU, compiled: sixteen channels at a time, each read and written once.

Here the lanes of a vector are antennas of one channel, while passes have one channel in each lane.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np

from agents.gnn.icgnn_kernels import coefficients, room
from ran.lanes import LANES, get, inner, lanes, plus_product_with_conjugate, put, total

_LEAST, _ZERO = np.float32(1e-30), np.float32(0.0)


@numba.njit(cache=True)
def steer(h, strength, noise, present, power_w, weights, limits, v):
    """Fill v [batch, K, M, 2], the precoders' columns as rows, for channels h of the same shape.

    ``strength``, ``noise`` and ``present`` (0 or 1), [batch, K], and ``power_w`` [batch] are those of ``Streams``;
    ``weights`` and ``limits`` are as in ``coefficients``. All are float32.
    """
    batch, size, antennas, _ = h.shape
    padded, blocks = (size + 3) // 4 * 4, (antennas + LANES - 1) // LANES
    unit = np.zeros((LANES, padded, 2, blocks, LANES), np.float32)
    rows = np.zeros((padded, 2, blocks, LANES), np.float32)
    g, own = np.zeros((padded, padded, 2, LANES), np.float32), np.zeros((padded, padded, 2), np.float32)
    node_noise, node_present = np.zeros((size, LANES), np.float32), np.zeros((size, LANES), np.float32)
    space = room(size, weights[1].shape[1])
    for first in range(0, batch, LANES):
        for n in range(LANES):
            b = min(first + n, batch - 1)  # the last lanes repeat the last channel
            _load(h[b], strength[b], unit[n])
            _correlate(unit[n], n, size, g)
            for k in range(size):
                node_noise[k, n], node_present[k, n] = noise[b, k], present[b, k]
        a = coefficients(g, node_noise, node_present, weights, limits, size, space)
        for n in range(min(LANES, batch - first)):
            sent = _combine(a, unit[n], n, size, own, rows)
            factor = np.sqrt(power_w[first + n] / max(sent, _LEAST))
            _store(rows, factor, v[first + n])


@numba.njit(cache=True)
def _load(h, strength, unit):
    """Fill the unit rows of one channel, real and imaginary parts apart."""
    for k in range(len(h)):
        factor = np.float32(1.0) / strength[k] if strength[k] > _ZERO else _ZERO
        for block in range(unit.shape[2]):
            first = block * LANES
            for m in range(min(LANES, h.shape[1] - first)):
                unit[k, 0, block, m] = h[k, first + m, 0] * factor
                unit[k, 1, block, m] = h[k, first + m, 1] * factor


@numba.njit(cache=True)
def _correlate(unit, n, size, g):
    """Fill lane n of g with the correlations of one channel's rows [K, 2, blocks, lanes]."""
    blocks = unit.shape[2]
    for k in range(0, size, 2):
        for j in range(0, k + 1, 2):
            nothing = lanes(_ZERO), lanes(_ZERO)
            a, b, c, d = nothing, nothing, nothing, nothing
            for m in range(blocks):
                x, y = _part(unit, k, m), _part(unit, k + 1, m)
                z, w = _part(unit, j, m), _part(unit, j + 1, m)
                a, b = plus_product_with_conjugate(a, x, z), plus_product_with_conjugate(b, x, w)
                c, d = plus_product_with_conjugate(c, y, z), plus_product_with_conjugate(d, y, w)
            _put_both(a, k, j, n, g)
            _put_both(b, k, j + 1, n, g)
            _put_both(c, k + 1, j, n, g)
            _put_both(d, k + 1, j + 1, n, g)


@numba.njit(cache=True)
def _part(unit, k, m):
    return get(unit, k, 0, m), get(unit, k, 1, m)


@numba.njit(cache=True)
def _put_both(value, k, j, n, g):
    """Set the correlation of k and j, and its conjugate."""
    real, imag = total(value[0]), total(value[1])
    g[k, j, 0, n], g[k, j, 1, n] = real, imag
    g[j, k, 0, n], g[j, k, 1, n] = real, -imag


@numba.njit(cache=True)
def _combine(a, unit, n, size, own, rows):
    """Fill rows, the conjugate of A^H U of one channel, and return the sum of their squares."""
    blocks = unit.shape[2]
    sent = lanes(_ZERO)
    for j in range(size):
        for k in range(size):
            own[j, k, 0], own[j, k, 1] = a[j, k, 0, n], a[j, k, 1, n]
    for k in range(0, size, 4):
        for m in range(blocks):
            nothing = lanes(_ZERO), lanes(_ZERO)
            x, y, z, w = nothing, nothing, nothing, nothing
            for j in range(size):
                u = _part(unit, j, m)
                x = plus_product_with_conjugate(x, (own[j, k, 0], own[j, k, 1]), u)
                y = plus_product_with_conjugate(y, (own[j, k + 1, 0], own[j, k + 1, 1]), u)
                z = plus_product_with_conjugate(z, (own[j, k + 2, 0], own[j, k + 2, 1]), u)
                w = plus_product_with_conjugate(w, (own[j, k + 3, 0], own[j, k + 3, 1]), u)
            _put_row(x, rows, k, m)
            _put_row(y, rows, k + 1, m)
            _put_row(z, rows, k + 2, m)
            _put_row(w, rows, k + 3, m)
            sent += inner(x, x) + inner(y, y) + inner(z, z) + inner(w, w)
    return total(sent)


@numba.njit(cache=True)
def _put_row(value, rows, k, m):
    put(value[0], rows, k, 0, m)
    put(value[1], rows, k, 1, m)


@numba.njit(cache=True)
def _store(rows, factor, v):
    for k in range(v.shape[0]):
        for block in range(rows.shape[2]):
            first = block * LANES
            for m in range(min(LANES, v.shape[1] - first)):
                v[k, first + m, 0] = rows[k, 0, block, m] * factor
                v[k, first + m, 1] = rows[k, 1, block, m] * factor
