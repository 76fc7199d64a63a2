"""What an agent sees and does, value by value: names, units and bounds, and the way to and from [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ran.observed import Field, pack, unpack

__all__ = ["Choice", "Field", "Term", "pack", "size_of", "table", "unpack"]


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
