"""The books of a round of split learning: every activity with its time and bytes, and what UEs hold at most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ran.energy import compute_energy_j
from ran.learning.hierarchy import Backhaul
from ran.metrics.split_records import ActivityRecord, BatchRecord

if TYPE_CHECKING:
    from ran.learning.split.counting import SideCount
    from ran.learning.split.cut import Node
    from ran.learning.split.party import Party
    from ran.learning.split.split_round import Turn
    from ran.metrics.records import UeRecord
    from ran.nodes import DeviceProfile

UE_SIDE = -1
"""Number of the batch that is none: the UE side itself, on its way."""

_DURATIONS = {
    "ue": "ue_compute_s", "gnb": "server_compute_s", "cloud": "server_compute_s", "uplink": "uplink_s",
    "downlink": "downlink_s", "backhaul_uplink": "backhaul_s", "backhaul_downlink": "backhaul_s",
}  # fmt: skip
"""In which column of a batch the time at a place counts."""


@dataclass
class _Batch:
    """What is known of a batch besides its activities; ``seen`` and ``stale`` count the steps of each node's side."""

    samples: int
    is_held: bool = False
    loss: float = math.nan
    seen: dict[Node, int] = field(default_factory=dict)
    stale: dict[Node, int] = field(default_factory=dict)


@dataclass
class Book:
    """What one round's processes did.

    Attributes:
        round_number: from 1.
        activities: all, in the order in which they ended.
        peaks: the most bytes that each UE held at a time.
    """

    round_number: int
    activities: list[ActivityRecord] = field(default_factory=list)
    peaks: dict[int, int] = field(default_factory=dict)
    _batches: dict[tuple[int, int], _Batch] = field(default_factory=dict)

    def begin(self, ue: int, batch: int, samples: int) -> None:
        """Open the account of a batch."""
        self._batches[ue, batch] = _Batch(samples)

    def note(
        self, ue: int, batch: int, place: str, activity: str, start_s: float, end_s: float, *,
        payload_bytes: int = 0, value_bytes: int = 0,
    ) -> None:  # fmt: skip
        """Add an activity.

        Args:
            ue: whose batch it was for.
            batch: its number, or UE_SIDE.
            place: a node, or the link that carried something.
            activity: what a node did with the batch, or what a link carried.
            start_s: since when: a processor's work, or the wait for a link included.
            end_s: until when.
            payload_bytes: that arrived.
            value_bytes: those of them that are numbers of a tensor, B L d times a number's bytes.
        """
        row = ActivityRecord(self.round_number, ue, batch, place, activity, start_s, end_s, payload_bytes, value_bytes)
        self.activities.append(row)

    def ran(self, ue: int, batch: int, node: Node, party: Party) -> None:
        """Note which version of a side a batch went forward through, the first time."""
        self._batches[ue, batch].seen.setdefault(node, party.steps)

    def stepped(self, ue: int, batch: int, node: Node, party: Party) -> None:
        """Note that a side is about to take a step for a batch."""
        account = self._batches[ue, batch]
        account.stale[node] = party.steps - account.seen.get(node, party.steps)

    def holds(self, ue: int, batch: int, party: Party, count: SideCount) -> None:
        """Note that a UE holds a batch's activations from now on; its memory is counted anew."""
        self._batches[ue, batch].is_held = True
        samples = sum(each.samples for (whose, _), each in self._batches.items() if whose == ue and each.is_held)
        held = count.memory_bytes(samples) + party.stashed_bytes
        self.peaks[ue] = max(self.peaks.get(ue, 0), held)

    def end(self, ue: int, batch: int, loss: float | None) -> None:
        """Close the account of a batch that came back with ``loss``, or never did."""
        account = self._batches[ue, batch]
        account.is_held, account.loss = False, math.nan if loss is None else loss

    def backhaul(self) -> Backhaul:
        """Return what crossed the links between gNB and cloud."""
        sums = {way: self._total(self.activities, f"backhaul_{way}") for way in ("uplink", "downlink")}
        time_s = sum(each.end_s - each.start_s for each in self.activities if each.place.startswith("backhaul"))
        return Backhaul(sums["uplink"], sums["downlink"], time_s)

    def of_ues(
        self, rows: Sequence[UeRecord], turns: Sequence[Turn], devices: Sequence[DeviceProfile]
    ) -> list[UeRecord]:
        """Return the UEs' rows with what each held at most and computed, for batches that never came back too."""
        flops = dict[int, float]()
        for turn in turns:
            flops[turn.ue] = flops.get(turn.ue, 0.0) + turn.flops
        return [
            replace(
                row,
                memory_peak_bytes=self.peaks.get(row.ue, 0),
                flops=flops.get(row.ue, 0.0),
                compute_energy_j=compute_energy_j(devices[row.ue], flops.get(row.ue, 0.0)),
            )
            for row in rows
        ]

    def batches(self) -> list[BatchRecord]:
        """Return the row of every batch that began, by UE and number."""
        found = dict[tuple[int, int], list[ActivityRecord]]()
        for each in self.activities:
            if each.batch != UE_SIDE:
                found.setdefault((each.ue, each.batch), []).append(each)
        return [self._batch(place, found[place]) for place in sorted(found)]

    def _batch(self, place: tuple[int, int], done: Sequence[ActivityRecord]) -> BatchRecord:
        account = self._batches[place]
        spent: dict[str, Any] = dict.fromkeys(_DURATIONS.values(), 0.0)
        for each in done:
            spent[_DURATIONS[each.place]] += each.end_s - each.start_s
        start_s, end_s = min(each.start_s for each in done), max(each.end_s for each in done)
        return BatchRecord(
            self.round_number, *place, account.samples, not math.isnan(account.loss), account.loss, start_s, end_s,
            downlink_payload_bytes=self._total(done, "downlink"),
            uplink_payload_bytes=self._total(done, "uplink"),
            downlink_value_bytes=sum(each.value_bytes for each in done if each.place == "downlink"),
            uplink_value_bytes=sum(each.value_bytes for each in done if each.place == "uplink"),
            backhaul_downlink_bytes=self._total(done, "backhaul_downlink"),
            backhaul_uplink_bytes=self._total(done, "backhaul_uplink"),
            **spent,
            # One thing after another is done for a batch; what is left of its time, nothing was.
            waiting_s=max(0.0, end_s - start_s - sum(spent.values())),
            ue_staleness=account.stale.get("ue", 0),
            server_staleness=max((steps for node, steps in account.stale.items() if node != "ue"), default=0),
        )  # fmt: skip

    @staticmethod
    def _total(done: Sequence[ActivityRecord], place: str) -> int:
        return sum(each.payload_bytes for each in done if each.place == place)
