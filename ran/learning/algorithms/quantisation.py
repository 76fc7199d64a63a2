"""Arrays in 32, 8 or 4 bits a value, packed into as many bytes as that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays

Quantisation = Literal["none", "int8", "e3m0"]

_MAGNITUDES = (0.0, *(2.0**exponent for exponent in range(-6, 1)))
"""What the 3 exponent bits of e3m0 stand for, in units of the scale: zero, or one of seven powers of two."""


def quantised(arrays: Arrays, quantisation: Quantisation) -> Arrays:
    """Return what goes on the air, all values of all arrays one after the other in the order of ``arrays``.

    none: ``values`` [num_values] as they are. Otherwise ``scales``, float32 [num_arrays], the largest magnitude m of
    each array, and ``codes``, uint8, to the nearest of

    - int8: m k / 127, k = -127 .. 127 in two's complement; num_values bytes,
    - e3m0: +-m 2^-6 .. +-m 2^0, or 0; a sign and three exponent bits (Douillard et al., arXiv 2501.18512, section
      2.4, name the format; the scale per array is ours); two values a byte, the first in the low half; ceil(num_values
      / 2) bytes.

    A byte of zeros means zeros, so that lost bytes filled with zeros are no change.
    """
    import numpy as np

    if quantisation == "none":
        return {"values": np.concatenate([array.ravel() for array in arrays.values()])}
    coded, scales = list["NDArray[Any]"](), list[float]()
    for array in arrays.values():
        scale = float(np.float32(np.abs(array).max(initial=0.0)))
        relative = array.ravel().astype(np.float64) / (scale or 1.0)
        coded.append(_int8(relative) if quantisation == "int8" else _e3m0(relative))
        scales.append(scale)
    codes: NDArray[Any] = np.concatenate(coded)
    if quantisation == "e3m0":
        codes = np.concatenate([codes, np.zeros(len(codes) % 2, np.uint8)])
        codes = codes[::2] + 16 * codes[1::2]
    return {"codes": codes, "scales": np.array(scales, np.float32)}  # type: ignore[dict-item]


def dequantised(sent: Arrays, like: Arrays, quantisation: Quantisation) -> Arrays:
    """Return the arrays that ``quantised`` wrote, in the names, shapes and dtypes of ``like``."""
    import numpy as np

    values: NDArray[Any]
    sizes = [array.size for array in like.values()]
    if quantisation == "none":
        values = sent["values"]
    else:
        codes, scales = sent["codes"].astype(np.uint8), np.repeat(sent["scales"].astype(np.float64), sizes)
        if quantisation == "int8":
            values = codes.view(np.int8) / 127.0 * scales
        else:
            codes = np.stack([codes & 15, codes >> 4], axis=1).ravel()[: sum(sizes)]  # [num_values]
            values = np.where(codes & 8, -1.0, 1.0) * np.array(_MAGNITUDES)[codes & 7] * scales
    pieces = np.split(values, np.cumsum(sizes)[:-1])
    return {
        name: piece.reshape(array.shape).astype(array.dtype)
        for (name, array), piece in zip(like.items(), pieces, strict=True)
    }


def _int8(relative: NDArray[np.float64]) -> NDArray[np.uint8]:
    import numpy as np

    return np.rint(127.0 * relative).astype(np.int8).view(np.uint8)


def _e3m0(relative: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return one code a value: sign in bit 3, exponent below it."""
    import numpy as np

    levels = np.array(_MAGNITUDES)
    code = np.searchsorted((levels[1:] + levels[:-1]) / 2, np.abs(relative)).astype(np.uint8)
    return np.where((relative < 0) & (code > 0), code | 8, code).astype(np.uint8)
