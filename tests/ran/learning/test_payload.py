"""Payload bytes: the safetensors format, and an exact inverse."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ran.learning.payload import decode, encode

ARRAY = arrays.arrays(
    st.sampled_from([np.float32, np.float64, np.float16, np.int64]), arrays.array_shapes(min_dims=0, min_side=0)
)
NAMES = st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__")


@given(st.dictionaries(NAMES, ARRAY, max_size=5))
def test_decode_inverts_encode_to_the_bit(named):
    """Property: names, dtypes, shapes and bits (NaN and -0.0 too) come back."""
    back = decode(encode(named))
    assert back.keys() == named.keys()
    for name, value in named.items():
        assert (back[name].dtype, back[name].shape) == (value.dtype, value.shape)
        assert back[name].tobytes() == value.tobytes()


def test_bytes_follow_the_published_layout_and_not_the_order_of_names():
    """Oracle: the format's definition: uint64 header length, JSON with offsets, little-endian data; strides ignored."""
    one, two = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1.5], np.float32)
    payload = encode({"one": one.T, "two": two})
    assert payload == encode({"two": two, "one": one.T})
    length = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + length])
    data = payload[8 + length :]
    assert len(data) == 4 * (6 + 1)
    assert header["one"]["dtype"] == "F32"
    assert header["one"]["shape"] == [3, 2]
    start, end = header["one"]["data_offsets"]
    assert np.frombuffer(data[start:end], "<f4").tolist() == [0, 3, 1, 4, 2, 5]
