"""Payload bytes: the safetensors format, and an exact inverse."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ran.learning.payload import decode, encode, restore

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


@given(
    cuts=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 90)), max_size=4),
    seed=st.integers(0, 99),
)
def test_gaps_are_filled_value_by_value(cuts, seed):
    """Oracle: a mask of bytes. A value that misses any byte is the receiver's own, every other one is the sender's."""
    rng = np.random.default_rng(seed)
    sent = {"w": rng.standard_normal((7, 9)).astype(np.float32), "b": rng.standard_normal(5), "n": np.array(3)}
    fill = {name: np.full_like(array, 42) for name, array in sent.items()}
    payload = encode(sent)
    broken, gaps = bytearray(payload), []
    for start, count in cuts:
        stop = min(start + count, len(payload))
        if start < stop:
            gaps.append((start, stop))
            broken[start:stop] = bytes(stop - start)
    got = restore(bytes(broken), gaps, fill)
    here = np.ones(len(payload), bool)
    for start, stop in gaps:
        here[start:stop] = False
    # Where a value's bytes are: encode a copy in which its bits are all ones.
    for name, array in sent.items():
        assert got[name].dtype == array.dtype
        for index in np.ndindex(array.shape):
            other = {key: value.copy() for key, value in sent.items()}
            other[name][index] = np.frombuffer(bytes(~np.frombuffer(array[index].tobytes(), np.uint8)), array.dtype)[0]
            where = np.frombuffer(payload, np.uint8) != np.frombuffer(encode(other), np.uint8)
            expected = array[index] if here[where].all() else fill[name][index]
            assert got[name][index] == expected
