"""`airtune network`: the radio access network of a scenario alone, with its traffic and without any learning."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from channel.errors import UserError
from ran.mac.slicing import Slice
from ran.metrics import files
from ran.traffic import FullBuffer
from ran.traffic.traffic import LEARNING_SLICE

if TYPE_CHECKING:
    import pyarrow as pa

    from ran.metrics.kpis import NetworkKpis
    from ran.network import Network, NetworkState, StepReport
    from ran.world import World
    from scenarios.schema import Scenario

Watch = Callable[["NetworkState", "StepReport"], None]
AfterSlot = Callable[[int], None]
"""Told how many slots are done."""


@dataclass(frozen=True)
class Measured:
    """What a network carried.

    Attributes:
        kpis: the indicators.
        bearers: one row per bearer, see ``ran.metrics.network_kpis.UE_COLUMNS``.
        interrupted: whether Ctrl-C ended it early.
        wall_s: wall-clock time of drawing the world (``set-up``) and of its slots.
        slots: how many ran, the warm-up included.
    """

    kpis: NetworkKpis
    bearers: pa.Table
    interrupted: bool
    wall_s: dict[str, float]
    slots: int


@dataclass(frozen=True)
class FinishedNetworkRun:
    """Where a finished measurement lies, and what came out."""

    path: Path
    measured: Measured


def with_traffic(scenario: Scenario) -> tuple[Scenario, str]:
    """Return the scenario, where it has no flow with full buffers for all UEs, and a line that says so or nothing.

    They use the directions that the duplex pattern has, in the first slice besides the learning slice.
    """
    if scenario.traffic.flows:
        return scenario, ""
    mac, pattern = scenario.mac, scenario.radio.tdd_pattern
    slices = mac.slices if len(mac.slices) > 1 else {LEARNING_SLICE: Slice(share=0.5), "traffic": Slice(share=0.5)}
    name = next(name for name in slices if name != LEARNING_SLICE)
    both = scenario.radio.duplex == "fdd" or ("U" in pattern and set("DS") & set(pattern))
    direction: Literal["downlink", "uplink", "both"] = "both" if both else "uplink" if "U" in pattern else "downlink"
    flow = FullBuffer(direction=direction, slice=name)
    changed = {
        "mac": mac.model_copy(update={"slices": slices}),
        "traffic": scenario.traffic.model_copy(update={"flows": (flow,)}),
    }
    ways = "both directions" if both else f"the {direction}"
    note = f"{scenario.name} has no traffic.flows: every UE gets a full buffer in {ways}, in slice {name!r}"
    return scenario.model_copy(update=changed), note


def measure(
    world: World,
    *,
    duration_s: float,
    warmup_s: float = 0.0,
    watch: Watch | None = None,
    after_slot: AfterSlot = lambda done: None,
) -> Measured:
    """Run a world of one replica for ``warmup_s`` and then ``duration_s``, of which alone the indicators tell.

    Args:
        world: what to run.
        duration_s: virtual time measured, rounded up to slots.
        warmup_s: virtual time before that, likewise.
        watch: called with the state and the report of every slot.
        after_slot: called with the number of slots done.

    Raises:
        KeyboardInterrupt: Ctrl-C before the warm-up was over.
    """
    from ran.metrics.network_kpis import Start, bearer_table, network_kpis
    from ran.network import Network

    assert world.batch == 1, "one replica at a time"
    began_s = time.perf_counter()
    network = Network(world)
    state = network.start()
    ready_s = time.perf_counter()
    warmup_slots = _slots(network, warmup_s)
    _run(network, state, warmup_slots, watch, after_slot, lambda: False)
    start = Start.now(network, state)
    with _interruptible() as stopped:
        _run(network, state, warmup_slots + _slots(network, duration_s), watch, after_slot, stopped)
        interrupted = stopped()
    if state.slot == start.slot:
        raise KeyboardInterrupt
    return Measured(
        kpis=network_kpis(network, state, start),
        bearers=bearer_table(network, state, start),
        interrupted=interrupted,
        wall_s={"set-up": ready_s - began_s, "slots": time.perf_counter() - ready_s},
        slots=state.slot,
    )


def _slots(network: Network, time_s: float) -> int:
    return math.ceil(time_s / network.plan.slot_s - 1e-9)


def _run(
    network: Network,
    state: NetworkState,
    end_slot: int,
    watch: Watch | None,
    after_slot: AfterSlot,
    stopped: Callable[[], bool],
) -> None:
    while state.slot < end_slot and not stopped():
        report = network.step(state)
        if watch is not None:
            watch(state, report)
        after_slot(state.slot)


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Give a function that tells whether Ctrl-C was pressed, so that the slot under way ends whole.

    A second Ctrl-C interrupts as usual, and so does the first outside the main thread, which alone gets signals.
    """
    pressed = False

    def remember(number: int, frame: Any) -> None:  # noqa: ARG001
        nonlocal pressed
        pressed = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, remember)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before)


