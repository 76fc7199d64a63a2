"""When UEs are there at all: always, by a trace, or coming and going at random."""

from __future__ import annotations

import csv
import math
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from channel.component import Component
from channel.errors import UserError
from channel.registry import Registry
from channel.seeding import stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Presence:
    """Which UEs are there at one moment.

    Attributes:
        now: whether each is there, bool [num_ues].
        until_s: when that changes next, float64 [num_ues]; inf for never.
    """

    now: NDArray[np.bool_]
    until_s: NDArray[np.float64]


class Availability(Component):
    """A rule that says when each UE can be chosen; a function of time and seed, so that nothing is remembered."""

    @abstractmethod
    def presence(self, num_ues: int, time_s: float, seed: int) -> Presence:
        """Return who is there at ``time_s``, and until when that stays so."""

    def num_ues_problem(self, num_ues: int) -> str | None:
        """Return what is wrong with the rule for so many UEs, or None."""
        return None


AVAILABILITIES: Registry[Availability] = Registry("availability", Availability)


@AVAILABILITIES.register("always")
class Always(Availability):
    """Every UE is there all the time."""

    def presence(self, num_ues: int, time_s: float, seed: int) -> Presence:  # noqa: ARG002
        """Return that all are there for ever."""
        import numpy as np

        return Presence(np.ones(num_ues, bool), np.full(num_ues, np.inf))


@AVAILABILITIES.register("trace")
class Trace(Availability):
    """UEs are there during the intervals of a .csv file with columns ue, start_s, end_s (UEs counted from 0).

    Intervals are half open, [start_s, end_s); touching or overlapping ones of a UE are one. A UE without any is never
    there.
    """

    path: str = Field(min_length=1, description=".csv file with columns ue, start_s, end_s")

    def problems(self) -> list[str]:
        """Return a sentence where the file is missing or a row makes no sense."""
        try:
            self.intervals()
        except UserError as error:
            return [f"`path`: {error}"]
        return []

    def num_ues_problem(self, num_ues: int) -> str | None:
        """Return that the trace names a UE that is not there."""
        last = max(self.intervals(), default=-1)
        if last < num_ues:
            return None
        return (
            f"the trace {self.path!r} names UE {last}, but ues.count is {num_ues} (UEs count from 0); raise ues.count"
        )

    def intervals(self) -> dict[int, list[tuple[float, float]]]:
        """Return every UE's intervals, in order of time and apart; raises UserError naming the line."""
        path = Path(self.path).expanduser()
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read {self.path!r} ({error}); give a .csv file") from error
        found: dict[int, list[tuple[float, float]]] = {}
        for line, row in enumerate(rows, start=2):
            ue, start_s, end_s = _interval(row, f"{self.path!r}, line {line}")
            found.setdefault(ue, []).append((start_s, end_s))
        return {ue: _merged(sorted(intervals)) for ue, intervals in sorted(found.items())}

    def presence(self, num_ues: int, time_s: float, seed: int) -> Presence:  # noqa: ARG002
        """Return whose intervals ``time_s`` lies in."""
        import numpy as np

        now, until_s = np.zeros(num_ues, bool), np.full(num_ues, np.inf)
        for ue, intervals in self.intervals().items():
            if ue >= num_ues:
                continue
            start_s, end_s = next((pair for pair in intervals if time_s < pair[1]), (math.inf, math.inf))
            now[ue] = start_s <= time_s
            until_s[ue] = end_s if now[ue] else start_s
        return Presence(now, until_s)


def _interval(row: dict[str, str], where: str) -> tuple[int, float, float]:
    try:
        ue, start_s, end_s = int(row["ue"]), float(row["start_s"]), float(row["end_s"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{where}: expected ue, start_s, end_s as numbers, got {dict(row)}") from error
    if ue < 0 or not start_s < end_s:
        raise UserError(f"{where}: expected a UE counted from 0 and start_s before end_s, got {ue}, {start_s}, {end_s}")
    return ue, start_s, end_s


def _merged(intervals: list[tuple[float, float]]) -> list[tuple[float, float]]:
    apart = intervals[:1]
    for start_s, end_s in intervals[1:]:
        if start_s <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(apart[-1][1], end_s))
        else:
            apart.append((start_s, end_s))
    return apart


@AVAILABILITIES.register("on_off")
class OnOff(Availability):
    """UEs come and go: stays and absences last exponentially distributed times, independent of each other.

    A two-state Markov process in its steady state from time 0 on: a UE is there with probability
    mean_on_s / (mean_on_s + mean_off_s).
    """

    mean_on_s: float = Field(default=600.0, gt=0, le=1e9, description="mean stay, s")
    mean_off_s: float = Field(default=300.0, gt=0, le=1e9, description="mean absence, s")

    def presence(self, num_ues: int, time_s: float, seed: int) -> Presence:
        """Return the process's state, followed from time 0 for all UEs at once."""
        import numpy as np

        share = self.mean_on_s / (self.mean_on_s + self.mean_off_s)
        first = stream(seed, "availability").random(num_ues) < share
        now, until_s = first.copy(), np.zeros(num_ues)
        change = 0
        while (until_s <= time_s).any():
            # Drawn for all UEs, also those past time_s, so that a UE's times do not depend on the others'.
            duration_s = stream(seed, "availability", change).exponential(size=num_ues)
            moving = until_s <= time_s
            now = np.where(moving, first == (change % 2 == 0), now)
            until_s = np.where(moving, until_s + duration_s * np.where(now, self.mean_on_s, self.mean_off_s), until_s)
            change += 1
        return Presence(now, until_s)
