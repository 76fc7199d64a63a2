"""Named arrays as the bytes that cross the air: the safetensors format."""

from __future__ import annotations

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
