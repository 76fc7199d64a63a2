"""Oracle: NumPy in double precision, lane by lane."""

from __future__ import annotations

import numba
import numpy as np
import pytest

from ran.lanes import (
    DOUBLE_LANES,
    LANES,
    any_greater,
    choose,
    exp,
    get,
    get_complex,
    inner,
    larger,
    log,
    log_1_plus,
    multiply_add,
    plus_product,
    plus_product_with_conjugate,
    put,
    put_complex,
    smaller,
    total,
)  # fmt: skip

WIDTHS = pytest.mark.parametrize(("kind", "width"), [(np.float32, LANES), (np.float64, DOUBLE_LANES)])


@numba.njit
def _arithmetic(a, b, out):
    for k in range(len(a)):
        x, y = get(a, k), get(b, k)
        put((x + y) * (x - y) / (y * y + 2), out, k, 0)
        put(multiply_add(x, y, 3.0) - larger(x, y) - 2 * smaller(x, 0.5), out, k, 1)
        put(choose(x, y, x * 0.25, a[k, 0]), out, k, 2)


@WIDTHS
def test_arithmetic(kind, width):
    """Numbers beside vectors on either side take the vectors' precision."""
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal((5, width)).astype(kind) for _ in range(2))
    out = np.zeros((5, 3, width), kind)
    _arithmetic(a, b, out)
    x, y = a.astype(float), b.astype(float)
    expected = [
        (x * x - y * y) / (y * y + 2),
        x * y + 3 - np.maximum(x, y) - 2 * np.minimum(x, 0.5),
        np.where(x > y, x / 4, x[:, :1]),
    ]
    np.testing.assert_allclose(out, np.stack(expected, 1), rtol=0, atol=50 * np.finfo(kind).eps)


@numba.njit
def _reductions(a, sums, found):
    for k in range(len(a)):
        sums[k] = total(get(a, k))
        found[k] = any_greater(get(a, k), 0.5)


@WIDTHS
def test_reductions(kind, width):
    """One lane is enough for ``any_greater``, whichever; not a number is greater than nothing."""
    a = np.zeros((width + 2, width), kind)
    a[np.arange(width), np.arange(width)] = 2.0
    a[width] = 0.5
    a[width + 1] = np.nan
    sums, found = np.zeros(len(a), kind), np.zeros(len(a), np.bool_)
    _reductions(a, sums, found)
    np.testing.assert_allclose(sums, a.sum(1))
    assert found.tolist() == [True] * width + [False, False]


@numba.njit
def _complex(a, b, out, real):
    put_complex(plus_product(get_complex(out, 1, 2), get_complex(a, 1, 0), get_complex(b, 0, 1)), out, 1, 2)
    put(inner(get_complex(a, 1, 0), get_complex(b, 0, 1)), real, 0)
    put_complex(
        plus_product_with_conjugate(get_complex(out, 0, 1), get_complex(a, 1, 0), get_complex(b, 0, 1)), out, 0, 1
    )


def test_complex_numbers():
    """Indices leave out the parts and the lanes; nothing else is written."""
    rng = np.random.default_rng(2)
    a, b, out = (rng.standard_normal((2, 3, 2, LANES)).astype(np.float32) for _ in range(3))
    before, real = out.copy(), np.zeros((1, LANES), np.float32)
    _complex(a, b, out, real)
    x, y = a[1, 0, 0] + 1j * a[1, 0, 1], b[0, 1, 0] + 1j * b[0, 1, 1]
    expected = before.copy()
    expected[1, 2] += np.stack([(x * y).real, (x * y).imag])
    expected[0, 1] += np.stack([(x * y.conj()).real, (x * y.conj()).imag])
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(real[0], (x * y.conj()).real, rtol=0, atol=1e-5)


@numba.njit
def _functions(a, out):
    for k in range(len(a)):
        put(exp(get(a, k)), out, 0, k)
        put(log(get(a, k)), out, 1, k)
        put(log_1_plus(get(a, k)), out, 2, k)


def _of_functions(x):
    out = np.zeros((3, len(x) // LANES, LANES), np.float32)
    _functions(x.reshape(-1, LANES), out)
    return out.reshape(3, -1)


def test_logarithms():
    """Over all magnitudes of single precision; log(1 + x) relatively exact for x that 1 + x does not see."""
    x = np.geomspace(1.2e-38, 3e38, 16 * 4096).astype(np.float32)
    _, log_x, log_1_plus_x = _of_functions(x)
    exact = np.log(x.astype(float))
    np.testing.assert_array_less(np.abs(log_x - exact), 2e-7 * np.maximum(np.abs(exact), 1.0))
    np.testing.assert_allclose(log_1_plus_x, np.log1p(x.astype(float)), rtol=3e-7)


def test_what_is_no_number_stays_none():
    """Property: NaN in, NaN out, and the neighbours as they are without it."""
    x = np.full(LANES, 2.0, np.float32)
    expected = _of_functions(x.copy())
    x[3] = np.nan
    found = _of_functions(x)
    assert np.isnan(found[:, 3]).all()
    np.testing.assert_array_equal(np.delete(found, 3, 1), np.delete(expected, 3, 1))


def test_exponentials():
    """Relatively exact from -87 to 88, and held at these ends."""
    x = np.linspace(-87, 88, 16 * 4096).astype(np.float32)
    np.testing.assert_allclose(_of_functions(x)[0], np.exp(x.astype(float)), rtol=2e-7)
    beyond = np.repeat(np.array([-1e9, 1e9], np.float32), LANES)
    np.testing.assert_allclose(_of_functions(beyond)[0], np.repeat(np.exp([-87.0, 88.0]), LANES), rtol=2e-7)
