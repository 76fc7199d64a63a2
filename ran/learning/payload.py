"""Named arrays as the bytes that cross the air: the safetensors format."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import load, save

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays


def encode(arrays: Arrays) -> bytes:
    """Return the safetensors serialisation: 8 bytes of header length, a JSON header, the raw little-endian data.

    Equal arrays give equal bytes, whatever the order of the names.
    """
    return save({name: np.asarray(arrays[name], order="C") for name in arrays})


def decode(payload: bytes) -> Arrays:
    """Return the arrays; the exact inverse of ``encode``: names, shapes, dtypes and bits."""
    return load(payload)


def restore(payload: bytes, gaps: Sequence[tuple[int, int]], fill: Arrays) -> Arrays:
    """Return the arrays of a payload with gaps, values that miss any byte taken from ``fill``.

    Both sides know names, shapes and dtypes, so the header needs no byte of the air: it is that of ``fill``.

    Args:
        payload: what ``encode`` gave, with anything in the gaps.
        gaps: ranges (start, stop) of lost bytes.
        fill: arrays of the same names, shapes and dtypes.
    """
    if not gaps:
        return decode(payload)
    whole = bytearray(encode(fill))
    assert len(whole) == len(payload), "the arrays to fill from are not those that were sent"
    header = 8 + int.from_bytes(whole[:8], "little")
    # Copy what arrived, then put back every value of which a byte is missing.
    arrived = bytearray(payload)
    for start, stop in gaps:
        arrived[start:stop] = whole[start:stop]
    whole[header:] = arrived[header:]
    mended, kept = decode(bytes(whole)), dict[str, np.ndarray]()
    touched = np.zeros(len(payload), bool)
    for start, stop in gaps:
        touched[start:stop] = True
    for name, offset in _offsets(bytes(whole)).items():
        array = mended[name]
        lost = touched[header + offset : header + offset + array.nbytes].reshape(array.size, array.itemsize).any(axis=1)
        kept[name] = np.where(lost.reshape(array.shape), fill[name], array)
    return kept


def _offsets(payload: bytes) -> dict[str, int]:
    """Return where the data of every array begin, counted from the end of the header."""
    length = int.from_bytes(payload[:8], "little")
    header = json.loads(payload[8 : 8 + length])
    return {name: entry["data_offsets"][0] for name, entry in header.items() if name != "__metadata__"}
