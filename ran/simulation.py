"""Slots and events until every payload has arrived: virtual time advances by slots, idle air is skipped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ran.air import Air, prepare_air, radio_threads, serve_strongest
from ran.plan import SlotPlan
from ran.slot import SlotReport, run_slot
from ran.state import IDLE, TALLY_DTYPE, LinkState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.snapshot import ChannelSnapshot
    from ran.world import World

Direction = Literal["downlink", "uplink"]


@dataclass(frozen=True)
class Transfer:
    """A payload of bytes for one UE (downlink) or from it (uplink), ready to go at ``release_s``."""

    ue: int
    direction: Direction
    payload: bytes
    release_s: float


@dataclass(frozen=True)
class Delivery:
    """A transfer that ended: the bytes that came out, or None where the link was given up.

    Attributes:
        start_s: end of the slot before its first; done_s: end of its last slot, virtual seconds.
    """

    ue: int
    direction: Direction
    payload: bytes | None
    start_s: float
    done_s: float


@dataclass(frozen=True)
class Exchange:
    """What a set of transfers cost.

    Attributes:
        deliveries: one per transfer, in the order given.
        downlink, uplink: TALLY_DTYPE [num_ues].
        downlink_airtime_s, uplink_airtime_s: time in which any cell used the direction.
        cell_active_s: time in which each cell sent or received, summed over cells.
        radiated_j: energy that the cells radiated.
        end_s: end of the last slot.
    """

    deliveries: list[Delivery]
    downlink: NDArray[Any]
    uplink: NDArray[Any]
    downlink_airtime_s: float = 0.0
    uplink_airtime_s: float = 0.0
    cell_active_s: float = 0.0
    radiated_j: float = 0.0
    end_s: float = 0.0


@dataclass
class NetworkState:
    """What the network remembers: the next slot, both directions, who serves whom, and the channel's state."""

    slot: int
    downlink: LinkState
    uplink: LinkState
    serving_cell: NDArray[np.int32]
    channel: Any

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all but the channel's state by name, for a checkpoint."""
        links = {"downlink": self.downlink, "uplink": self.uplink}
        named = {f"{way}.{name}": array for way, link in links.items() for name, array in link.arrays().items()}
        return {"slot": np.array(self.slot), "serving_cell": self.serving_cell, **named}

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned; the channel's state is redrawn from the seed by ``Simulation.start``."""
        self.slot = int(arrays["slot"])
        self.serving_cell = arrays["serving_cell"]
        for way, link in (("downlink", self.downlink), ("uplink", self.uplink)):
            for name in link.arrays():
                setattr(link, name, arrays[f"{way}.{name}"])


@dataclass
class _Flow:
    """A transfer on its way: the SDUs sent, the SDUs that arrived, and the next slot it may use."""

    transfer: Transfer
    wire: NDArray[np.uint8]
    arrived: NDArray[np.uint8]
    order: int
    first_slot: int
    got: int = 0


@dataclass
class _Running:
    """Bookkeeping of one ``deliver`` call."""

    waiting: list[_Flow]
    active: dict[tuple[Direction, int], _Flow] = field(default_factory=dict)
    done: dict[int, Delivery] = field(default_factory=dict)
    symbols: dict[Direction, int] = field(default_factory=lambda: {"downlink": 0, "uplink": 0})
    cell_symbols: int = 0


