"""Run a scenario: build the world, train round by round, leave a run directory that can be resumed and read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channel.errors import UserError
from scenarios.run_directory import RunDirectory, provenance

if TYPE_CHECKING:
    from collections.abc import Callable

    from ran.learning.federation import Federation, FederationState
    from ran.learning.learner import Evaluation, Learner
    from ran.learning.round import RoundResult
    from ran.metrics.kpis import NetworkKpis
    from ran.metrics.slot_trace import SlotTraceWriter
    from ran.metrics.summary import RunSummary
    from ran.network import NetworkState, StepReport
    from ran.world import World
    from scenarios.progress import Progress
    from scenarios.schema import LearningSettings, Scenario

    Watch = Callable[["NetworkState", "StepReport"], None]
    RunRound = Callable[..., "RoundResult"]


@dataclass(frozen=True)
class FinishedRun:
    """Where a finished run lies, and what came out; ``network`` where learning shared the air with other traffic."""

    path: Path
    summary: RunSummary
    network: NetworkKpis | None = None


def run(scenario: Scenario, *, out: Path | None = None, quiet: bool = False) -> FinishedRun:
    """Run a scenario from the start.

    Args:
        scenario: what to run.
        out: run directory, new or empty; by default ``runs/NAME``, or ``runs/NAME-2`` and so on where that exists.
        quiet: show no progress.

    Raises:
        UserError: the directory holds something already, or scenario, data, model and machine do not fit.
        KeyboardInterrupt: with ``run_directory`` as its argument, once the run can be resumed.
    """
    from scenarios.show import to_yaml

    require_device(scenario.device)
    path = out or free_path(Path("runs"), scenario.name)
    with RunDirectory.create(path, to_yaml(scenario), provenance_of(scenario)) as directory:
        return _execute(scenario, directory, quiet)


def resume(path: Path, *, quiet: bool = False) -> FinishedRun:
    """Go on with an interrupted run; its final files equal those of an uninterrupted one.

    Raises:
        UserError: there is no run to resume there.
    """
    from scenarios.load import load

    directory_scenario = load(_scenario_of(path))
    require_device(directory_scenario.device)
    with RunDirectory.resume(path, provenance_of(directory_scenario)) as directory:
        return _execute(directory_scenario, directory, quiet)


def require_device(device: str) -> None:
    """Raise UserError where torch has no such device."""
    if device == "cpu":
        return
    import torch

    index = int(device.split(":")[1]) if ":" in device else 0
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index >= found:
        raise UserError(f"device: {device} asked for, but torch sees {found} CUDA devices here; use device: cpu")


def build_federation(scenario: Scenario, watch: Watch | None = None) -> Federation:
    """Return the world, the learner and the way payloads travel between them.

    ``watch`` is called with the network's state and the report of every slot.
    """
    from ran.learning.attacks import poison
    from ran.learning.federation import Federation
    from ran.nodes import memory_problem
    from ran.simulation import Simulation
    from scenarios.build import build_world

    learning = scenario.learning
    world = build_world(scenario)
    learner = build_learner(scenario, world)
    cut_model = None
    if learning.split is not None:
        from ran.learning.split.choices import cut_model_of

        cut_model = cut_model_of(learning.split, learner, scenario.seed, world.devices)
    gkt = None
    if learning.gkt is not None:
        from ran.learning.gkt.learner import GktLearner

        gkt = GktLearner(learner, learning.gkt, learning.compression)
    if not cut_model and (problem := memory_problem(world.devices, (gkt or learner).training_bytes())):
        raise UserError(f"ues.device: {problem}")
    if learning.attack is not None:
        poison(learning.attack, learner.workplace, scenario.seed)
    return Federation(
        Simulation(world, watch), learner, learning.algorithm, learning.transport, learning.participation,
        learning.round_deadline_s or math.inf, learning.hierarchy, learning.freezing, learning.compression,
        learning.aggregator, learning.quarantine, learning.privacy, learning.attack, learning.loss_recovery,
        learning.schedule, cut_model, gkt, learning.rounds,
    )  # fmt: skip


def build_learner(scenario: Scenario, world: World) -> Learner:
    """Return the data, the network and the clients, none of them poisoned."""
    from ran.learning.learner import Learner

    learning = scenario.learning
    return Learner(
        task=learning.task, model=learning.model, adapter=learning.adapter, partition=learning.partition,
        algorithm=learning.algorithm, num_clients=scenario.ues.count, seed=scenario.seed, device=scenario.device,
        threads=learning.threads, engine=learning.engine, freezing=learning.freezing,
        device_classes=[device.device_class for device in world.devices],
    )  # fmt: skip


def _execute(scenario: Scenario, directory: RunDirectory, quiet: bool) -> FinishedRun:
    from ran.learning.learner import Evaluation
    from scenarios.progress import open_progress

    trace = _RoundTraces(directory) if scenario.report.slot_trace else None
    with directory.timed("set-up"):
        federation = build_federation(scenario, trace.append if trace else None)
        # Before any layer is frozen, in a resumed run too.
        zero_shot = federation.learner.zero_shot().accuracy
        state = _start(federation, directory)
    if directory.checkpoint is None:
        directory.append_event(_start_event(federation, zero_shot))
    rounds = scenario.learning.rounds
    progress_of = open_progress(rounds, quiet=quiet, done=state.round)
    with _resumable(directory), closing(federation.learner), progress_of as progress:
        _run_rounds(federation, state, scenario.learning, directory, progress, trace)
        central = Evaluation(math.nan, math.nan)
        if scenario.learning.central == "compare":
            progress.stage("central baseline")
            with directory.timed("central baseline"):
                rounds_of_work = _rounds_of_work(scenario, directory)
                *_, central = _clean_learner(scenario, federation).central(rounds_of_work)
        progress.stage("figures")
        return _finish(scenario, federation, state, directory, zero_shot, central)


def _clean_learner(scenario: Scenario, federation: Federation) -> Learner:
    """Return the federation's learner, or one with the samples as they were before an attack."""
    attack = scenario.learning.attack
    if attack is None or not attack.poisons:
        return federation.learner
    return build_learner(scenario, federation.simulation.world)


