"""What micro-batches gain: the time of a batch as the pipeline's task graph predicts it, and as it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from ran.learning.pipeline.task_graph import Task, TaskGraph

if TYPE_CHECKING:
    from ran.learning.split.split_round import Turn


@dataclass(frozen=True)
class Leg:
    """What one micro-batch asked of one processor or link.

    Attributes:
        step: which step of the way it was, the same for all micro-batches.
        resource: what did it, one thing at a time; empty for a mere delay.
        duration_s: how long that took, waiting for its turn not included.
        bits: of the payload on a radio link, whose rate is measured; 0 elsewhere.
    """

    step: str
    resource: str
    duration_s: float
    bits: int = 0


@dataclass(frozen=True)
class Gain:
    """Mean times of a batch of one round, virtual seconds.

    Attributes:
        serial_s: what its micro-batches asked of processors and links, one after another.
        simulated_s: what it took: from a UE's first batch to its last, by their number.
        undivided_s: predicted of a batch that is not divided.
        predicted_s: predicted of micro-batches.
    """

    serial_s: float
    simulated_s: float
    undivided_s: float
    predicted_s: float

    def row(self) -> dict[str, float]:
        """Return times and speed-ups by name, for the log.

        Both speed-ups are over the same work at the same rates without overlap. Undivided batches would meet another
        load on the air: how long they take, only a run of them tells.
        """
        return {
            "serial_s": self.serial_s, "simulated_s": self.simulated_s, "predicted_s": self.predicted_s,
            "speed_up_simulated": self.serial_s / self.simulated_s if self.simulated_s else 1.0,
            "speed_up_predicted": self.undivided_s / self.predicted_s if self.predicted_s else 1.0,
        }  # fmt: skip


def gain_of(turns: Sequence[Turn], *, at_once: bool) -> Gain | None:
    """Return what micro-batches gained in a round, None where no UE got a batch through.

    The prediction is for the first batch of every UE, all begun together where UEs train ``at_once`` and each alone
    where they take turns: every step lasts as long as it did, but transfers, which take their bits at the mean rate
    that their UE and direction had in the round while they were on the air; who comes first is served first. Undivided,
    a step lasts as long as those of the micro-batches together. Servers that wait for other UEs before they step are
    not predicted.
    """
    there = [turn for turn in turns if turn.alive and turn.paths]
    if not there:
        return None
    rates = _rates([leg for turn in there for paths in turn.paths for path in paths for leg in path])
    batches = [[_timed(path, rates) for path in turn.paths[0]] for turn in there]
    groups = [batches] if at_once else [[batch] for batch in batches]
    return Gain(
        fmean(sum(leg.duration_s for leg in _undivided(paths)) for turn in there for paths in turn.paths),
        fmean((turn.done_s - turn.received_s) / len(turn.batches) for turn in there),
        fmean(end for group in groups for end in _ends_s([[_undivided(batch)] for batch in group])),
        fmean(end for group in groups for end in _ends_s(group)),
    )


def _rates(legs: Sequence[Leg]) -> Mapping[str, float]:
    """Return the mean bits per second of every radio link."""
    bits, time_s = dict[str, int](), dict[str, float]()
    for leg in legs:
        if leg.bits:
            bits[leg.resource] = bits.get(leg.resource, 0) + leg.bits
            time_s[leg.resource] = time_s.get(leg.resource, 0.0) + leg.duration_s
    return {name: total / time_s[name] for name, total in bits.items() if time_s[name]}


def _timed(path: Sequence[Leg], rates: Mapping[str, float]) -> list[Leg]:
    return [
        Leg(leg.step, leg.resource, leg.bits / rates[leg.resource] if leg.resource in rates else leg.duration_s)
        for leg in path
    ]


def _undivided(paths: Sequence[Sequence[Leg]]) -> list[Leg]:
    """Return the way of the batch as one: the longest way's steps, each as long as all parts' together."""
    found = list[Leg]()
    for model in max(paths, key=len):
        parts_s = [leg.duration_s for path in paths for leg in path if leg.step == model.step]
        found.append(Leg(model.step, model.resource, sum(parts_s) if model.resource else max(parts_s)))
    return found


def _ends_s(batches: Sequence[Sequence[Sequence[Leg]]]) -> list[float]:
    """Return when each batch's last micro-batch ends, all begun at 0."""
    tasks, durations, owner = list[Task](), list[float](), list[int]()
    for index, paths in enumerate(batches):
        for place, path in enumerate(paths):
            for at, leg in enumerate(path):
                # A delay holds nobody up: it is a resource of its own.
                resource = leg.resource or f"delay {len(tasks)}"
                tasks.append(Task(resource, (len(tasks) - 1,) if at else (), index, at, place))
                durations.append(leg.duration_s)
                owner.append(index)
    end_s = TaskGraph(tasks).simulate(durations).end_s
    return [max(end for end, its in zip(end_s, owner, strict=True) if its == index) for index in range(len(batches))]
