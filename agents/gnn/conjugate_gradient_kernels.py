"""Conjugate gradients on a CPU, compiled: many matrices at a time, one in each lane, so that all stays in the cache.

Every array's last axis is the lanes; complex ones have the real parts of all lanes before the imaginary parts. Axes
over rows and columns are padded with zeros to multiples of four, so that sums can be taken four at a time.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np

LANES = 32
FAST = {"contract", "reassoc", "nsz", "arcp"}
_TINY, _ZERO, _ONE = np.finfo(np.float32).tiny, np.float32(0.0), np.float32(1.0)


@numba.njit(cache=True, fastmath=FAST)
def row_times_matrix(p, c, t, size):
    """Fill t with the row p times the matrix c, complex: p and t are [K, 2 lanes], c [K, K, 2 lanes]."""
    for j in range(size):
        for n in range(2 * LANES):
            t[j, n] = _ZERO
    for k in range(0, size, 4):
        for j in range(size):
            for n in range(LANES):
                i = n + LANES
                t[j, n] += (
                    p[k, n] * c[k, j, n] - p[k, i] * c[k, j, i]
                    + p[k + 1, n] * c[k + 1, j, n] - p[k + 1, i] * c[k + 1, j, i]
                    + p[k + 2, n] * c[k + 2, j, n] - p[k + 2, i] * c[k + 2, j, i]
                    + p[k + 3, n] * c[k + 3, j, n] - p[k + 3, i] * c[k + 3, j, i]
                )  # fmt: skip
                t[j, i] += (
                    p[k, n] * c[k, j, i] + p[k, i] * c[k, j, n]
                    + p[k + 1, n] * c[k + 1, j, i] + p[k + 1, i] * c[k + 1, j, n]
                    + p[k + 2, n] * c[k + 2, j, i] + p[k + 2, i] * c[k + 2, j, n]
                    + p[k + 3, n] * c[k + 3, j, i] + p[k + 3, i] * c[k + 3, j, n]
                )  # fmt: skip


@numba.njit(cache=True, fastmath=FAST)
def conjugate_gradients(c, steps, tolerance, size, solution, residual):
    """Fill the inverse's rows and their residuals, as ``inverse_by_conjugate_gradients`` before its last product."""
    p, turned = np.zeros_like(c[0]), np.zeros_like(c[0])
    curvature, norm, length = np.zeros(LANES, np.float32), np.zeros(LANES, np.float32), np.zeros(LANES, np.float32)
    enough = np.float32(tolerance * tolerance)
    for row in range(size):
        x, r = solution[row], residual[row]
        x[:], r[:], p[:] = _ZERO, _ZERO, _ZERO
        r[row, :LANES], p[row, :LANES], norm[:] = _ONE, _ONE, _ONE
        for step in range(steps):
            if step == 0:
                for j in range(size):
                    for n in range(2 * LANES):
                        turned[j, n] = c[row, j, n]
            else:
                row_times_matrix(p, c, turned, size)
            curvature[:] = _ZERO
            for j in range(size):
                for n in range(LANES):
                    curvature[n] += p[j, n] * turned[j, n] + p[j, n + LANES] * turned[j, n + LANES]
            for n in range(LANES):
                going = curvature[n] > _TINY and norm[n] > enough
                length[n] = norm[n] / max(curvature[n], _TINY) if going else _ZERO
            curvature[:] = _ZERO  # from here on the next norm
            for j in range(size):
                for n in range(LANES):
                    i = n + LANES
                    x[j, n] += length[n] * p[j, n]
                    x[j, i] += length[n] * p[j, i]
                    r[j, n] -= length[n] * turned[j, n]
                    r[j, i] -= length[n] * turned[j, i]
                    curvature[n] += r[j, n] * r[j, n] + r[j, i] * r[j, i]
            most = _ZERO
            for n in range(LANES):
                length[n] = curvature[n] / max(norm[n], _TINY)
                norm[n] = curvature[n]
                most = max(most, norm[n])
            if most <= enough:
                break
            for j in range(size):
                for n in range(LANES):
                    p[j, n] = r[j, n] + length[n] * p[j, n]
                    p[j, n + LANES] = r[j, n + LANES] + length[n] * p[j, n + LANES]