class _RoundTraces:
    """The slot trace of a run: a file for each round, so that a resumed run writes again what is not complete."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._writer: SlotTraceWriter | None = None
        self._slot_s = 0.0

    def append(self, state: NetworkState, report: StepReport) -> None:
        """Add a slot to the file of the round under way."""
        if self._writer is not None:
            self._writer.append_step(state, report, self._slot_s)

    @contextmanager
    def round(self, number: int, world: World) -> Iterator[None]:
        """Write round ``number``'s file during the block; it appears when it is whole."""
        from ran.metrics.slot_trace import SlotTraceWriter

        self._slot_s = world.numerology.slot_s
        with self._directory.slot_trace(number) as file, SlotTraceWriter(file, tuple(world.slices)) as self._writer:
            yield
        self._writer = None


def _start_event(federation: Federation, zero_shot: float) -> dict[str, Any]:
    """Return what figures need to know besides the rows: where cells stand, who holds which samples."""
    learner = federation.learner
    return {
        "time_s": 0.0,
        "event": "start",
        "zero_shot_accuracy": zero_shot,
        "engine": learner.trainer.title,
        "cells_m": federation.simulation.world.geometry.cell_position_m[:, :2],
        "partition": learner.partition_counts,
        "class_names": learner.class_names,
    }