class Simulation:
    """Runs one world (one replica) slot by slot; all that changes lives in the NetworkState passed in."""

    def __init__(self, world: World) -> None:
        assert world.batch == 1, "payloads travel in one replica; batched worlds drive run_slot themselves"
        self.world = world
        self.plan = SlotPlan.of(world)
        self._air: tuple[int, Air] | None = None
        self._snapshots: dict[int, ChannelSnapshot] = {}

    def start(self) -> NetworkState:
        """Return the state at time 0: every UE served by its strongest cell, nothing queued."""
        world = self.world
        channel = world.channel.start(world.geometry, world.seeds[0], world.torch_device)
        snapshot, channel = world.channel.realise(world.geometry, channel, 0.0, world.seeds[0])
        processes = world.radio.harq.processes
        first_mcs = self.plan.downlink.tables.first_mcs

        def link() -> LinkState:
            scheduler = world.scheduler.start(1, world.num_cells, world.num_ues)
            return LinkState.start(1, world.num_ues, processes, first_mcs, scheduler)

        return NetworkState(0, link(), link(), serve_strongest(snapshot), channel)

    def air_at(self, state: NetworkState, slot: int) -> Air:
        """Return the air in slot ``slot``, drawn once per coherence interval."""
        channel = self.world.channel
        index = channel.interval(slot * self.plan.slot_s)[0]
        if self._air is None or self._air[0] != index:
            now = self.snapshot(state, index)
            delayed = self.world.radio.link_adaptation.csi == "delayed"
            reported = self.snapshot(state, max(index - 1, 0)) if delayed else now
            with radio_threads(self.world.threads):
                self._air = index, prepare_air(self.plan, now, reported, state.serving_cell)
            self._snapshots = {index: now}
        return self._air[1]

    def snapshot(self, state: NetworkState, index: int) -> ChannelSnapshot:
        """Return the channel snapshot of coherence interval ``index``."""
        if index not in self._snapshots:
            world = self.world
            time_s = (index + 0.5) * world.channel.coherence_interval_s
            self._snapshots[index], state.channel = world.channel.realise(
                world.geometry, state.channel, time_s, world.seeds[0]
            )
        return self._snapshots[index]

    def deliver(self, state: NetworkState, transfers: Sequence[Transfer]) -> Exchange:
        """Carry every transfer to its end; ``state`` advances to the slot after the last.

        At most one transfer per UE and direction. A transfer that takes longer than ``rlc.give_up_s`` ends without
        payload: the radio link failed.
        """
        running = self._begin(state, transfers)
        for link in (state.downlink, state.uplink):
            link.tally = np.zeros_like(link.tally)
        while running.waiting or running.active:
            self._release(state, running)
            if running.active:
                self._one_slot(state, running)
                self._abandon_late(state, running)
                state.slot += 1
            elif running.waiting:
                state.slot = running.waiting[0].first_slot  # idle air is skipped
        return self._account(state, running, len(transfers))

    def _begin(self, state: NetworkState, transfers: Sequence[Transfer]) -> _Running:
        flows = []
        for order, transfer in enumerate(transfers):
            wire = np.frombuffer(self.world.radio.rlc.packetise(transfer.payload), np.uint8)
            first_slot = max(state.slot, math.ceil(transfer.release_s / self.plan.slot_s - 1e-9))
            flows.append(_Flow(transfer, wire, np.zeros_like(wire), order, first_slot))
        keys = [(flow.transfer.direction, flow.transfer.ue) for flow in flows]
        assert len(set(keys)) == len(keys), "one transfer per UE and direction"
        return _Running(waiting=sorted(flows, key=lambda flow: (flow.first_slot, flow.order)))

    def _link(self, state: NetworkState, direction: Direction) -> LinkState:
        return state.downlink if direction == "downlink" else state.uplink

    def _release(self, state: NetworkState, running: _Running) -> None:
        while running.waiting and running.waiting[0].first_slot <= state.slot:
            flow = running.waiting.pop(0)
            transfer = flow.transfer
            if not len(flow.wire):
                self._finish(running, flow, b"", state.slot)
                continue
            row = self._link(state, transfer.direction).flow[0, transfer.ue]
            # Everything earlier has arrived, so the byte counters may start again at an SDU boundary.
            row["enqueued"], row["sent"], row["delivered"] = len(flow.wire), 0, 0
            running.active[transfer.direction, transfer.ue] = flow

    def _one_slot(self, state: NetworkState, running: _Running) -> None:
        downlink = state.downlink if any(way == "downlink" for way, _ in running.active) else None
        uplink = state.uplink if any(way == "uplink" for way, _ in running.active) else None
        kind = self.plan.kinds[state.slot % len(self.plan.kinds)]
        if (kind.downlink < 0 or downlink is None) and (kind.uplink < 0 or uplink is None):
            return
        down, up = run_slot(self.plan, state.slot, self.air_at(state, state.slot), downlink, uplink)
        if down is not None:
            self._receive(state, running, "downlink", down, kind.downlink_symbols)
        if up is not None:
            self._receive(state, running, "uplink", up, kind.uplink_symbols)

    def _receive(
        self, state: NetworkState, running: _Running, direction: Direction, report: SlotReport, symbols: int
    ) -> None:
        block = report.block[0]
        sending = block["prbs"] > 0
        if not sending.any():
            return
        running.symbols[direction] += symbols
        running.cell_symbols += symbols * len(np.unique(state.serving_cell[0, sending]))
        for ue in np.nonzero(block["delivered"])[0]:
            flow = running.active[direction, int(ue)]
            start, count = int(block["start"][ue]), int(block["delivered"][ue])
            flow.arrived[start : start + count] = flow.wire[start : start + count]
            flow.got += count
            if flow.got == len(flow.wire):
                del running.active[direction, int(ue)]
                self._finish(running, flow, self.world.radio.rlc.reassemble(flow.arrived.tobytes()), state.slot + 1)

    def _finish(self, running: _Running, flow: _Flow, payload: bytes | None, end_slot: int) -> None:
        transfer = flow.transfer
        running.done[flow.order] = Delivery(
            transfer.ue, transfer.direction, payload, flow.first_slot * self.plan.slot_s, end_slot * self.plan.slot_s
        )

    def _abandon_late(self, state: NetworkState, running: _Running) -> None:
        limit = self.world.radio.rlc.give_up_s / self.plan.slot_s
        for key, flow in list(running.active.items()):
            if state.slot + 1 - flow.first_slot >= limit:
                direction, ue = key
                link = self._link(state, direction)
                for name in ("enqueued", "sent", "delivered", "nack_count"):
                    link.flow[0, ue][name] = 0
                link.harq["status"][0, ue] = IDLE
                del running.active[key]
                self._finish(running, flow, None, state.slot + 1)

    def _account(self, state: NetworkState, running: _Running, count: int) -> Exchange:
        symbol_s = self.plan.symbol_s
        downlink = state.downlink.tally[0].copy()
        return Exchange(
            deliveries=[running.done[order] for order in range(count)],
            downlink=downlink,
            uplink=state.uplink.tally[0].copy(),
            downlink_airtime_s=running.symbols["downlink"] * symbol_s,
            uplink_airtime_s=running.symbols["uplink"] * symbol_s,
            cell_active_s=running.cell_symbols * symbol_s,
            radiated_j=float(downlink["radiated_w_symbols"].sum()) * symbol_s,
            end_s=max((delivery.done_s for delivery in running.done.values()), default=state.slot * self.plan.slot_s),
        )


def empty_tally(num_ues: int) -> NDArray[Any]:
    """Return a tally of nothing, TALLY_DTYPE [num_ues]."""
    return np.zeros(num_ues, TALLY_DTYPE)