def run_network(
    scenario: Scenario,
    *,
    duration_s: float = 2.0,
    warmup_s: float = 0.5,
    out: Path | None = None,
    trace: bool = False,
    quiet: bool = False,
) -> FinishedNetworkRun:
    """Measure the network of a scenario and leave a directory with tables, indicators and a figure.

    Args:
        scenario: whose network; one without traffic gets full buffers, see ``with_traffic``.
        duration_s: virtual time measured.
        warmup_s: virtual time before that.
        out: directory, new or empty; by default ``runs/NAME-network``, or the next free one.
        trace: also write every transport block, warm-up included, to ``slots.parquet``.
        quiet: show nothing.

    Raises:
        UserError: the directory holds something, or the channel cannot be drawn.
        KeyboardInterrupt: Ctrl-C before the warm-up was over; no results are left behind.
    """
    from scenarios.build import build_world
    from scenarios.progress import open_slot_progress
    from scenarios.run import free_path, require_device

    require_device(scenario.device)
    path = out or free_path(Path("runs"), f"{scenario.name}-network")
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: exists already; give a new or empty directory with --out")
    scenario, note = with_traffic(scenario)
    world = build_world(scenario)
    slot_s = world.numerology.slot_s
    total = sum(math.ceil(time_s / slot_s - 1e-9) for time_s in (warmup_s, duration_s))
    with ExitStack() as stack:
        watch = stack.enter_context(_tracing(path, world)) if trace else None
        after_slot = stack.enter_context(open_slot_progress(total, slot_s, note=note, quiet=quiet))
        measured = measure(world, duration_s=duration_s, warmup_s=warmup_s, watch=watch, after_slot=after_slot)
    _write(path, scenario, measured)
    return FinishedNetworkRun(path, measured)


@contextmanager
def _tracing(path: Path, world: World) -> Iterator[Watch]:
    from ran.metrics.slot_trace import SlotTraceWriter

    path.mkdir(parents=True, exist_ok=True)
    slot_s = world.numerology.slot_s
    with files.replacing(path / files.SLOTS) as file, SlotTraceWriter(file, tuple(world.slices)) as writer:
        yield lambda state, report: writer.append_step(state, report, slot_s)


def _write(path: Path, scenario: Scenario, measured: Measured) -> None:
    from ran.metrics.tables import write_table
    from ran.report import report_network
    from scenarios.run import provenance_of
    from scenarios.show import to_yaml

    path.mkdir(parents=True, exist_ok=True)
    write_table(path / files.NETWORK_UES, measured.bearers)
    files.write_json(path / files.KPIS, measured.kpis.to_json())
    files.write_json(path / files.PROVENANCE, provenance_of(scenario))
    slots_s = measured.wall_s["slots"]
    files.write_json(path / files.TIMING, {"wall_s": measured.wall_s, "slots_per_s": measured.slots / slots_s})
    # The last of all but the figure: a directory with a scenario is complete.
    with files.replacing(path / files.SCENARIO) as file:
        file.write(to_yaml(scenario).encode())
    if scenario.report.figures == "all":
        report_network(path)
