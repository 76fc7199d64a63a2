"""Conjugate gradients on a CPU, compiled: sixteen matrices at a time, so that all stays in the cache.

Arrays end in [2, LANES]: real and imaginary parts, one number of each matrix. Rows and columns are taken two by two,
so that a number read serves twice; axes over them are padded with zeros to even numbers.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np

from ran.lanes import (
    any_greater,
    choose,
    get,
    get_complex,
    inner,
    lanes,
    larger,
    plus_product,
    put,
    put_complex,
    smaller,
)

_TINY, _ZERO, _ONE = np.finfo(np.float32).tiny, np.float32(0.0), np.float32(1.0)


@numba.njit(cache=True)
def two_rows_times_matrix(p, row, c, t, start, size):
    """Fill t [2, K, 2, lanes], columns from ``start`` on, with two rows of p [:, K, 2, lanes] times c [K, K, 2, lanes].

    The rows are ``row`` and the next; ``start`` is even. Return the real part of each row's inner product with its row
    of t.
    """
    nothing = lanes(_ZERO), lanes(_ZERO)
    first, second = nothing
    for j in range(start, size, 2):
        upper, upper_next, lower, lower_next = nothing, nothing, nothing, nothing
        for k in range(size):
            here, beside = get_complex(c, k, j), get_complex(c, k, j + 1)
            above, below = get_complex(p, row, k), get_complex(p, row + 1, k)
            upper, upper_next = plus_product(upper, above, here), plus_product(upper_next, above, beside)
            lower, lower_next = plus_product(lower, below, here), plus_product(lower_next, below, beside)
        put_complex(upper, t, 0, j)
        put_complex(upper_next, t, 0, j + 1)
        put_complex(lower, t, 1, j)
        put_complex(lower_next, t, 1, j + 1)
        first += inner(upper, get_complex(p, row, j)) + inner(upper_next, get_complex(p, row, j + 1))
        second += inner(lower, get_complex(p, row + 1, j)) + inner(lower_next, get_complex(p, row + 1, j + 1))
    return first, second


@numba.njit(cache=True)
def conjugate_gradients(c, started, steps, tolerance, size, solution, residual, p, turned):
    """Fill the inverse's rows and their residuals, as ``inverse_by_conjugate_gradients`` before its last product.

    ``started`` says whether ``solution`` holds a start; ``p`` and ``turned`` [2, K, 2, lanes] are room to work in.
    """
    enough = np.float32(tolerance * tolerance)
    for row in range(0, size, 2):
        if started:
            two_rows_times_matrix(solution, row, c, turned, 0, size)
        norm = _start(started, 0, row, size, c, solution, residual, p, turned)
        other_norm = _start(started, 1, row + 1, size, c, solution, residual, p, turned)
        curvature, other = get(c, row, row, 0), get(c, row + 1, row + 1, 0)
        for step in range(steps if any_greater(larger(norm, other_norm), enough) else 0):
            if started or step > 0:
                curvature, other = two_rows_times_matrix(p, 0, c, turned, 0, size)
            next_norm = _advance(0, row, curvature, norm, enough, size, solution, residual, p, turned)
            other_next = _advance(1, row + 1, other, other_norm, enough, size, solution, residual, p, turned)
            if not any_greater(larger(next_norm, other_next), enough):
                break
            _turn(0, row, next_norm / larger(norm, _TINY), size, residual, p)
            _turn(1, row + 1, other_next / larger(other_norm, _TINY), size, residual, p)
            norm, other_norm = next_norm, other_next


@numba.njit(cache=True)
def _start(started, which, row, size, c, solution, residual, p, turned):
    """Fill residual and first direction of a row, and return its squared norm; rows of the padding are zero.

    From zero the residual is a row of the unit matrix, and turned by C a row of C. A start is kept if its residual is
    smaller.
    """
    norm = lanes(_ZERO)
    if started:
        for j in range(size):
            real = (_ONE if j == row else _ZERO) - get(turned, which, j, 0)
            norm += real * real + get(turned, which, j, 1) * get(turned, which, j, 1)
    for j in range(size):
        for part in range(2):
            unit, x = lanes(_ONE if j == row and part == 0 else _ZERO), lanes(_ZERO)
            rest = unit
            if started:
                rest = choose(_ONE, norm, unit - get(turned, which, j, part), unit)
                x = choose(_ONE, norm, get(solution, row, j, part), _ZERO)
            put(x, solution, row, j, part)
            put(rest, residual, row, j, part)
            put(rest, p, which, j, part)
            put(get(c, row, j, part), turned, which, j, part)
    if size % 2:  # a padding column left over from other channels counts nothing, unless it is no number
        put_complex((lanes(_ZERO), lanes(_ZERO)), p, which, size)
    one = lanes(_ONE if row < size else _ZERO)
    return smaller(norm, one) if started else one


@numba.njit(cache=True)
def _advance(which, row, curvature, norm, enough, size, solution, residual, p, turned):
    """Go as far along a direction as is best, and return the residual's squared norm there."""
    length = choose(curvature, _TINY, choose(norm, enough, norm / larger(curvature, _TINY), _ZERO), _ZERO)
    left = lanes(_ZERO)
    for j in range(size):
        for part in range(2):
            put(get(solution, row, j, part) + length * get(p, which, j, part), solution, row, j, part)
            rest = get(residual, row, j, part) - length * get(turned, which, j, part)
            put(rest, residual, row, j, part)
            left += rest * rest
    return left


@numba.njit(cache=True)
def _turn(which, row, share, size, residual, p):
    """Set the next direction: the residual and a share of the last direction."""
    for j in range(size):
        for part in range(2):
            put(get(residual, row, j, part) + share * get(p, which, j, part), p, which, j, part)
