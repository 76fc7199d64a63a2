"""Shares of a cell between a learning task and users with a service level agreement."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field as Parameter

from agents.draws import uniforms
from agents.driven import Driven, DrivenState, scenario_problems
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule
from agents.fields import Choice, Field, Term
from agents.rules import Random
from ran.network import Direction
from ran.payload_bearers import begin, end

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PAYLOAD = 1 << 20
_LEAST_BYTES, _MOST_BYTES = 1e2, 1e6
_LEAST_BIT_S, _MOST_BIT_S = 1e5, 1e8
_MOST_WAIT, _MOST_LOAD = 2.0, 2.0


@dataclass
class SlicingState(DrivenState):
    """Replicas of a cell whose slices' shares move.

    Attributes:
        share: of learning in every cell, [batch, num_cells].
        done: whose update of this round has arrived, bool [batch, num_ues].
        late: whose oldest packet has waited beyond its budget, bool [batch, num_ues].
        twin: a second network in which traffic comes first, for the bound.
    """

    share: NDArray[np.float64]
    done: NDArray[np.bool_]
    late: NDArray[np.bool_]
    twin: Driven | None = None


@ENVIRONMENTS.register("slicing")
class Slicing(Environment):
    """Every window, set the share of a cell's resource blocks that learning is guaranteed; the rest is eMBB's.

    TABLE
    """

    title = "Slicing"

    steps: int = Parameter(default=100, ge=1, le=1_000_000, description="steps of an episode")
    scenario: str = Parameter(default="sliced", description="whose cells: a packaged name or a path")
    overrides: tuple[str, ...] = Parameter(default=(), description="`a.b=value` texts that change the scenario")
    direction: Direction = Parameter(default="uplink", description="of updates or models, and of the traffic that counts")
    crowd: int = Parameter(default=96, ge=1, le=100_000, description="UEs of which every replica has some")
    window_slots: int = Parameter(default=20, ge=1, le=10_000, description="slots of a step")
    round_steps: int = Parameter(default=25, ge=1, le=10_000, description="steps in which updates are wanted")
    payload_bytes: float = Parameter(default=30e3, ge=1, le=1e9, description="median update; half to twice as long")
    quorum: float = Parameter(default=0.8, gt=0, le=1, description="share of the UEs whose updates make a round")
    common: bool = True
    levels: int = Parameter(default=11, ge=2, le=101, description="shares to choose from, 0 to 1")

    def problems(self) -> list[str]:
        """Return what is wrong with the scenario."""
        return super().problems() or scenario_problems(self.scenario, self.overrides)

    @property
    def _shape(self) -> tuple[int, int]:
        from agents.driven import world_of

        world = world_of(self.scenario, self.overrides)
        return world.num_ues, world.num_cells

    def observed(self) -> tuple[Field, ...]:
        ues, cells = self._shape
        return (
            Field("left", "log10 byte", np.log10(_LEAST_BYTES), np.log10(_MOST_BYTES), "of each UE's update", ues),
            Field("backlog", "log10 byte", np.log10(_LEAST_BYTES), np.log10(_MOST_BYTES), "of each UE's traffic", ues),
            Field("wait", "1", 0, _MOST_WAIT, "of each UE's oldest packet, over its delay budget", ues),
            Field("rate", "log10 bit/s", np.log10(_LEAST_BIT_S), np.log10(_MOST_BIT_S), "by report, cell alone", ues),
            Field("learning_load", "1", 0, _MOST_LOAD, "airtime that updates want of what is left", cells),
            Field("traffic_load", "1", 0, _MOST_LOAD, "airtime that packets want of what their budgets leave", cells),
            Field("share", "1", 0, 1, "of learning now", cells),
            Field("time", "1", 0, 1, "of the round that is left"),
        )

    def acted(self) -> tuple[Choice, ...]:
        return (Choice("share", self.levels, "share of learning in each cell, in equal steps from 0 to 1", self._shape[1]),)

    def terms(self) -> tuple[Term, ...]:
        return (
            Term("updates", "1", 10.0, "share of the round's updates that arrived in this step, in time"),
            Term("late", "1", -1.0, "share of UEs with traffic whose oldest packet is beyond its delay budget"),
        )

    def start(self, key: NDArray[np.uint64]) -> SlicingState:
        driven = Driven.start(self.scenario, self.overrides, self.crowd, key, packets=64)
        ues, cells = self._shape
        shape = (len(key), ues)
        state = SlicingState(
            key, np.zeros(len(key), np.int64), driven, np.full((len(key), cells), 0.5), np.zeros(shape, bool),
            np.zeros(shape, bool),
        )
        self._new_round(state, driven)
        return state

    def _new_round(self, state: SlicingState, driven: Driven) -> None:
        link = driven.state.link(self.direction)
        everyone = np.ones(state.done.shape, bool)
        end(link, everyone)
        stretch = 2 ** (2 * uniforms(state.key, _PAYLOAD + state.step, 1 if self.common else everyone.shape[1]) - 1)
        stretch = np.broadcast_to(stretch, everyone.shape)
        rlc = driven.network.world.radio.rlc
        payload = np.rint(self.payload_bytes * stretch).astype(np.int64)
        size = payload + -(-payload // rlc.piece_bytes) * rlc.packet_header_bytes
        window_s = self.window_slots * driven.network.plan.slot_s
        begin(link, everyone, size, driven.now_s, driven.now_s + self.round_steps * window_s)
        state.done = np.zeros(state.done.shape, bool)

    def advance(self, state: SlicingState, action: NDArray[Any]) -> Outcome:
        state.share = np.asarray(action).reshape(len(state.key), -1) / (self.levels - 1)
        before = state.done
        done, late = self._window(state.driven, state.share)
        if state.twin is not None:
            late = self._window(state.twin, np.zeros(state.share.shape))[1]
        state.late, state.done = late, before | done
        users = max(int(self._users(state.driven).sum()), 1)
        need = self.quorum * before.shape[1] - 1e-9
        reached = (state.done.sum(axis=1) >= need) & (before.sum(axis=1) < need)
        terms = {"updates": reached.astype(float), "late": late.sum(axis=1) / users}
        if state.step[0] % self.round_steps == 0:
            self._new_round(state, state.driven)
            if state.twin is not None:
                self._new_round(state, state.twin)
        return Outcome(terms, np.zeros(len(late), bool), {})

    def _users(self, driven: Driven) -> NDArray[np.bool_]:
        source = driven.network.sources[self.direction]
        return (source.carries | source.saturated).any(axis=1)

    def _window(self, driven: Driven, share: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Run a window at these shares; return whose update is complete, and whose traffic is late, [batch, num_ues]."""
        network, state = driven.network, driven.state
        link = state.link(self.direction)
        others = network.plan.uplink.slices["share"][1:]
        link.share[..., 0] = share
        link.share[..., 1:] = (1 - share)[..., None] * others / others.sum()
        for _ in range(self.window_slots):
            network.step(state, directions=(self.direction,))
        row = link.bearer[:, :, 0]
        return row["delivered"] >= row["enqueued"], self._wait(driven).max(axis=2) > 1

    def _wait(self, driven: Driven) -> NDArray[np.float64]:
        """Return how long every bearer's oldest packet has waited over its budget, [batch, num_ues, num_slices]."""
        age_s = driven.state.ledgers[self.direction].head_delay_s(driven.now_s)
        return age_s / driven.network.sources[self.direction].budget_s

    def values(self, state: SlicingState) -> dict[str, NDArray[np.float64]]:
        driven = state.driven
        bearer, plan = driven.state.link(self.direction).bearer, driven.network.plan
        left = np.where(state.done, 0, bearer["enqueued"][..., 0] - bearer["delivered"][..., 0])
        backlog = (bearer["enqueued"] - bearer["delivered"] - bearer["lost"])[..., 1:].sum(axis=2)
        wait = self._wait(driven).max(axis=2)
        rate = self._rate_bit_s(driven)
        window_s = self.window_slots * plan.slot_s
        steps_left = self.round_steps - state.step % self.round_steps
        budget_s = driven.network.sources[self.direction].budget_s[:, 1:].min(axis=1)
        margin_s = np.maximum((1 - wait) * budget_s, window_s)
        return {
            "left": np.log10(np.maximum(left, _LEAST_BYTES)),
            "backlog": np.log10(np.maximum(backlog, _LEAST_BYTES)),
            "wait": wait,
            "rate": np.log10(np.maximum(rate, _LEAST_BIT_S)),
            "learning_load": self._by_cell(driven, 8 * left / rate / (steps_left * window_s)[:, None]),
            "traffic_load": self._by_cell(driven, 8 * backlog / rate / margin_s),
            "share": state.share,
            "time": (steps_left / self.round_steps)[:, None],
        }

    def _by_cell(self, driven: Driven, each: NDArray[np.float64]) -> NDArray[np.float64]:
        cells = np.arange(driven.network.world.num_cells)
        return (each[:, :, None] * (driven.state.serving_cell[:, :, None] == cells)).sum(axis=1)

    def _rate_bit_s(self, driven: Driven) -> NDArray[np.float64]:
        plan = driven.network.plan
        air, _ = driven.network.air_at(driven.state)
        link = air.uplink if self.direction == "uplink" else air.downlink
        kinds = [getattr(kind, self.direction) for kind in plan.kinds]
        bits = sum(link.rate_bits[kind].sum(axis=2, dtype=np.float64) for kind in kinds if kind >= 0)
        return np.maximum(bits / (len(kinds) * plan.slot_s), 1.0)

    def rules(self) -> dict[str, Rule]:
        return {
            "random": Random(),
            "half": Fixed(0.5),
            "fixed": Fixed(0.5),
            "proportional": Proportional(),
            "sla_first": SlaFirst(),
            "threshold": Threshold(),
            "urgency": Urgency(),
            "bound": Bound(),
        }

    def nearest(self, share: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the choices nearest to shares [batch, num_cells], as actions."""
        chosen = np.rint(np.clip(share, 0, 1) * (self.levels - 1)).astype(np.int64)
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen

    def draw(self, state, replica, figure) -> None:
        pass


@dataclass(frozen=True)
class Fixed:
    share: float

    def __call__(self, environment, state, seen):
        return environment.nearest(np.full(state.share.shape, self.share))


@dataclass(frozen=True)
class Proportional:
    weight: float = 1.0

    def __call__(self, environment, state, seen):
        v = environment.values(state)
        left, backlog = (environment._by_cell(state.driven, 10 ** v[n] * (v[n] > 2)) for n in ("left", "backlog"))
        return environment.nearest(self.weight * left / np.maximum(self.weight * left + backlog, 1))


@dataclass(frozen=True)
class SlaFirst:
    """Guarantee traffic what it needs (with margin) within its budget; the rest is learning's."""
    margin: float = 1.0

    def __call__(self, environment, state, seen):
        return environment.nearest(1 - self.margin * environment.values(state)["traffic_load"])


@dataclass(frozen=True)
class Threshold:
    wait: float = 0.5
    high: float = 1.0
    low: float = 0.0

    def __call__(self, environment, state, seen):
        v = environment.values(state)
        d = state.driven
        cells = np.arange(d.network.world.num_cells)
        worst = (v["wait"][:, :, None] * (d.state.serving_cell[:, :, None] == cells)).max(axis=1)
        return environment.nearest(np.where(worst > self.wait, self.low, self.high))


@dataclass(frozen=True)
class Urgency:
    weight: float = 1.0
    power: float = 1.0

    def __call__(self, environment, state, seen):
        v = environment.values(state)
        l, t = self.weight * v["learning_load"] ** self.power, v["traffic_load"] ** self.power
        return environment.nearest(l / np.maximum(l + t, 1e-9))


@dataclass(frozen=True)
class Bound:
    def __call__(self, environment, state, seen):
        if state.twin is None:
            state.twin = deepcopy(state.driven)
        return environment.nearest(np.ones(state.share.shape))


@dataclass(frozen=True)
class GiveUp:
    """Learning first while it can still make it; else traffic."""
    load: float = 1.0
    wait: float = 0.5

    def __call__(self, environment, state, seen):
        v = environment.values(state)
        d = state.driven
        cells = np.arange(d.network.world.num_cells)
        worst = (v["wait"][:, :, None] * (d.state.serving_cell[:, :, None] == cells)).max(axis=1)
        go = (v["learning_load"] < self.load) & ((worst < self.wait) | (v["learning_load"] > 0.1*self.load))
        return environment.nearest(np.where(go, 1.0, 0.0))


@dataclass(frozen=True)
class Paced:
    """Guarantee learning what it needs to be in time; the rest is traffic's."""
    margin: float = 1.0

    def __call__(self, environment, state, seen):
        return environment.nearest(self.margin * environment.values(state)["learning_load"])
