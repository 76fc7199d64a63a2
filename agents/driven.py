"""A scenario's network in many replicas, driven from outside: the simulations' own ``Network`` and ``run_slot``."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.environment import State
from channel.errors import UserError
from channel.layout import ExplicitPlacement
from channel.model import ChannelModel
from channel.seeding import stream
from channel.snapshot import ChannelSnapshot
from ran.network import Direction, Network, NetworkState
from ran.queues import rates, users_of, waits
from ran.traffic.ledger import CAPACITY
from scenarios.build import build_world
from scenarios.load import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from ran.world import World

_KEPT_INTERVALS = 1024


class Crowd(ChannelModel):
    """UEs of a crowd that is drawn once, by a scenario's own placement, mobility and channel model.

    Every replica has some of them, chosen by its seed: drawing a channel costs tens of milliseconds, choosing from one
    that is there almost nothing. All of a crowd's UEs move in one world: the same fields, other places.
    """

    scenario: str
    overrides: tuple[str, ...] = ()
    count: int

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> NDArray[np.int64]:  # noqa: ARG002
        """Return which UEs of the crowd a replica has, ascending, [num_ues]."""
        return np.sort(stream(seed, "crowd").choice(self.count, geometry.num_ues, replace=False))

    def realise(
        self, geometry: Geometry, state: NDArray[np.int64], time_s: float, seed: int
    ) -> tuple[ChannelSnapshot, NDArray[np.int64]]:
        """Return the snapshot of a replica's UEs, without paths."""
        return self.realise_all(geometry, [state], time_s, (seed,))[0], state

    def realise_all(
        self,
        geometry: Geometry,
        states: list[Any],
        time_s: float,
        seeds: Sequence[int],  # noqa: ARG002
    ) -> tuple[ChannelSnapshot, list[Any]]:
        """Return the snapshots of all replicas as one."""
        everyone = _heard(self.scenario, self.overrides, self.count, self.interval(time_s)[0])
        who = np.stack(states)
        return replace(everyone, gain=everyone.gain[0, who], ue_position_m=everyone.ue_position_m[0, who]), states


@lru_cache(maxsize=16)
def world_of(scenario: str, overrides: tuple[str, ...]) -> World:
    """Return a scenario's world. Raises UserError where it cannot be loaded."""
    return build_world(load(scenario, overrides))


@lru_cache(maxsize=8)
def _crowd(scenario: str, overrides: tuple[str, ...], count: int) -> tuple[World, Any]:
    """Return the world in which the crowd stands, and its channel's state."""
    loaded = load(scenario, overrides)
    # Not through the loader: they stand here to be chosen from, and learn nothing together.
    world = build_world(loaded.model_copy(update={"ues": loaded.ues.model_copy(update={"count": count})}))
    return world, world.channel.start(world.geometry, world.seeds[0])


@lru_cache(maxsize=_KEPT_INTERVALS)
def _heard(scenario: str, overrides: tuple[str, ...], count: int, index: int) -> ChannelSnapshot:
    """Return what the whole crowd hears in a coherence interval."""
    world, state = _crowd(scenario, overrides, count)
    time_s = (index + 0.5) * world.channel.coherence_interval_s
    return replace(world.channel.realise(world.geometry, state, time_s, world.seeds[0])[0], paths=None)


@dataclass
class Driven:
    """Replicas of a scenario's network under way; they share one slot counter.

    Replica b depends on ``seeds[b]`` alone: which UEs of the crowd it has, its traffic, its luck in decoding.

    Attributes:
        scenario, overrides: whose network it is; a packaged name or a path, and ``a.b=value`` texts.
        crowd: UEs to choose from.
        packets: that may wait on a bearer.
        seeds: of the replicas.
        network: runs it; made again where a copy was unpickled.
        state: all that changes.
    """

    scenario: str
    overrides: tuple[str, ...]
    crowd: int
    packets: int
    seeds: tuple[int, ...]
    network: Network = field(repr=False)
    state: NetworkState = field(repr=False)

    @staticmethod
    def start(
        scenario: str, overrides: tuple[str, ...], crowd: int, key: NDArray[np.uint64], packets: int = CAPACITY
    ) -> Driven:
        """Return replicas at time 0 whose seeds are these keys."""
        seeds = tuple((key >> np.uint64(1)).tolist())
        network = _network(scenario, overrides, crowd, packets, seeds)
        return Driven(scenario, overrides, crowd, packets, seeds, network, network.start())

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "network"}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self.network = _network(self.scenario, self.overrides, self.crowd, self.packets, self.seeds)

    @property
    def now_s(self) -> float:
        """Virtual time, s."""
        return self.state.slot * self.network.plan.slot_s

    def users(self, direction: Direction) -> NDArray[np.int64]:
        """Return the UEs that have traffic in a direction."""
        return users_of(self.network, direction)

    def wait(self, direction: Direction) -> NDArray[np.float64]:
        """Return how long every bearer's oldest packet has waited over its budget, [batch, num_ues, num_slices]."""
        return waits(self.network, self.state, direction)

    def rate_bit_s(self, direction: Direction) -> NDArray[np.float64]:
        """Return the rate of every UE by its report if its cell served nobody else, bit/s, [batch, num_ues]."""
        return rates(self.network, self.state, direction)

    def by_cell(self, each: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sums over the UEs that each cell serves, [batch, num_cells], of values [batch, num_ues]."""
        cells = np.arange(self.network.world.num_cells)
        here = self.state.serving_cell[:, :, None] == cells
        return np.asarray((each[:, :, None] * here).sum(axis=1), np.float64)


def _network(scenario: str, overrides: tuple[str, ...], crowd: int, packets: int, seeds: tuple[int, ...]) -> Network:
    world = world_of(scenario, overrides)
    fixed = isinstance(load(scenario, overrides).ues.placement, ExplicitPlacement)
    count = world.num_ues if fixed else max(crowd, world.num_ues)
    channel = Crowd(
        coherence_interval_s=world.channel.coherence_interval_s, scenario=scenario, overrides=overrides, count=count
    )
    return Network(replace(world, seeds=seeds, channel=channel), packets)


@dataclass
class DrivenState(State):
    """A state whose replicas are a driven network's.

    Attributes:
        driven: the network under way.
    """

    driven: Driven

    def put(self, which: NDArray[np.int64], other: State) -> None:
        """Take over all replicas at once.

        Raises UserError where they are only some: a network's replicas share one slot counter.
        """
        if len(which) != len(self.key):
            raise UserError(
                f"restart {len(which)} of {len(self.key)} replicas: these share one clock; reset them all together, or "
                "make plain environments"
            )
        self.__dict__.update(other.__dict__)

    def replicas(self, which: NDArray[np.int64]) -> Any:
        """Return a copy of all replicas, in their order; see ``put``."""
        assert np.array_equal(which, np.arange(len(self.key))), "replicas of a network are copied all together"
        return deepcopy(self)


def scenario_problems(scenario: str, overrides: Sequence[str]) -> list[str]:
    """Return why a scenario cannot be driven, if it cannot."""
    try:
        load(scenario, overrides)
    except UserError as error:
        return [f"`scenario`: {error}"]
    return []