@contextmanager
def _resumable(directory: RunDirectory) -> Iterator[None]:
    """Let Ctrl-C say which run it interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(directory.path) from None


def _start(federation: Federation, directory: RunDirectory) -> FederationState:
    from ran.learning.federation import FederationState

    state = FederationState.start(federation)
    if directory.checkpoint is not None:
        state.restore(federation, directory.checkpoint.arrays)
    return state


def _run_rounds(
    federation: Federation,
    state: FederationState,
    learning: LearningSettings,
    directory: RunDirectory,
    progress: Progress,
    trace: _RoundTraces | None,
) -> None:
    world, run_next = federation.simulation.world, round_of(federation)
    until_s = learning.until_s or math.inf
    while state.round < learning.rounds and state.clock_s < until_s and _anybody(federation, state, directory):
        with directory.timed("rounds"), trace.round(state.round + 1, world) if trace else nullcontext():
            result = run_next(federation, state, progress.stage)
        for event in result.events:
            directory.append_event(event)
        if federation.cut_model:
            directory.write_batches(result.record.round, result.batches, result.timeline)
        directory.complete_round(result.record, result.ues, state.arrays(), {"round": state.round})
        progress.round_done(result.record)


def round_of(federation: Federation) -> RunRound:
    """Return what runs a federation's next round or server step."""
    if federation.gkt:
        from ran.learning.gkt.gkt_round import run_gkt_round

        return run_gkt_round
    if federation.cut_model:
        from ran.learning.split.training import run_split_round

        return run_split_round
    if federation.schedule.asynchronous:
        from ran.learning.asynchronous import run_version

        return run_version
    from ran.learning.round import run_round

    return run_round


def _rounds_of_work(scenario: Scenario, directory: RunDirectory) -> int:
    """Return in how many rounds of everybody the clients would do what they did, for the central yardstick."""
    learning = scenario.learning
    if not learning.schedule.asynchronous and learning.until_s is None:
        return learning.rounds
    if not learning.schedule.asynchronous:
        return max(1, len(directory.rounds))
    return max(1, round(sum(row.participants for row in directory.rounds) / scenario.ues.count))


def _anybody(federation: Federation, state: FederationState, directory: RunDirectory) -> bool:
    """Return whether a UE can take part now or later; without one the run ends early, and says so in its log."""
    from ran.learning.asynchronous import is_over

    if not is_over(federation, state):
        return True
    if state.round == 0:
        raise UserError(
            "learning.participation: no UE is ever there; give its availability a UE, or ues.device a battery"
        )
    directory.append_event({"time_s": state.clock_s, "event": "no_ues_left", "round": state.round})
    return False


def _finish(
    scenario: Scenario, federation: Federation, state: FederationState, directory: RunDirectory,
    zero_shot: float, central: Evaluation,
) -> FinishedRun:  # fmt: skip
    from ran.metrics.summary import summarise

    with directory.adapter() as path:
        federation.learner.save(state.server.model, path)
    summary = summarise(
        directory.rounds, directory.ues, name=scenario.name, seed=scenario.seed, num_ues=scenario.ues.count,
        zero_shot_accuracy=zero_shot, central_accuracy=central.accuracy,
        central_test_loss=central.loss,
    )  # fmt: skip
    directory.write_summary(summary)
    network = _write_network(federation, state.network, directory) if scenario.traffic.flows else None
    if scenario.report.figures == "all":
        from ran.report import report

        with directory.timed("figures"):
            report(directory.path)
    directory.finish()
    return FinishedRun(directory.path, summary, network)


def _write_network(federation: Federation, state: NetworkState, directory: RunDirectory) -> NetworkKpis | None:
    """Write what the network carried from time 0 on, learning and other traffic; None where it never ran."""
    from ran.metrics.network_kpis import Start, bearer_table, network_kpis

    if state.slot == 0:
        return None
    network, start = federation.simulation.network, Start.of_time(state)
    kpis = network_kpis(network, state, start)
    directory.write_network(kpis, bearer_table(network, state, start))
    return kpis


def provenance_of(scenario: Scenario) -> dict[str, Any]:
    """Return versions, platform, seed and threads of a run of ``scenario`` here."""
    return provenance(scenario.seed, {"radio": scenario.radio.threads, "learning": scenario.learning.threads})


def _scenario_of(path: Path) -> Path:
    from ran.metrics import files
    from ran.metrics.results import require_run_directory

    require_run_directory(path)
    return path / files.SCENARIO


def free_path(folder: Path, name: str) -> Path:
    """Return ``folder/name``, or the first of ``folder/name-2`` and so on that does not exist."""
    path, number = folder / name, 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}"
    return path
