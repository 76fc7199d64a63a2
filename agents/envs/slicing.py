"""Shares of a cell between a learning task and users with a service level agreement."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field as Parameter

from agents.draws import uniforms
from agents.driven import Driven, DrivenState, scenario_problems, world_of
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule
from agents.envs import slicing_rules as heuristics
from agents.fields import Choice, Field, Term
from agents.rules import Random
from ran.network import Direction
from ran.payload_bearers import begin, end

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PAYLOAD = 1 << 20
_PACKETS = 64
_LEAST_NEED, _MOST_NEED = 1e-3, 10.0
_LEAST_BYTES, _MOST_BYTES = 1e2, 1e6
_LEAST_BIT_S, _MOST_BIT_S = 1e5, 1e8
_MOST_WAIT, _MOST_LOAD = 2.0, 2.0


@dataclass
class SlicingState(DrivenState):
    """Replicas of a network whose slices' shares move.

    Attributes:
        share: of learning in every cell, [batch, num_cells].
        done: whose update of this round has arrived, bool [batch, num_ues].
        twin: a second network in which traffic comes first, where the bound is played.
    """

    share: NDArray[np.float64]
    done: NDArray[np.bool_]
    twin: Driven | None = None


@ENVIRONMENTS.register("slicing")
class Slicing(Environment):
    """Every window of slots, set the share of each cell's resource blocks that learning is guaranteed.

    The MAC's own slices: whatever a slice does not need goes to the others, so a share is a guarantee and no wall. All
    UEs learn. Every round each queues an update of the round's size, between the median over ``spread`` and the median
    times ``spread``. The round counts when a quorum of them has arrived, and what has not by its end is dropped
    (federated averaging with a deadline). Some UEs have traffic besides, with a delay budget by 5QI. Where a cell
    cannot carry both, either the round or the agreement breaks; some rounds are lost from the start.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | need | 6 | log10 | -3 .. 1 | airtime over time left, ascending |
    | observation | left | 6 | log10 byte | 2 .. 6 | of each UE's update |
    | observation | backlog | 6 | log10 byte | 2 .. 6 | of each UE's traffic |
    | observation | wait | 6 | 1 | 0 .. 2 | of each UE's oldest packet, over its delay budget |
    | observation | rate | 6 | log10 bit/s | 5 .. 8 | of each UE alone, by report |
    | observation | learning_load | 1 | 1 | 0 .. 2 | airtime that updates want of the round's rest |
    | observation | traffic_load | 1 | 1 | 0 .. 2 | airtime that packets want of what their budgets leave |
    | observation | share | 1 | 1 | 0 .. 1 | of learning now |
    | observation | missing | 1 | 1 | 0 .. 1 | share of the quorum that is still to come |
    | observation | time | 1 | 1 | 0 .. 1 | of the round that is left |
    | action | share | 1 | 1 | 0 .. 10 | share of learning, evenly from 0 to 1 |
    | reward | rounds | 1 | 1 | weight 10 | whether the round's quorum was reached in this step |
    | reward | late | 1 | 1 | weight -0.5 | share of users whose oldest packet is beyond its delay budget |

    Not modelled: what a change of shares costs; slices' schedulers that know of the quorum.
    """

    title = "Slicing"

    steps: int = Parameter(default=100, ge=1, le=1_000_000, description="steps of an episode")
    scenario: str = Parameter(default="sliced", description="whose network: a packaged name or a path")
    overrides: tuple[str, ...] = Parameter(default=(), description="`a.b=value` texts that change the scenario")
    direction: Direction = Parameter(default="uplink", description="uplink: updates; downlink: models")
    crowd: int = Parameter(default=96, ge=1, le=100_000, description="UEs of which every replica has some")
    window_slots: int = Parameter(default=20, ge=1, le=10_000, description="slots of a step")
    round_steps: int = Parameter(default=25, ge=1, le=10_000, description="steps of a learning round")
    payload_bytes: float = Parameter(default=40e3, ge=1, le=1e9, description="median update, bytes")
    spread: float = Parameter(
        default=4.0, ge=1, le=100, description="updates of a round are up to so many times longer or shorter"
    )
    quorum: float = Parameter(default=0.8, gt=0, le=1, description="share of UEs whose updates make a round count")
    levels: int = Parameter(default=11, ge=2, le=101, description="shares to choose from, evenly from 0 to 1")

    def problems(self) -> list[str]:
        """Return what is wrong with the scenario."""
        found = super().problems() or scenario_problems(self.scenario, self.overrides)
        if not found and not any(flow.runs(self.direction) for flow in self._world.traffic):
            return [f"`scenario`: it has no {self.direction} traffic to share with; add traffic.flows"]
        return found

    @property
    def _world(self) -> Any:
        return world_of(self.scenario, self.overrides)

    @property
    def quorum_ues(self) -> int:
        """How many updates make a round count."""
        return int(np.ceil(self.quorum * self._world.num_ues - 1e-9))

    def observed(self) -> tuple[Field, ...]:
        """Return queues, rates, and how much of the time that is left they want."""
        ues, cells = self._world.num_ues, self._world.num_cells
        size = (np.log10(_LEAST_BYTES), np.log10(_MOST_BYTES))
        return (
            Field(
                "need", "log10", np.log10(_LEAST_NEED), np.log10(_MOST_NEED), "airtime over time left, ascending", ues
            ),
            Field("left", "log10 byte", *size, "of each UE's update", ues),
            Field("backlog", "log10 byte", *size, "of each UE's traffic", ues),
            Field("wait", "1", 0, _MOST_WAIT, "of each UE's oldest packet, over its delay budget", ues),
            Field(
                "rate", "log10 bit/s", np.log10(_LEAST_BIT_S), np.log10(_MOST_BIT_S), "of each UE alone, by report", ues
            ),
            Field("learning_load", "1", 0, _MOST_LOAD, "airtime that updates want of the round's rest", cells),
            Field("traffic_load", "1", 0, _MOST_LOAD, "airtime that packets want of what their budgets leave", cells),
            Field("share", "1", 0, 1, "of learning now", cells),
            Field("missing", "1", 0, 1, "share of the quorum that is still to come"),
            Field("time", "1", 0, 1, "of the round that is left"),
        )

    def acted(self) -> tuple[Choice, ...]:
        """Return the share of each cell."""
        return (Choice("share", self.levels, "share of learning, evenly from 0 to 1", self._world.num_cells),)

    def terms(self) -> tuple[Term, ...]:
        """Return rounds and broken agreements."""
        return (
            Term("rounds", "1", 10.0, "whether the round's quorum was reached in this step"),
            Term("late", "1", -0.5, "share of users whose oldest packet is beyond its delay budget"),
        )

    def start(self, key: NDArray[np.uint64]) -> SlicingState:
        """Put UEs into the cells and updates into their queues."""
        driven = Driven.start(self.scenario, self.overrides, self.crowd, key, _PACKETS)
        world = driven.network.world
        share = np.full((len(key), world.num_cells), 0.5)
        done = np.zeros((len(key), world.num_ues), bool)
        state = SlicingState(key, np.zeros(len(key), np.int64), driven, share, done)
        self._new_round(state, driven)
        return state

    def _new_round(self, state: SlicingState, driven: Driven) -> None:
        """Drop what has not arrived and queue the next round's updates."""
        link, rlc = driven.state.link(self.direction), driven.network.world.radio.rlc
        everyone = np.ones(state.done.shape, bool)
        factor = self.spread ** (2 * uniforms(state.key, _PAYLOAD + state.step, 1) - 1)
        payload = np.rint(self.payload_bytes * factor).astype(np.int64)
        size = payload + -(-payload // rlc.piece_bytes) * rlc.packet_header_bytes
        end(link, everyone)
        deadline_s = driven.now_s + self.round_steps * self._window_s(driven)
        begin(link, everyone, np.broadcast_to(size, everyone.shape), driven.now_s, deadline_s)
        state.done = ~everyone

    def _window_s(self, driven: Driven) -> float:
        return self.window_slots * driven.network.plan.slot_s

    def advance(self, state: SlicingState, action: NDArray[Any]) -> Outcome:
        """Run a window at these shares."""
        state.share = np.asarray(action).reshape(state.share.shape) / (self.levels - 1)
        before = state.done.sum(axis=1)
        arrived, wait = self._window(state.driven, state.share)
        if state.twin is not None:
            wait = self._window(state.twin, np.zeros(state.share.shape))[1]
        state.done = state.done | arrived
        reached = (state.done.sum(axis=1) >= self.quorum_ues) & (before < self.quorum_ues)
        late = (wait > 1).sum(axis=1) / len(state.driven.users(self.direction))
        if state.step[0] % self.round_steps == 0:
            for driven in (state.driven, state.twin):
                if driven is not None:
                    self._new_round(state, driven)
        return Outcome({"rounds": reached.astype(np.float64), "late": late}, np.zeros(len(late), bool), {})

    def _window(self, driven: Driven, share: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Run a window; return whose update is complete, and every UE's wait over its budget, [batch, num_ues] each."""
        network, state = driven.network, driven.state
        link = state.link(self.direction)
        others = network.plan.uplink.slices["share"][1:]
        link.share[..., 0] = share
        link.share[..., 1:] = (1 - share)[..., None] * others / others.sum()
        for _ in range(self.window_slots):
            network.step(state, directions=(self.direction,))
        row = link.bearer[:, :, 0]
        return row["delivered"] >= row["enqueued"], driven.wait(self.direction).max(axis=2)

    def values(self, state: SlicingState) -> dict[str, NDArray[np.float64]]:
        """Return the observation: queues by RLC's counters, rates by reports."""
        driven = state.driven
        bearer, window_s = driven.state.link(self.direction).bearer, self._window_s(driven)
        waiting = bearer["enqueued"] - bearer["delivered"] - bearer["lost"]
        left, backlog = np.where(state.done, 0, waiting[..., 0]), waiting[..., 1:].sum(axis=2)
        rate, wait = driven.rate_bit_s(self.direction), driven.wait(self.direction).max(axis=2)
        steps_left = self.round_steps - state.step % self.round_steps
        need = 8 * left / rate / (steps_left * window_s)[:, None]
        budget_s = driven.network.sources[self.direction].budget_s[:, 1:].min(axis=1)
        margin_s = np.maximum((1 - wait) * budget_s, window_s)
        missing = np.maximum(self.quorum_ues - state.done.sum(axis=1), 0) / self.quorum_ues
        return {
            "need": np.log10(np.maximum(np.sort(need, axis=1), _LEAST_NEED)),
            "left": np.log10(np.maximum(left, _LEAST_BYTES)),
            "backlog": np.log10(np.maximum(backlog, _LEAST_BYTES)),
            "wait": wait,
            "rate": np.log10(rate),
            "learning_load": driven.by_cell(need),
            "traffic_load": driven.by_cell(8 * backlog / rate / margin_s),
            "share": state.share,
            "missing": missing[:, None],
            "time": (steps_left / self.round_steps)[:, None],
        }

    def nearest(self, share: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the actions nearest to shares [batch, num_cells]."""
        chosen = np.rint(np.clip(share, 0, 1) * (self.levels - 1)).astype(np.int64)
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen

    def rules(self) -> dict[str, Rule]:
        """Return the baselines, their parameters the best of a sweep in the default environment."""
        return {
            "random": Random(),
            "half": heuristics.Fixed(0.5),
            "fixed": heuristics.Fixed(0.3),
            "proportional": heuristics.Proportional(1.0),
            "sla_first": heuristics.SlaFirst(2.0),
            "threshold": heuristics.Threshold(0.6),
            "deadline_first": heuristics.DeadlineFirst(1.5, 0.8),
            "urgency": heuristics.Urgency(0.5),
            "bound": Bound(),
        }

    def draw(self, state: SlicingState, replica: int, figure: Figure) -> None:
        """Draw the cells, the shares, and what waits."""
        from agents.envs.slicing_picture import draw

        draw(self, state, replica, figure)


@dataclass(frozen=True)
class Bound:
    """What no share can beat: rounds as if learning always came first, delays as if traffic always did.

    Two networks of the same seeds run side by side: of learning's share 1 the rounds count, of its share 0 the delays.
    """

    def __call__(self, environment: Slicing, state: SlicingState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return share 1; the twin has 0."""
        if state.twin is None:
            state.twin = deepcopy(state.driven)
        return environment.nearest(np.ones(state.share.shape))
