"""The interface of participation: which UEs take part in a round."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
    """

    num_samples: Sequence[int]
    history: NDArray[Any]
    rate_bit_s: Callable[[], NDArray[np.float64]]
    round: int
    clock_s: float
    seed: int

    def __len__(self) -> int:
        """Return the number of UEs."""
        return len(self.num_samples)


class Participation(Component):
    """A rule that chooses the participants of every round."""

    @abstractmethod
    def select(self, candidates: Candidates) -> list[int]:
        """Return the indices of the chosen UEs, ascending, each once; may be empty."""


PARTICIPATIONS: Registry[Participation] = Registry("participation", Participation)


@PARTICIPATIONS.register("all")
class Everyone(Participation):
    """Every UE takes part in every round."""

    def select(self, candidates: Candidates) -> list[int]:
        """Return all UEs."""
        return list(range(len(candidates)))
