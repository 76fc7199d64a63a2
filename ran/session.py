"""Sessions: transfers that begin at any moment and share the air, taken out one by one as they end."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.network import DIRECTIONS, Direction, LostRange, NetworkState, StepReport
from ran.ranges import Ranges
from ran.state import IDLE
from ran.stretch import Stretch
from ran.transfer import LEARNING_SLICE, Delivery, Exchange, Transfer, difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.simulation import Simulation
    from ran.slot import SlotReport

Key = tuple[Direction, int]


class Session(ABC):
    """Carries transfers on one clock until it is closed by forgetting it."""

    @abstractmethod
    def submit(self, transfer: Transfer) -> None:
        """Take on a transfer; of one UE and direction at most one at a time, released no earlier than now."""

    @abstractmethod
    def next(self, until_s: float = math.inf) -> Delivery | None:
        """Return the first transfer that has ended and was not returned yet, or None if none ends by ``until_s``.

        Time passes up to that end, or to ``until_s`` where something is still under way.
        """

    @abstractmethod
    def abandon(self, time_s: float) -> None:
        """Give up at ``time_s`` whatever was not returned yet: it counts as ended, without payload."""

    @abstractmethod
    def account(self) -> Exchange:
        """Return what was returned, and what was spent, since the last account; in the order of submission."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what is under way by name, for a checkpoint that is taken right after an account."""

    @abstractmethod
    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned; the network's state has been restored already."""


def carry(session: Session, transfers: Sequence[Transfer], until_s: float = math.inf) -> Exchange:
    """Return what all transfers together come to: each to its end, or given up at ``until_s``."""
    for transfer in transfers:
        session.submit(transfer)
    while session.next(until_s) is not None:
        pass
    session.abandon(until_s)
    return session.account()


