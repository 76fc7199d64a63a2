"""Who takes part in a round, and with what: what a rule of participation decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ran.learning.compression import Compressor


@dataclass(frozen=True)
class Allotment:
    """The participants of a round and what each may use.

    Attributes:
        ues: the participants, ascending, each once.
        clock: part of its highest clock at which each trains, by UE; 1 of those not named.
        backoff_db: how far below its most power each stays while it sends its update, by UE; 0 of those not named.
        share: of the uplink band for each update, on any common scale, by UE; 0 of those not named: nobody said. Only
            the scheduler ``shares`` looks at it.
        compressor: of all updates; None: the scenario's.
    """

    ues: Sequence[int]
    clock: Mapping[int, float] = field(default_factory=dict)
    backoff_db: Mapping[int, float] = field(default_factory=dict)
    share: Mapping[int, float] = field(default_factory=dict)
    compressor: Compressor | None = None
