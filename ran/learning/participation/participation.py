"""The interface of participation: which UEs take part in a round, and which of them vanish during it."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from channel.component import Component
from channel.registry import Registry
from channel.seeding import stream
from ran.learning.participation.allotment import Allotment
from ran.learning.participation.availability import AVAILABILITIES, Always, Availability, Presence

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.participation.sight import Sight


@dataclass(frozen=True)
class Candidates:
    """What a rule may know of the UEs when a round starts.

    Attributes:
        num_samples: training samples of every UE.
        history: what earlier rounds showed of every UE, HISTORY_DTYPE [num_ues] (see ``ran.learning.history``).
        rate_bit_s: returns every UE's uplink rate by its last channel report if it had the cell alone,
            float64 [num_ues]; asked for only by rules that use it, for it costs a look at the channel.
        round: rounds done.
        clock_s: virtual time.
        seed: of the run; a rule draws from ``stream(seed, "participation", round)``.
        exhausted: UEs that cannot take part any more, such as those with an empty battery.
        draw: numbers the choice where there are several between two server steps; None: ``round`` does.
        sight: returns what a policy sees and knows of UEs and network; asked for only by rules that use it.
    """

    num_samples: Sequence[int]
    history: NDArray[Any]
    rate_bit_s: Callable[[], NDArray[np.float64]]
    round: int
    clock_s: float
    seed: int
    exhausted: frozenset[int] = frozenset()
    draw: int | None = None
    sight: Callable[[], Sight] | None = None

    def __len__(self) -> int:
        """Return the number of UEs."""
        return len(self.num_samples)

    def rng(self) -> np.random.Generator:
        """Return the round's generator for choosing participants."""
        return stream(self.seed, "participation", self.number)

    @property
    def number(self) -> int:
        """What numbers this choice of participants."""
        return self.round if self.draw is None else self.draw


class Participation(Component):
    """A rule that chooses the participants of every round among the UEs that are there.

    Only UEs that are available when a round starts can be chosen. A chosen one vanishes, and its update with it, if it
    leaves before its training is done, or by chance (``dropout``); in the next round it may be chosen again.
    """

    availability: Annotated[Availability, AVAILABILITIES.field()] = Always()
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="chance that a chosen UE trains but never reports, each round anew"
    )

    def num_ues_problems(self, num_ues: int) -> list[str]:
        """Return what is wrong with the rule for so many UEs, a sentence each."""
        count = getattr(self, "count", None)
        found = [self.availability.num_ues_problem(num_ues)]
        if count is not None and count > num_ues:
            found.append(f"{self.name} wants {count} UEs a round, but ues.count is {num_ues}; lower count")
        return [problem for problem in found if problem]

    def cohort(self, num_ues: int) -> int:
        """Return how many of so many UEs take part in a round when all are there."""
        count = getattr(self, "count", None)
        return num_ues if count is None else min(count, num_ues)

    @abstractmethod
    def choose(self, candidates: Candidates, present: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the chosen among the UEs ``present`` (ascending, at least one), each once, in any order."""

    def allot(self, candidates: Candidates) -> Allotment:
        """Return who takes part, and with what; by default with all that they have."""
        return Allotment(self.select(candidates))

    def select(self, candidates: Candidates) -> list[int]:
        """Return the indices of the chosen UEs, ascending, each once; may be empty."""
        present = self.present(candidates)
        return sorted(int(ue) for ue in self.choose(candidates, present)) if len(present) else []

    def present(self, candidates: Candidates) -> NDArray[np.int64]:
        """Return the UEs that could be chosen now, ascending."""
        import numpy as np

        here = self._presence(candidates).now.copy()
        here[list(candidates.exhausted)] = False
        return np.flatnonzero(here).astype(np.int64)

    def drops(self, candidates: Candidates, ready_s: Mapping[int, float]) -> set[int]:
        """Return the chosen UEs that never report, given when each of them would be ready to."""
        vanish = stream(candidates.seed, "dropout", candidates.number).random(len(candidates)) < self.dropout
        until_s = self._presence(candidates).until_s
        return {ue for ue, time_s in ready_s.items() if vanish[ue] or until_s[ue] < time_s}

    def resumes_s(self, candidates: Candidates) -> float:
        """Return the earliest time from ``clock_s`` on at which a UE can be chosen; inf if there is none."""
        presence = self._presence(candidates)
        times = [
            candidates.clock_s if presence.now[ue] else float(presence.until_s[ue])
            for ue in range(len(candidates))
            if ue not in candidates.exhausted
        ]
        return min(times, default=math.inf)

    def arrives_s(self, candidates: Candidates, ues: Sequence[int]) -> float:
        """Return when the first of some UEs that is absent comes back; inf if none does."""
        presence = self._presence(candidates)
        away = [ue for ue in ues if not presence.now[ue] and ue not in candidates.exhausted]
        return min((float(presence.until_s[ue]) for ue in away), default=math.inf)

    def _presence(self, candidates: Candidates) -> Presence:
        return self.availability.presence(len(candidates), candidates.clock_s, candidates.seed)


PARTICIPATIONS: Registry[Participation] = Registry("participation", Participation)


@PARTICIPATIONS.register("all")
class Everyone(Participation):
    """Every UE that is there takes part in every round."""

    def choose(self, candidates: Candidates, present: NDArray[np.int64]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return all that are present."""
        return present
