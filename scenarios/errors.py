"""What is wrong with a scenario, said so that its author can mend it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from channel.errors import UserError


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake: where it stands and what it is.

    >>> str(Problem("quickstart.yaml", 12, "learning.rounds", "expected a whole number, got 'many'"))
    "quickstart.yaml:12: learning.rounds: expected a whole number, got 'many'"
    """

    source: str
    """The file as the user named it, or the ``--set`` text."""
    line: int
    """From 1, or 0 where there are no lines."""
    path: str
    """The YAML path, empty for the whole document."""
    text: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}" if self.line else self.source
        return ": ".join(part for part in (place, self.path, self.text) if part)


class ScenarioError(UserError):
    """Everything that is wrong with one scenario: one message, a line for each problem, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__("\n".join(map(str, self.problems)))
