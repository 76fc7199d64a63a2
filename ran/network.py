"""The network in motion: channel, mobility management and traffic around ``run_slot``, for all replicas together."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ran.air import Air, beams_of, prepare_air, radio_threads, serve_strongest
from ran.handover_kernels import NONE, MobilityState, measure
from ran.mac.harq_kernels import flush_processes
from ran.plan import SlotPlan
from ran.queues import share_out
from ran.slot import SlotReport, View, observe, run_slot
from ran.state import BLOCK_DTYPE, LinkState
from ran.traffic.ledger import CAPACITY, Ledger
from ran.traffic.source import TrafficSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.snapshot import ChannelSnapshot
    from ran.phy.beams import BeamTable
    from ran.world import World

Direction = Literal["downlink", "uplink"]
_SETTLE_S = 0.05
_PLAIN = ("serving_cell", "measured_s", "stood_still_s", "shared_window")
DIRECTIONS: tuple[Direction, Direction] = ("downlink", "uplink")


@dataclass(frozen=True)
class LostRange:
    """Bytes that a handover lost on a bearer without acknowledgements."""

    direction: Direction
    replica: int
    ue: int
    bearer: int
    start: int
    count: int


@dataclass(frozen=True)
class StepReport:
    """What a slot did: the directions that were on the air, and what a change of cell lost before it."""

    downlink: SlotReport | None = None
    uplink: SlotReport | None = None
    lost: tuple[LostRange, ...] = ()


@dataclass
class NetworkState:
    """What the network remembers.

    Attributes:
        slot: the next slot.
        downlink, uplink: both directions' links.
        ledgers: packets of the background traffic, by direction.
        serving_cell: int32 [batch, num_ues].
        mobility: filters and timers of mobility management.
        measured_s: when mobility was last decided, float64 [1]; -inf before the first time.
        stood_still_s: time in which background traffic stood still (``flow``), float64 [1].
        shared_window: in which window the slices' shares were last decided, down and up, int64 [2].
        channel: the channel's state of every replica, redrawn from the seed by ``Network.start``.
    """

    slot: int
    downlink: LinkState
    uplink: LinkState
    ledgers: dict[Direction, Ledger]
    serving_cell: NDArray[np.int32]
    mobility: MobilityState
    measured_s: NDArray[np.float64]
    stood_still_s: NDArray[np.float64]
    shared_window: NDArray[np.int64]
    channel: list[Any] = field(repr=False)

    def link(self, direction: Direction) -> LinkState:
        """Return the links of a direction."""
        return self.downlink if direction == "downlink" else self.uplink

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all but the channel's state by name, for a checkpoint."""
        parts: dict[str, dict[str, NDArray[Any]]] = {"mobility": self.mobility.arrays()}
        for direction in DIRECTIONS:
            parts[direction] = self.link(direction).arrays()
            parts[f"{direction}_packets"] = self.ledgers[direction].arrays()
        named = {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        own = {name: getattr(self, name) for name in _PLAIN}
        return {"slot": np.array(self.slot)} | own | named

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned."""

        def part(prefix: str) -> dict[str, NDArray[Any]]:
            return {name.split(".")[1]: array for name, array in arrays.items() if name.split(".")[0] == prefix}

        self.slot = int(arrays["slot"])
        for name in _PLAIN:
            setattr(self, name, arrays[name])
        self.mobility = MobilityState(**part("mobility"))
        for direction in DIRECTIONS:
            self.link(direction).restore(part(direction))
            self.ledgers[direction].restore(part(f"{direction}_packets"))


class Network:
    """Runs a world slot by slot; all that changes lives in the NetworkState passed in.

    ``packets`` may wait on a bearer, what arrives beyond is dropped; many replicas want less memory than one run.
    """

    def __init__(self, world: World, packets: int = CAPACITY) -> None:
        self.world, self._packets = world, packets
        self.plan = SlotPlan.of(world)
        self.sources: dict[Direction, TrafficSource] = {
            direction: TrafficSource(
                world.traffic, direction=direction, slices=tuple(world.slices), num_ues=world.num_ues, seeds=world.seeds
            )
            for direction in DIRECTIONS
        }
        self.has_traffic = {way: bool((s.carries | s.saturated).any()) for way, s in self.sources.items()}
        self._air: tuple[int, NDArray[np.int32], Air] | None = None
        self._snapshots: dict[int, ChannelSnapshot] = {}
        self._beams: dict[int, BeamTable] = {}

    def start(self) -> NetworkState:
        """Return the state at time 0: every UE served by its strongest cell, full buffers filled."""
        world, plan = self.world, self.plan
        shape = (world.batch, world.num_ues)
        links = {way: LinkState.start(getattr(plan, way), *shape) for way in DIRECTIONS}
        for way, link in links.items():
            self.sources[way].start(link.bearer["enqueued"])
            link.bearer["budget_s"], link.bearer["priority"] = self.sources[way].budget_s, self.sources[way].priority
        capacity = [self._packets if self.sources[way].carries.any() else 1 for way in DIRECTIONS]
        self._air, self._snapshots, self._beams = None, {}, {}
        state = NetworkState(
            slot=0,
            downlink=links["downlink"],
            uplink=links["uplink"],
            ledgers={
                way: Ledger.start(*shape, len(world.slices), capacity=size)
                for way, size in zip(DIRECTIONS, capacity, strict=True)
            },
            serving_cell=np.zeros(shape, np.int32),
            mobility=MobilityState.start(*shape, world.num_cells),
            measured_s=np.array([-np.inf]),
            stood_still_s=np.zeros(1),
            shared_window=np.full(2, -1),
            channel=[world.channel.start(world.geometry, seed, world.torch_device) for seed in world.seeds],
        )
        state.serving_cell = serve_strongest(self.snapshot(state, 0))
        return state

    def snapshot(self, state: NetworkState, index: int) -> ChannelSnapshot:
        """Return the channel of all replicas in coherence interval ``index``."""
        if index not in self._snapshots:
            world = self.world
            time_s = (index + 0.5) * world.channel.coherence_interval_s
            self._snapshots[index], state.channel = world.channel.realise_all(
                world.geometry, state.channel, time_s, world.seeds
            )
        return self._snapshots[index]

    def air_at(self, state: NetworkState) -> tuple[Air, tuple[LostRange, ...]]:
        """Return the air of the state's slot, and what handovers at the interval's start lost.

        The air is prepared once per coherence interval, after mobility management has decided who serves whom in it.
        """
        channel, plan = self.world.channel, self.plan
        index, start_s, _ = channel.interval(state.slot * plan.slot_s)
        lost: tuple[LostRange, ...] = ()
        # A cache: a state that was copied or restored meets the air that belongs to it, and measures in its own time.
        current = self._air is not None and self._air[0] == index and np.array_equal(self._air[1], state.serving_cell)
        measured = self.world.handover.mode == "off" or state.measured_s[0] >= start_s - 1e-9
        if not (current and measured):
            lag = self._report_lag()
            first_needed = max(index - lag, 0)
            self._snapshots = {k: v for k, v in self._snapshots.items() if k >= first_needed}
            self._beams = {k: v for k, v in self._beams.items() if k >= first_needed}
            with radio_threads(self.world.threads):
                now = self.snapshot(state, index)
                lost = self._move_ues(state, now)
                if self._air is None or not np.array_equal(self._air[1], state.serving_cell):
                    self._beams = {}
                known = self._beams_at(state, first_needed)
                self._air = index, state.serving_cell, prepare_air(plan, now, self._beams_at(state, index), known)
        assert self._air is not None
        return self._air[2], lost

    def forget_before(self, index: int) -> None:
        """Drop snapshots that nobody needs once coherence interval ``index`` has begun; for who moves slots himself."""
        first_needed = max(index - self._report_lag(), 0)
        self._snapshots = {k: v for k, v in self._snapshots.items() if k >= first_needed}

    def _report_lag(self) -> int:
        """Return how many coherence intervals old a report is when it is used."""
        adaptation = self.world.radio.link_adaptation
        if adaptation.csi == "perfect":
            return 0
        return max(1, math.ceil(adaptation.csi_delay_s / self.world.channel.coherence_interval_s - 1e-9))

    def _beams_at(self, state: NetworkState, index: int) -> BeamTable:
        if index not in self._beams:
            self._beams[index] = beams_of(self.plan, self.snapshot(state, index), state.serving_cell)
        return self._beams[index]

    def _move_ues(self, state: NetworkState, now: ChannelSnapshot) -> tuple[LostRange, ...]:
        """Let mobility management decide on this interval's measurements; return what changes of cell lost."""
        if self.world.handover.mode == "off":
            return ()
        now_s = state.slot * self.plan.slot_s
        if state.measured_s[0] >= now.valid_from_s - 1e-9:
            return ()  # measured in this interval already
        gain = now.path_gain
        power_w = float(self.plan.downlink.params["prb_power_w"][0])
        own = np.take_along_axis(gain, state.serving_cell[..., None].astype(np.int64), axis=2)[..., 0]
        interference_w = self.plan.downlink.noise_w + power_w * (gain.sum(axis=2) - own)
        # Reference signals are beamformed like data: the array's gain counts in the link's quality.
        sinr = power_w * own * now.gain.shape[4] / interference_w
        serving_cell = state.serving_cell.copy()
        before_s, state.measured_s[0] = float(state.measured_s[0]), now_s
        changes = measure(
            self.world.handover, state.mobility, serving_cell, power_w * gain, sinr, now_s, before_s,
            self._settle_count(),
        )  # fmt: skip
        if not changes.any():
            return ()
        state.serving_cell = serving_cell
        return self._flush(state, np.argwhere(changes != NONE))

    def _settle_count(self) -> int:
        """Return how many measurements are averaged after a gap: 50 ms worth, no more than five or a window has."""
        fidelity = self.world.fidelity
        window_s = fidelity.window_slots * self.plan.slot_s if fidelity.mode == "flow" else _SETTLE_S
        return int(np.clip(min(window_s, _SETTLE_S) / self.world.channel.coherence_interval_s, 1, 5))

    def _flush(self, state: NetworkState, moved: NDArray[np.int64]) -> tuple[LostRange, ...]:
        """Empty the HARQ buffers of UEs (replica, UE) that leave their cell and block them until they have arrived."""
        found = []
        for b, u in moved.tolist():
            resume_s = state.mobility.ue["blocked_until_s"][b, u]
            for way in DIRECTIONS:
                link = state.link(way)
                plan = self.plan.downlink if way == "downlink" else self.plan.uplink
                link.ue["resume_slot"][b, u] = math.ceil(resume_s / self.plan.slot_s - 1e-9)
                link.ue["olla_db"][b, u] = 0.0
                rows = np.zeros((plan.processes, 3), np.int64)
                count = flush_processes(
                    state.slot, link.ue, link.bearer, link.harq, link.nack, plan.params, plan.slices, b, u, rows
                )
                found += [LostRange(way, b, u, *row) for row in rows[:count].tolist()]
        for gone in found:
            self._settle_lost(state, gone)
        return tuple(found)

    def _settle_lost(self, state: NetworkState, gone: LostRange) -> None:
        block = np.zeros((self.world.batch, self.world.num_ues), BLOCK_DTYPE)
        row = block[gone.replica, gone.ue]
        row["bearer"], row["start"], row["lost"] = gone.bearer, gone.start, gone.count
        state.link(gone.direction).tally["lost_bytes"][gone.replica, gone.ue, gone.bearer] += gone.count
        source = self.sources[gone.direction]
        now_s = state.slot * self.plan.slot_s - state.stood_still_s[0]
        state.ledgers[gone.direction].settle(now_s, block, source.budget_s)

    def step(
        self,
        state: NetworkState,
        *,
        directions: tuple[Direction, ...] = DIRECTIONS,
        grant: NDArray[np.int32] | None = None,
    ) -> StepReport:
        """Run the state's slot and move on to the next.

        Directions that are not asked for still run where they have background traffic. ``grant`` as in ``run_slot``.
        """
        plan, slot = self.plan, state.slot
        kind = plan.kinds[slot % len(plan.kinds)]
        down, up = (self.has_traffic[way] or way in directions for way in DIRECTIONS)
        report = StepReport()
        if (down and kind.downlink >= 0) or (up and kind.uplink >= 0):
            air, lost = self.air_at(state)
            self._offer(state, slot * plan.slot_s)
            for way, index in ((DIRECTIONS[0], kind.downlink), (DIRECTIONS[1], kind.uplink)):
                if index >= 0:
                    share_out(self, state, way)
            links = state.downlink if down else None, state.uplink if up else None
            report = StepReport(*run_slot(plan, slot, air, *links, grant), lost)
            self._settle(state, report, (slot + 1) * plan.slot_s)
        state.slot += 1
        return report

    def view(self, state: NetworkState, direction: Direction) -> View:
        """Return what the scheduler of the state's slot will see; the slot must have this direction.

        Packets that have arrived are queued and feedback is taken in, as ``step`` would, which then finds it done.
        """
        kind = getattr(self.plan.kinds[state.slot % len(self.plan.kinds)], direction)
        assert kind >= 0, f"slot {state.slot} has no {direction}"
        air, _ = self.air_at(state)
        self._offer(state, state.slot * self.plan.slot_s)
        link, beams = (
            (self.plan.downlink, air.downlink) if direction == "downlink" else (self.plan.uplink, air.uplink)
        )  # fmt: skip
        return observe(self.plan, link, state.slot, kind, beams, state.link(direction))

    def _offer(self, state: NetworkState, now_s: float) -> None:
        for way, source in self.sources.items():
            if source.carries.any():
                bearer, late_s = state.link(way).bearer, float(state.stood_still_s[0])
                source.offer(now_s - late_s, state.ledgers[way], bearer["enqueued"])
                source.mark_heads(state.ledgers[way], bearer["head_s"])
                if late_s > 0.0:
                    bearer["head_s"][:, source.carries] += late_s

    def _settle(self, state: NetworkState, report: StepReport, end_s: float) -> None:
        for way, part in ((DIRECTIONS[0], report.downlink), (DIRECTIONS[1], report.uplink)):
            if part is not None and self.has_traffic[way]:
                state.ledgers[way].settle(end_s - state.stood_still_s[0], part.block, self.sources[way].budget_s)
