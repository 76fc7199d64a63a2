"""The source of one direction's packets: the arrivals of all flows, drawn one window ahead of the slots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from channel.seeding import stream_key
from ran.traffic.five_qi import DEFAULT_FIVE_QI, qos
from ran.traffic.ledger_kernels import mark_heads, offer
from ran.traffic.traffic import WINDOW_S, Direction, Traffic, flow_problems

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.traffic.ledger import Ledger

ARRIVAL_DTYPE = np.dtype(
    [("time_s", "f8"), ("size", "i8"), ("replica", "i4"), ("ue", "i4"), ("bearer", "i4")], align=True
)

FULL_BUFFER_BYTES = 2**40
"""Bytes that a full buffer hands to RLC at the start: more than any run sends."""


class TrafficSource:
    """All flows of one direction in a batch of replicas. Holds no state but a cache: the Ledger knows the position.

    Replica b has the packets of a world with the single seed ``seeds[b]``.

    Attributes:
        budget_s: packet delay budget of every bearer, that of its most urgent flow, [num_ues, num_bearers];
            5QI 9's where a bearer has no flow.
        priority: priority level of every bearer, likewise.
        carries: which bearers have packets, bool [num_ues, num_bearers].
        saturated: which bearers have a full buffer, bool [num_ues, num_bearers].
    """

    def __init__(
        self,
        flows: Sequence[Traffic],
        *,
        direction: Direction,
        slices: Sequence[str],
        num_ues: int,
        seeds: Sequence[int],
    ) -> None:
        broken = list(flow_problems(flows, slices, num_ues))
        assert not broken, broken
        self._direction: Direction = direction
        self._num_ues = num_ues
        self._seeds = tuple(seeds)
        self._flows = [(flow, slices.index(flow.slice)) for flow in flows if flow.runs(direction)]
        shape = (num_ues, len(slices))
        self.carries = np.zeros(shape, np.bool_)
        self.saturated = np.zeros(shape, np.bool_)
        self.budget_s, self.priority = np.full(shape, np.inf), np.full(shape, np.inf)
        for flow, bearer in self._flows:
            ues = list(flow.selected(num_ues))
            wanted = qos(flow.five_qi)
            (self.saturated if flow.saturates else self.carries)[ues, bearer] = True
            self.budget_s[ues, bearer] = np.minimum(self.budget_s[ues, bearer], wanted.delay_budget_s)
            self.priority[ues, bearer] = np.minimum(self.priority[ues, bearer], wanted.priority)
        default = qos(DEFAULT_FIVE_QI)
        self.budget_s[np.isinf(self.budget_s)] = default.delay_budget_s
        self.priority[np.isinf(self.priority)] = default.priority
        self._cached: tuple[int, NDArray[Any]] = (-1, np.empty(0, ARRIVAL_DTYPE))

    def start(self, enqueued: NDArray[np.int64]) -> None:
        """Fill the full buffers: ``enqueued`` is RLC's byte counter, int64 [batch, num_ues, num_bearers]."""
        enqueued[:, self.saturated] = FULL_BUFFER_BYTES

    def window(self, index: int) -> NDArray[Any]:
        """Return all arrivals of one window in order of time, ARRIVAL_DTYPE [any]."""
        if self._cached[0] != index:
            parts = [part for order in range(len(self._flows)) for part in self._arrivals(order, index)]
            merged = np.concatenate([np.empty(0, ARRIVAL_DTYPE), *parts])
            self._cached = index, merged[np.argsort(merged["time_s"], kind="stable")]
        return self._cached[1]

    def _arrivals(self, order: int, window: int) -> list[NDArray[Any]]:
        """Return the arrivals of one flow, an array per replica and UE."""
        flow, bearer = self._flows[order]
        # Flows of one kind in one slice would otherwise draw the same numbers.
        twins = sum((other.name, place) == (flow.name, bearer) for other, place in self._flows[:order])
        parts = []
        for replica, seed in enumerate(self._seeds):
            own_seed = stream_key(seed, "twin flow", twins) if twins else seed
            for ue in flow.selected(self._num_ues):
                times_s, sizes = flow.packets(own_seed, ue, self._direction, window)
                part = np.empty(len(times_s), ARRIVAL_DTYPE)
                part["time_s"], part["size"] = times_s, sizes
                part["replica"], part["ue"], part["bearer"] = replica, ue, bearer
                parts.append(part)
        return parts

    def offer(self, now_s: float, ledger: Ledger, enqueued: NDArray[np.int64]) -> None:
        """Hand over every packet that has arrived by ``now_s``, however long ago the last call was.

        Args:
            now_s: start of the slot, s; never earlier than in the last call.
            ledger: takes the packets.
            enqueued: RLC's byte counter, int64 [batch, num_ues, num_bearers], grows by their bytes.
        """
        while True:
            window, cursor = ledger.position.tolist()
            cursor = offer(now_s, self.window(window), cursor, ledger.packet, ledger.queue, ledger.delay, enqueued)
            if now_s < (window + 1) * WINDOW_S:
                ledger.position[1] = cursor
                return
            ledger.position[:] = window + 1, 0

    def mark_heads(self, ledger: Ledger, head_s: NDArray[np.float64]) -> None:
        """Write when each packet-carrying bearer's oldest packet arrived, NaN where none waits; others stay.

        ``head_s`` is float64 [batch, num_ues, num_bearers].
        """
        mark_heads(ledger.packet, ledger.queue, self.carries, head_s)

    def next_arrival_s(self, ledger: Ledger) -> float:
        """Return a time before which no further packet arrives: the next arrival, or the end of its window.

        Infinity where no flow has packets.
        """
        if not self.carries.any():
            return math.inf
        window, cursor = ledger.position.tolist()
        arrivals = self.window(window)
        return float(arrivals["time_s"][cursor]) if cursor < len(arrivals) else (window + 1) * WINDOW_S
