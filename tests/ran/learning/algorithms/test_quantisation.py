"""Quantised arrays: exact bytes, and errors no larger than the grid allows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from ran.learning.algorithms.quantisation import dequantised, quantised

FLOATS = arrays(
    np.float32, array_shapes(min_dims=0, max_dims=3, min_side=0), elements=st.floats(-(2.0**66), 2.0**66, width=32)
)
NAMED = st.dictionaries(st.sampled_from("abc"), FLOATS, min_size=1)


@given(NAMED)
def test_none_is_the_values_themselves(named):
    """Property: names, shapes, dtypes and bits come back."""
    back = dequantised(quantised(named, "none"), named, "none")
    assert all(
        back[name].tobytes() == named[name].tobytes() and back[name].shape == named[name].shape for name in named
    )


@given(NAMED, st.sampled_from(["int8", "e3m0"]))
def test_bytes_and_errors(named, kind):
    """Oracle: counting of bits; half a step of the grid: m / 254, or for e3m0 a third of the value or m / 128."""
    sent, count = quantised(named, kind), sum(array.size for array in named.values())
    assert sent["codes"].dtype == np.uint8
    assert sent["codes"].nbytes == (count if kind == "int8" else -(-count // 2))
    assert sent["scales"].nbytes == 4 * len(named)
    back = dequantised(sent, named, kind)
    for name, array in named.items():
        assert (back[name].shape, back[name].dtype) == (array.shape, array.dtype)
        exact, largest = array.astype(np.float64), float(np.abs(array).max(initial=0.0))
        bound = largest / 254 if kind == "int8" else np.maximum(np.abs(exact) / 3, largest / 128)
        assert (np.abs(back[name] - exact) <= bound * (1 + 1e-5) + 1e-40).all()


def test_e3m0_by_hand():
    """Oracle: by hand: +-2^-6 .. +-1 and 0 of the largest magnitude, to the nearest, first value in the low half."""
    values = np.array([8.0, -4.0, 5.9, 6.1, 0.126, -0.06, 0.0], np.float32)
    sent = quantised({"x": values}, "e3m0")
    assert sent["scales"].tolist() == [8.0]
    assert sent["codes"].tolist() == [0xE7, 0x76, 0x01, 0x00]
    assert dequantised(sent, {"x": values}, "e3m0")["x"].tolist() == [8.0, -4.0, 4.0, 8.0, 0.125, 0.0, 0.0]


def test_int8_by_hand():
    """Oracle: by hand: -m is -127 (0x81), m / 127 is 1."""
    values = np.array([-127.0, 1.0, 63.4, 0.0], np.float32)
    sent = quantised({"x": values}, "int8")
    assert sent["codes"].tolist() == [0x81, 1, 63, 0]
    assert dequantised(sent, {"x": values}, "int8")["x"].tolist() == [-127.0, 1.0, 63.0, 0.0]


@pytest.mark.parametrize("kind", ["int8", "e3m0"])
def test_zero_bytes_are_zeros(kind):
    """Property: what a lost packet leaves behind is no change."""
    like = {"x": np.ones(5, np.float32)}
    sent = quantised(like, kind)
    lost = sent | {"codes": np.zeros_like(sent["codes"])}
    assert (dequantised(lost, like, kind)["x"] == 0).all()
