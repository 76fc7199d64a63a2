"""What a policy sees and does, value by value, and the way to and from [-1, 1]: one for environments and scenarios."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Field:
    """One block of an observation, or of a continuous action.

    Attributes:
        name: what it is called.
        unit: of the physical value, "1" for none; "log10 bit/s" for what is seen by its logarithm.
        low, high: bounds of the physical value; they become -1 and 1, and what lies beyond is cut off.
        says: what it means.
        count: values, e.g. one for every UE.
    """

    name: str
    unit: str
    low: float
    high: float
    says: str
    count: int = 1


def pack(fields: Sequence[Field], values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return physical values as one vector in [-1, 1], float32 [..., size]; each value has shape [..., count].

    x = 2 (v - low) / (high - low) - 1, cut off at -1 and 1.
    """
    import numpy as np

    parts = []
    for field in fields:
        scaled = (np.asarray(values[field.name], np.float64) - field.low) * (2 / (field.high - field.low)) - 1
        parts.append(np.clip(scaled, -1.0, 1.0))
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def unpack(fields: Sequence[Field], packed: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return the physical values of a vector in [-1, 1], [..., size], by name, each [..., count]."""
    import numpy as np

    values, start = dict[str, "NDArray[np.float64]"](), 0
    for field in fields:
        part = np.clip(np.asarray(packed[..., start : start + field.count], np.float64), -1.0, 1.0)
        values[field.name] = field.low + (part + 1) * ((field.high - field.low) / 2)
        start += field.count
    return values
