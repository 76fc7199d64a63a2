"""Asynchronous split learning: who may go on, and what becomes of the UE side when a change arrives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from channel.seeding import stream
from ran.learning.algorithms.algorithm import combine, difference
from ran.learning.split.split_round import Turn

if TYPE_CHECKING:
    import simpy

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.split.cut import Node
    from ran.learning.split.party import Party
    from ran.learning.split.split_round import SplitRound
    from ran.learning.split.staleness import BoundedStaleness
    from ran.virtual_clock import Process


@dataclass(frozen=True)
class Merge:
    """A change of the UE side that was merged: whose, of which cycle, and how stale it was, in cycles."""

    ue: int
    cycle: int
    staleness: int


@dataclass
class Pace:
    """One round of UEs that go at their own pace; see ``BoundedStaleness``.

    Attributes:
        rule: how far they may drift apart.
        work: the round that they go through.
        turns: of all UEs and cycles so far.
        shares: of the samples of all UEs of the round, by UE; they add up to 1.
        ue_side: the shared UE side as it is now; replaced by every merge, never written to.
        concluded: cycles that each UE has been through, of those that are still there.
        merges: all so far, in order.
    """

    rule: BoundedStaleness
    work: SplitRound
    turns: list[Turn]
    shares: Mapping[int, float]
    ue_side: Arrays
    concluded: dict[int, int]
    merges: list[Merge] = field(default_factory=list)
    _furthest: int = 0
    _waiting: list[simpy.Event] = field(default_factory=list)

    @staticmethod
    def of(work: SplitRound, turns: list[Turn], ue_side: Arrays) -> Pace:
        """Return the pace at the start of a round, given every UE's turn in its first cycle."""
        samples = {turn.ue: work.federation.learner.num_samples[turn.ue] for turn in turns}
        shares = {ue: number / sum(samples.values()) for ue, number in samples.items()}
        return Pace(work.split.asynchronous, work, turns, shares, ue_side, dict.fromkeys(samples, 0))

    def start(self, servers: dict[Node, Party]) -> None:
        """Start all UEs; they share the servers' parties."""
        for turn in list(self.turns):
            self.work.clock.start(self._go_round(turn, servers))

    def staleness(self) -> dict[int, float]:
        """Return the mean staleness of each UE's changes, in cycles."""
        found = dict[int, list[int]]()
        for merge in self.merges:
            found.setdefault(merge.ue, []).append(merge.staleness)
        return {ue: sum(each) / len(each) for ue, each in found.items()}

    def _go_round(self, turn: Turn, servers: dict[Node, Party]) -> Process:
        while (yield from self._may_begin(turn.ue)):
            if self.concluded[turn.ue]:
                turn = self._next(turn)
            yield from self.work.run(turn, self.ue_side, servers)
            if turn.result is None:
                del self.concluded[turn.ue]
                self._wake()
                return
            self._merge(turn)

    def _next(self, last: Turn) -> Turn:
        """Return a UE's turn in its next cycle."""
        work, ue = self.work, last.ue
        order = stream(work.federation.seed, "batch order", work.round_index, ue, self.concluded[ue])
        batches = list(work.federation.algorithm.batches(work.federation.learner.num_samples[ue], order))
        self.turns.append(Turn(ue, batches, first=last.first + len(last.batches)))
        return self.turns[-1]

    def _may_begin(self, ue: int) -> Process:
        """Wait until the bound lets a UE begin its next cycle; return False where the round is over before."""
        while True:
            slowest = min(self.concluded.values())
            if slowest >= self.rule.cycles:
                return False
            if self.concluded[ue] - slowest <= self.rule.max_staleness:
                return True
            self._waiting.append(self.work.clock.env.event())
            yield self._waiting[-1]

    def _merge(self, turn: Turn) -> None:
        cycle = self.concluded[turn.ue]
        self._furthest = max(self._furthest, cycle)
        staleness = self._furthest - cycle
        weight = self.shares[turn.ue] * self.rule.weight(staleness)
        change = difference(turn.result or {}, turn.received)
        self.ue_side = combine(self.ue_side, (1.0, self.ue_side), (weight, change))
        self.merges.append(Merge(turn.ue, cycle, staleness))
        self.concluded[turn.ue] += 1
        self._wake()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for event in waiting:
            event.succeed()
