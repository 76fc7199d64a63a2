"""What an iteration of WMMSE needs of its inverses on a CPU, compiled: rows of one matrix at a time, never stored."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np

from ran.lanes import DOUBLE_LANES, get, lanes, put

_FAST = {"contract", "reassoc", "nsz", "arcp"}


@numba.njit(cache=True, fastmath=_FAST)
def scale_correlations(correlation, scale, matrix):
    """Fill C = I + S (G - I) S, complex [batch, K, K], from G - I and the diagonals of S, [batch, K]."""
    batch, size = scale.shape
    for b in range(batch):
        for k in range(size):
            for j in range(size):
                matrix[b, k, j] = correlation[b, k, j] * (scale[b, k] * scale[b, j])
            matrix[b, k, k] = 1.0


@numba.njit(cache=True, fastmath=_FAST)
def sums_of_inverses(matrix, factor, weight, diagonal, mixed, leaked):
    """Fill sums over the rows of Y = C^-1, real [batch, K], all over the columns j other than k but the first.

    Args:
        matrix: C, complex [batch, K, K].
        factor: F with C = F^H F, complex [batch, K, K], of which only the upper triangle is read.
        weight: real [batch, K].
        diagonal: is filled with Y_kk.
        mixed: is filled with sum_j C_kj Y_jk.
        leaked: is filled with sum_j |Y_kj|^2 weight_j.
    """
    batch, size = weight.shape
    blocks = (size + DOUBLE_LANES - 1) // DOUBLE_LANES
    z = np.zeros((2, size, blocks, DOUBLE_LANES))  # real and imaginary parts of Z = F^-H, a lower triangle
    y = np.zeros((2, 2, blocks, DOUBLE_LANES))  # two rows of Y
    flat, rows = z.reshape(2, size, -1), y.reshape(2, 2, -1)
    for b in range(batch):
        for i in range(size):
            _eliminate(factor[b], i, z)
            flat[0, i, i] = 1.0 / factor[b, i, i].real
        for k in range(0, size, 2):
            _two_rows(flat, z, k, size, y)
            for row in range(min(2, size - k)):
                me = k + row
                diagonal[b, me], rows[row, 0, me] = rows[row, 0, me], 0.0
                both, leak = 0.0, 0.0
                for j in range(size):
                    real, imag = rows[row, 0, j], rows[row, 1, j]
                    both += matrix[b, me, j].real * real + matrix[b, me, j].imag * imag
                    leak += (real * real + imag * imag) * weight[b, j]
                mixed[b, me], leaked[b, me] = both, leak


@numba.njit(cache=True)
def _eliminate(factor, i, z):
    """Fill row i of Z but its diagonal: - sum_l conj(F_li) Z_l / F_ii over the rows l above it."""
    pivot = -1.0 / factor[i, i].real
    for m in range(z.shape[2]):
        nothing = lanes(0.0)
        a, b, c, d = nothing, nothing, nothing, nothing
        for j in range(m * DOUBLE_LANES, i):
            x, y = factor[j, i].real, factor[j, i].imag
            real, imag = get(z, 0, j, m), get(z, 1, j, m)
            a, b = a + x * real, b + y * imag
            c, d = c + x * imag, d + y * real
        put(pivot * (a + b), z, 0, i, m)
        put(pivot * (c - d), z, 1, i, m)


@numba.njit(cache=True)
def _two_rows(flat, z, k, size, rows):
    """Fill rows k and k + 1 of Y = Z^H Z, [2, parts, blocks, lanes]; ``flat`` is z, blocks and lanes in one axis."""
    for m in range(z.shape[2]):
        nothing = lanes(0.0)
        a, b, c, d = nothing, nothing, nothing, nothing
        for i in range(max(k, m * DOUBLE_LANES), size):
            real, imag = get(z, 0, i, m), get(z, 1, i, m)
            x, y = flat[0, i, k], flat[1, i, k]
            a, b = a + x * real + y * imag, b + x * imag - y * real
            x, y = flat[0, i, k + 1], flat[1, i, k + 1]
            c, d = c + x * real + y * imag, d + x * imag - y * real
        put(a, rows, 0, 0, m)
        put(b, rows, 0, 1, m)
        put(c, rows, 1, 0, m)
        put(d, rows, 1, 1, m)