@dataclass
class _Flow:
    """A transfer on its way: the bytes of its SDUs, those that arrived or are lost, and the first slot it may use."""

    transfer: Transfer
    size: int
    order: int
    first_slot: int
    arrived: Ranges = field(default_factory=Ranges)
    lost: Ranges = field(default_factory=Ranges)

    @property
    def settled(self) -> bool:
        """Whether every byte has arrived or is lost."""
        return self.arrived.total + self.lost.total == self.size

    @property
    def key(self) -> Key:
        """Its bearer; one transfer at a time uses it."""
        return self.transfer.direction, self.transfer.ue

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return it as named arrays; the size follows from the payload."""
        ranges = {name: np.array(list(getattr(self, name)), np.int64).reshape(-1, 2) for name in ("arrived", "lost")}
        return self.transfer.arrays() | ranges | {"place": np.array([self.order, self.first_slot])}


class SlotSession(Session):
    """Transfers through the slot loop of one simulation; ``state`` moves on with them.

    A transfer that takes longer than ``rlc.give_up_s`` ends without payload: the radio link failed. Background
    traffic goes on meanwhile, also while transfers wait; where there is neither, idle air is skipped.
    """

    def __init__(self, simulation: Simulation, state: NetworkState) -> None:
        self._simulation = simulation
        self._state = state
        self._plan, self._rlc = simulation.plan, simulation.world.radio.rlc
        self._waiting: list[_Flow] = []
        self._active: dict[Key, _Flow] = {}
        self._ended: list[tuple[int, Delivery]] = []
        self._returned: list[tuple[int, Delivery]] = []
        self._count = 0
        self._symbols: dict[Direction, float] = dict.fromkeys(DIRECTIONS, 0.0)
        fidelity = simulation.world.fidelity
        self._stretch = Stretch.begin(fidelity, len(self._plan.kinds)) if fidelity.mode == "flow" else None
        self._mark()

    def submit(self, transfer: Transfer) -> None:
        """Take on a transfer, from the first slot that begins at or after its release."""
        first_slot = max(self._state.slot, self._slot_of(transfer.release_s))
        size = self._rlc.stream_bytes(len(transfer.payload))
        flow = _Flow(transfer, size, self._count, first_slot)
        taken = {*self._active, *(other.key for other in self._waiting)}
        assert flow.key not in taken, "one transfer per UE and direction"
        insort(self._waiting, flow, key=_turn)
        row = self._state.link(transfer.direction).bearer[0, transfer.ue, LEARNING_SLICE]
        row["deadline_s"] = transfer.deadline_s  # known before there are data: rules of sharing plan by it
        self._count += 1

    def next(self, until_s: float = math.inf) -> Delivery | None:
        """Run slots until a transfer ends, or up to the slot that begins at or after ``until_s``."""
        end_slot = self._slot_of(until_s) if math.isfinite(until_s) else math.inf
        while not self._ended and (self._waiting or self._active) and self._state.slot < end_slot:
            self._advance(end_slot)
        if not self._ended or self._ended[0][1].done_s > until_s:
            return None
        self._returned.append(self._ended.pop(0))
        return self._returned[-1][1]

    def abandon(self, time_s: float) -> None:
        """Give up at ``time_s`` whatever was not returned yet, and empty its buffers."""
        late = [(order, each.ue, each.direction, each.start_s) for order, each in self._ended]
        for flow in [*self._active.values(), *self._waiting]:
            late.append((flow.order, flow.transfer.ue, flow.transfer.direction, flow.first_slot * self._plan.slot_s))
        for key in self._active:
            self._clear(key)
        self._ended, self._active, self._waiting = [], {}, []
        for order, ue, direction, start_s in late:
            self._returned.append((order, Delivery(ue, direction, None, min(start_s, time_s), time_s)))

    def account(self) -> Exchange:
        """Return the deliveries since the last account, and by how much the counters have grown."""
        plan, symbol_s = self._plan, self._plan.symbol_s
        tally = {way: difference(self._state.link(way).tally[0], self._before[way][0]) for way in DIRECTIONS}
        cell = {way: difference(self._state.link(way).cell[0], self._before[way][1]) for way in DIRECTIONS}
        used = {way: self._symbols[way] - self._symbols_before[way] for way in DIRECTIONS}
        active_symbols = 0.0
        for way in DIRECTIONS:
            ours, everyone = tally[way]["prb_symbols"][:, LEARNING_SLICE].sum(), tally[way]["prb_symbols"].sum()
            active_symbols += cell[way]["active_symbols"].sum() * (ours / everyone if everyone else 0.0)
        mine = {way: np.ascontiguousarray(tally[way][:, LEARNING_SLICE]) for way in DIRECTIONS}
        deliveries = [delivery for _, delivery in sorted(self._returned, key=_order)]
        self._returned = []
        self._mark()
        return Exchange(
            deliveries=deliveries,
            downlink=mine["downlink"],
            uplink=mine["uplink"],
            downlink_airtime_s=used["downlink"] * symbol_s,
            uplink_airtime_s=used["uplink"] * symbol_s,
            cell_active_s=active_symbols * symbol_s,
            radiated_j=float(mine["downlink"]["radiated_w_symbols"].sum()) * symbol_s,
            end_s=max((delivery.done_s for delivery in deliveries), default=self._state.slot * plan.slot_s),
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return transfers, those that ended but were not returned, and where the window of ``flow`` stands."""
        assert not self._returned, "a checkpoint follows an account"
        named: dict[str, NDArray[Any]] = {
            "symbols": np.array([self._symbols[way] for way in DIRECTIONS]), "count": np.array(self._count)
        }  # fmt: skip
        flows = [("active", flow) for flow in self._active.values()] + [("waiting", flow) for flow in self._waiting]
        for index, (kind, flow) in enumerate(flows):
            named |= {f"{kind}/{index}/{name}": array for name, array in flow.arrays().items()}
        for index, (order, delivery) in enumerate(self._ended):
            named |= {f"ended/{index}/{name}": array for name, array in _ended_arrays(order, delivery).items()}
        if self._stretch is not None:
            named |= {f"stretch/{name}": array for name, array in self._stretch.arrays().items()}
        return named

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned."""
        self._symbols = dict(zip(DIRECTIONS, arrays["symbols"].tolist(), strict=True))
        self._count = int(arrays["count"])
        self._active = {flow.key: flow for flow in map(self._flow_of, _entries(arrays, "active"))}
        self._waiting = [self._flow_of(entry) for entry in _entries(arrays, "waiting")]
        self._ended = [_ended_of(entry) for entry in _entries(arrays, "ended")]
        if self._stretch is not None:
            length = len("stretch/")
            self._stretch.restore({n[length:]: array for n, array in arrays.items() if n.startswith("stretch/")})
        self._mark()

    def _flow_of(self, entry: dict[str, NDArray[Any]]) -> _Flow:
        transfer, (order, first_slot) = Transfer.of(entry), entry["place"].tolist()
        flow = _Flow(transfer, self._rlc.stream_bytes(len(transfer.payload)), order, first_slot)
        for name in ("arrived", "lost"):
            for start, stop in entry[name].tolist():
                getattr(flow, name).add(start, stop)
        return flow

    def _slot_of(self, time_s: float) -> int:
        return math.ceil(time_s / self._plan.slot_s - 1e-9)

    def _mark(self) -> None:
        """Let the next account begin here."""
        self._before = {
            way: (self._state.link(way).tally[0].copy(), self._state.link(way).cell[0].copy()) for way in DIRECTIONS
        }
        self._symbols_before = dict(self._symbols)

    def _advance(self, end_slot: float) -> None:
        """Release what is due, then run one slot, or skip idle air up to the next release or ``end_slot``."""
        state, simulation = self._state, self._simulation
        self._release()
        if self._active:
            directions = tuple(way for way in DIRECTIONS if any(key[0] == way for key in self._active))
            self._receive_all(simulation.step(state, directions))
            self._abandon_late()
            if self._stretch is not None:
                self._sample(self._stretch, end_slot)
        elif self._waiting and any(simulation.network.has_traffic.values()):
            self._receive_all(simulation.step(state, ()))
        elif self._waiting:
            state.slot = int(min(self._waiting[0].first_slot, end_slot))

    def _release(self) -> None:
        state = self._state
        while self._waiting and self._waiting[0].first_slot <= state.slot:
            flow = self._waiting.pop(0)
            transfer = flow.transfer
            if flow.size == 0:
                self._finish(flow)
                continue
            row = state.link(transfer.direction).bearer[0, transfer.ue, LEARNING_SLICE]
            # Everything earlier has ended, so the byte counters may start again at an SDU boundary.
            row["enqueued"], row["sent"], row["delivered"], row["lost"] = flow.size, 0, 0, 0
            row["head_s"], row["deadline_s"] = transfer.release_s, transfer.deadline_s
            row["backoff_db"], row["share"] = transfer.backoff_db, transfer.share
            self._active[flow.key] = flow

    def _receive_all(self, report: StepReport) -> None:
        kind = self._plan.kinds[(self._state.slot - 1) % len(self._plan.kinds)]
        for gone in report.lost:
            self._lose(gone)
        if report.downlink is not None:
            self._receive("downlink", report.downlink, kind.downlink_symbols)
        if report.uplink is not None:
            self._receive("uplink", report.uplink, kind.uplink_symbols)

    def _receive(self, direction: Direction, report: SlotReport, symbols: int) -> None:
        block = report.block[0]
        ours = (block["prbs"] > 0) & (block["bearer"] == LEARNING_SLICE)
        if not ours.any():
            return
        self._symbols[direction] += symbols
        for ue in np.nonzero(ours & (block["delivered"] + block["lost"] > 0))[0].tolist():
            flow = self._active[direction, ue]
            start = int(block["start"][ue])
            flow.arrived.add(start, start + int(block["delivered"][ue]))
            flow.lost.add(start, start + int(block["lost"][ue]))
            self._finish_if_settled(flow)

    def _lose(self, gone: LostRange) -> None:
        flow = self._active.get((gone.direction, gone.ue))
        if gone.bearer == LEARNING_SLICE and flow is not None:
            flow.lost.add(gone.start, gone.start + gone.count)
            self._finish_if_settled(flow)

    def _finish_if_settled(self, flow: _Flow) -> None:
        if flow.settled:
            del self._active[flow.key]
            self._end_bearer(flow.key)
            self._finish(flow)

    def _finish(self, flow: _Flow) -> None:
        payload, gaps = self._rlc.receive(flow.transfer.payload, flow.arrived)
        if payload is not None and math.isfinite(flow.transfer.deadline_s):
            row = self._state.link(flow.transfer.direction).bearer[0, flow.transfer.ue, LEARNING_SLICE]
            row["arrived_by_s"] = flow.transfer.deadline_s
        self._record(flow, payload, tuple(gaps))

    def _record(self, flow: _Flow, payload: bytes | None, gaps: tuple[tuple[int, int], ...]) -> None:
        transfer, slot_s = flow.transfer, self._plan.slot_s
        start_s, done_s = flow.first_slot * slot_s, self._state.slot * slot_s
        self._ended.append((flow.order, Delivery(transfer.ue, transfer.direction, payload, start_s, done_s, gaps)))

    def _end_bearer(self, key: Key) -> None:
        """Leave nothing of a transfer behind: no bytes, and no ranges to repeat."""
        link, ue = self._state.link(key[0]), key[1]
        row = link.bearer[0, ue, LEARNING_SLICE]
        row["enqueued"], row["sent"], row["delivered"], row["lost"] = 0, 0, 0, 0
        row["head_s"], row["deadline_s"], row["backoff_db"], row["share"] = np.nan, np.inf, 0.0, 0.0
        count = int(link.ue["nack_count"][0, ue])
        kept = link.nack[0, ue, :count][link.nack[0, ue, :count]["bearer"] != LEARNING_SLICE]
        link.nack[0, ue, : len(kept)] = kept
        link.ue["nack_count"][0, ue] = len(kept)

    def _clear(self, key: Key) -> None:
        """Leave nothing of a transfer that is given up, its HARQ processes included."""
        self._end_bearer(key)
        harq = self._state.link(key[0]).harq[0, key[1]]
        harq["status"][harq["bearer"] == LEARNING_SLICE] = IDLE

    def _abandon_late(self) -> None:
        limit = self._rlc.give_up_s / self._plan.slot_s
        for key, flow in list(self._active.items()):
            if self._state.slot - flow.first_slot >= limit:
                self._clear(key)
                del self._active[key]
                self._record(flow, None, ())

    def _sample(self, stretch: Stretch, end_slot: float) -> None:
        """Count a slot of the window; at its end let every transfer move on by its rate in it.

        A window begins again when the set of transfers has changed.
        """
        stretch.left -= 1
        if stretch.left > 0 and self._active.keys() == stretch.settled.keys():
            return
        state = self._state
        flows = {key: state.link(key[0]).bearer[0, key[1], :1] for key in self._active}
        if flows and self._active.keys() == stretch.settled.keys():
            limit = math.ceil(self._rlc.give_up_s / self._plan.slot_s)
            events = [flow.first_slot + limit for flow in self._active.values()]
            next_slot = int(min([*events, end_slot, *(flow.first_slot for flow in self._waiting[:1])]))
            for key, (start, stop) in stretch.skip(state, flows, self._symbols, next_slot, self._plan.slot_s).items():
                self._active[key].arrived.add(start, stop)
        stretch.begin_window(state, flows, self._symbols)


def _turn(flow: _Flow) -> tuple[int, int]:
    return flow.first_slot, flow.order


def _order(ended: tuple[int, Delivery]) -> int:
    return ended[0]


def _entries(arrays: dict[str, NDArray[Any]], kind: str) -> list[dict[str, NDArray[Any]]]:
    """Return the arrays named ``kind``/INDEX/NAME as one dictionary of NAME for each index, in order."""
    found = dict[int, dict[str, Any]]()
    for name, array in arrays.items():
        first, _, rest = name.partition("/")
        if first == kind:
            index, _, last = rest.partition("/")
            found.setdefault(int(index), {})[last] = array
    return [found[index] for index in sorted(found)]


def _ended_arrays(order: int, delivery: Delivery) -> dict[str, NDArray[Any]]:
    transfer = Transfer(delivery.ue, delivery.direction, delivery.payload or b"", delivery.start_s, delivery.done_s)
    gaps = np.array(delivery.gaps, np.int64).reshape(-1, 2)
    return transfer.arrays() | {"gaps": gaps, "place": np.array([order, delivery.payload is not None])}


def _ended_of(entry: dict[str, NDArray[Any]]) -> tuple[int, Delivery]:
    transfer, (order, came) = Transfer.of(entry), entry["place"].tolist()
    gaps = tuple((start, stop) for start, stop in entry["gaps"].tolist())
    payload = transfer.payload if came else None
    return order, Delivery(
        transfer.ue, transfer.direction, payload, transfer.release_s, transfer.deadline_s, gaps
    )  # fmt: skip
