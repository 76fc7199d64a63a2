"""What an agent sees and does, value by value: names, units and bounds, and the way to and from [-1, 1]."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
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


@dataclass(frozen=True)
class Choice:
    """One block of a discrete action: ``count`` numbers from 0 to ``options`` - 1.

    Attributes:
        name: what it is called.
        options: how many there are.
        says: what they mean.
        count: such choices, e.g. one for every UE.
    """

    name: str
    options: int
    says: str
    count: int = 1


@dataclass(frozen=True)
class Term:
    """One term of the reward: its unit, and the weight that the environment gives it."""

    name: str
    unit: str
    weight: float
    says: str


def size_of(fields: Sequence[Field | Choice]) -> int:
    """Return how many values the blocks have together."""
    return sum(field.count for field in fields)


def pack(fields: Sequence[Field], values: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float32]:
    """Return physical values as one vector in [-1, 1], float32 [..., size]; each value has shape [..., count].

    x = 2 (v - low) / (high - low) - 1, cut off at -1 and 1.
    """
    parts = []
    for field in fields:
        scaled = (np.asarray(values[field.name], np.float64) - field.low) * (2 / (field.high - field.low)) - 1
        parts.append(np.clip(scaled, -1.0, 1.0))
    return np.concatenate(parts, axis=-1, dtype=np.float32)


def unpack(fields: Sequence[Field], packed: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Return the physical values of a vector in [-1, 1], [..., size], by name, each [..., count]."""
    values, start = dict[str, "NDArray[np.float64]"](), 0
    for field in fields:
        part = np.clip(np.asarray(packed[..., start : start + field.count], np.float64), -1.0, 1.0)
        values[field.name] = field.low + (part + 1) * ((field.high - field.low) / 2)
        start += field.count
    return values


def table(observed: Sequence[Field], acted: Sequence[Field | Choice], terms: Sequence[Term]) -> str:
    """Return the table that an environment's docstring holds; a test compares the two."""
    rows = ["| | name | values | unit | range | meaning |", "|---|---|---|---|---|---|"]
    rows += [f"| observation | {_row(field)} |" for field in observed]
    rows += [f"| action | {_row(field)} |" for field in acted]
    rows += [f"| reward | {term.name} | 1 | {term.unit} | weight {term.weight:g} | {term.says} |" for term in terms]
    return "\n".join(rows)


def _row(field: Field | Choice) -> str:
    if isinstance(field, Choice):
        return f"{field.name} | {field.count} | 1 | 0 .. {field.options - 1} | {field.says}"
    return f"{field.name} | {field.count} | {field.unit} | {field.low:g} .. {field.high:g} | {field.says}"
