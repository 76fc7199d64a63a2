"""Rounds of split learning with whole batches and with micro-batches, over the emulated network, on the virtual clock.

Three UEs of the scenario ``smoke`` train the glyph ViT cut after its second layer, each with a copy of the server side
(``splitfed_v1``), so that the model is the same however batches are divided.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.learning.federation import FederationState
from ran.learning.split.pipelining import Leg, gain_of
from ran.learning.split.split_round import Turn
from ran.learning.split.training import run_split_round
from scenarios.load import load
from scenarios.run import build_federation

if TYPE_CHECKING:
    from pathlib import Path

    from ran.learning.round import RoundResult

DIVISIONS = (1, 2, 4, 8)
UES, STEPS = 3, 4
_LEGS = ("forward 0", "activations 0", "answer 1", "gradients 0", "backward 0")


def tell_pipelining(write: Callable[[str], object], out: Path) -> None:
    """Write the table of divisions and what the prediction costs, and leave it as CSV."""
    from scenarios.bench.method_curves import write_table

    rows = list[dict[str, Any]]()
    write(
        "micro-batches: seconds of a batch on the virtual clock, and speed-ups (predicted and simulated: over the same"
    )
    write("work without overlap; run: over the run of whole batches), and the prediction's share of the wall time")
    for count in DIVISIONS:
        rows.append(_row(count, rows[0]["batch_s"] if rows else None))
        write(json.dumps(rows[-1]))
    write_table(out / "pipelining.csv", rows)


def _row(micro_batches: int, whole_s: float | None) -> dict[str, Any]:
    settings = (
        f"ues.count={UES}",
        f"learning.algorithm={{name: fedavg, local_steps: {STEPS}}}",
        f"learning.split={{method: splitfed_v1, cut: {{after: 2}}, micro_batches: {micro_batches}}}",
    )
    federation = build_federation(load("smoke", list(settings)))
    state = FederationState.start(federation)
    run_split_round(federation, state)
    start_s = time.thread_time()
    result = run_split_round(federation, state)
    wall_s = time.thread_time() - start_s
    batch_s = _batch_s(result)
    found = next((event for event in result.events if event["event"] == "pipeline"), {})
    return {
        "micro_batches": micro_batches, "batch_s": batch_s, "speed_up_run": (whole_s or batch_s) / batch_s,
        "speed_up_simulated": found.get("speed_up_simulated", 1.0),
        "speed_up_predicted": found.get("speed_up_predicted", 1.0),
        "prediction_share": prediction_s(micro_batches) / wall_s if micro_batches > 1 else 0.0,
    }  # fmt: skip


def _batch_s(result: RoundResult) -> float:
    """Return the mean virtual time of a batch."""
    begun, ended = event_times(result.events, "training_start"), event_times(result.events, "training_done")
    return fmean((ended[ue] - begun[ue]) / STEPS for ue in ended)


def event_times(events: Sequence[Mapping[str, Any]], kind: str) -> dict[int, float]:
    """Return when something happened to each UE."""
    return {event["ue"]: event["time_s"] for event in events if event["event"] == kind}


def prediction_s(micro_batches: int) -> float:
    """Return the median time of this thread that predicting and comparing a round of such a size takes."""

    def turn(ue: int) -> Turn:
        names = (f"ue {ue}", f"uplink {ue}", "gnb", f"downlink {ue}", f"ue {ue}")
        way = [Leg(step, name, 0.01, 8000 if "link" in name else 0) for step, name in zip(_LEGS, names, strict=True)]
        batches = [np.arange(16)] * STEPS
        return Turn(ue, batches, paths=[[way] * micro_batches] * STEPS, received_s=0.0, done_s=1.0)

    turns, found = [turn(ue) for ue in range(UES)], list[float]()
    for _ in range(9):
        start_s = time.thread_time()
        gain_of(turns, at_once=True)
        found.append(time.thread_time() - start_s)
    return median(found)
