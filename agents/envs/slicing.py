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
from ran.mac import shares_seen
from ran.mac.shares_seen import Queues
from ran.mac.sharing.deadline_first import DeadlineFirst
from ran.mac.sharing.sla_first import SlaFirst
from ran.network import Direction
from ran.payload_bearers import begin, end
from ran.queues import set_shares

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PAYLOAD = 1 << 20
_PACKETS = 64


@dataclass
class SlicingState(DrivenState):
    """Replicas of a network whose slices' shares move.

    Attributes:
        share: of learning in every cell, [batch, num_cells].
        size: of this round's updates with their RLC headers, bytes, int64 [batch, num_ues].
        ready: step of the round at whose end an update has been computed and is queued, int64 [batch, num_ues].
        done: whose update of this round has arrived, bool [batch, num_ues].
        twin: a second network in which traffic comes first, where the bound is played.
    """

    share: NDArray[np.float64]
    size: NDArray[np.int64]
    ready: NDArray[np.int64]
    done: NDArray[np.bool_]
    twin: Driven | None = None


@ENVIRONMENTS.register("slicing")
class Slicing(Environment):
    """Every window of slots, set the share of each cell's resource blocks that learning is guaranteed.

    The MAC's own slices: whatever a slice does not need goes to the others, so a share is a guarantee and no wall.
    All UEs learn, and some film besides: a steady stream of frames that is late beyond its 5QI's delay budget. In every
    round each UE trains for a time of its own, up to ``compute`` of the round, and queues an update whose size is
    between the median over ``spread`` and the median times ``spread``. The round counts when a quorum has arrived;
    what has not by its end is dropped (federated averaging with a deadline).

    The trade: the cell carries the video and some of the rounds. Frames may lie for their delay budget at no cost, so
    that airtime can be borrowed for a round and has to be given back; updates of a round that fails have used it for
    nothing. Which round is worth it depends on all at once: how many updates are missing, what the shortest of them
    take, how many are still being computed, the time left, and how much has been borrowed already.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | need | 6 | log10 | -3 .. 1 | airtime of each update that waits over time left, ascending |
    | observation | wait | 3 | 1 | 0 .. 2 | of users' oldest packets over their delay budgets, descending |
    | observation | demand | 3 | log10 | -3 .. 1 | airtime of the same users' packets over their delay budgets |
    | observation | learning_load | 1 | 1 | 0 .. 2 | airtime that updates want of the round's rest |
    | observation | traffic_load | 1 | 1 | 0 .. 2 | airtime that packets want of what their budgets leave |
    | observation | quorum_load | 1 | 1 | 0 .. 2 | airtime until the quorum is there, of the round's rest |
    | observation | share | 1 | 1 | 0 .. 1 | of learning now |
    | observation | waiting | 1 | 1 | 0 .. 1 | share of updates that wait |
    | observation | missing | 1 | 1 | 0 .. 1 | share of the quorum that is still to come |
    | observation | time | 1 | 1 | 0 .. 1 | of the round that is left |
    | action | share | 1 | 1 | 0 .. 10 | share of learning, evenly from 0 to 1 |
    | reward | rounds | 1 | 1 | weight 10 | whether the round's quorum was reached in this step |
    | reward | late | 1 | 1 | weight -0.5 | share of users whose oldest packet is beyond its delay budget |

    Not modelled: what a change of shares costs; slices' schedulers that know of the quorum.
    """

    title = "Slicing"
    training = {"discount": 0.98, "rollout": 50, "minibatches": 16, "learning_rate": 2e-3, "entropy": 0.002}  # noqa: RUF012

    steps: int = Parameter(default=250, ge=1, le=1_000_000, description="steps of an episode")
    scenario: str = Parameter(default="sliced_video", description="whose network: a packaged name or a path")
    overrides: tuple[str, ...] = Parameter(default=(), description="`a.b=value` texts that change the scenario")
    direction: Direction = Parameter(default="uplink", description="uplink: updates; downlink: models")
    crowd: int = Parameter(default=96, ge=1, le=100_000, description="UEs of which every replica has some")
    window_slots: int = Parameter(default=20, ge=1, le=10_000, description="slots of a step")
    round_steps: int = Parameter(default=25, ge=1, le=10_000, description="steps of a learning round")
    payload_bytes: float = Parameter(default=40e3, ge=1, le=1e9, description="median update, bytes")
    spread: float = Parameter(
        default=4.0, ge=1, le=100, description="updates are up to so many times longer or shorter than the median"
    )
    compute: float = Parameter(default=0.6, ge=0, lt=1, description="longest local training, as a share of the round")
    quorum: float = Parameter(default=0.6, gt=0, le=1, description="share of UEs whose updates make a round count")
    levels: int = Parameter(default=11, ge=2, le=101, description="shares to choose from, evenly from 0 to 1")

    def problems(self) -> list[str]:
        """Return what is wrong with the scenario."""
        found = super().problems() or scenario_problems(self.scenario, self.overrides)
        if not found and not any(flow.runs(self.direction) for flow in self._world.traffic):
            return [f"`scenario`: it has no {self.direction} traffic to share with; add traffic.flows"]
        if not found and self._world.sharing.window:
            return ["`scenario`: its mac.slice_shares move the shares already; add mac.slice_shares=fixed to overrides"]
        return found

    @property
    def _world(self) -> Any:
        return world_of(self.scenario, self.overrides)

    @property
    def quorum_ues(self) -> int:
        """How many updates make a round count."""
        return shares_seen.quorum_of(self.quorum, self._world.num_ues)

    @property
    def _users(self) -> list[int]:
        """The UEs with traffic."""
        world = self._world
        flows = [flow for flow in world.traffic if flow.runs(self.direction)]
        return sorted({ue for flow in flows for ue in flow.selected(world.num_ues)})

    def observed(self) -> tuple[Field, ...]:
        """Return what each update and each user wants, and how much of the time that is left it would take."""
        ues, users, cells = self._world.num_ues, len(self._users), self._world.num_cells
        return shares_seen.blocks(ues, users, cells)

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
        shape = (len(key), world.num_ues)
        share = np.full((len(key), world.num_cells), 0.5)
        size, ready = np.zeros((2, *shape), np.int64)
        state = SlicingState(key, np.zeros(len(key), np.int64), driven, share, size, ready, np.zeros(shape, bool))
        self._new_round(state)
        self._queue(state)
        return state

    def _new_round(self, state: SlicingState) -> None:
        """Drop what has not arrived and let the devices compute the next round's updates."""
        rlc, ues = state.driven.network.world.radio.rlc, state.done.shape[1]
        drawn = uniforms(state.key, _PAYLOAD + state.step, 2 * ues)
        payload = np.rint(self.payload_bytes * self.spread ** (2 * drawn[:, :ues] - 1)).astype(np.int64)
        state.size = payload + -(-payload // rlc.piece_bytes) * rlc.packet_header_bytes
        state.ready = np.floor(drawn[:, ues:] * self.compute * self.round_steps).astype(np.int64)
        state.done = np.zeros(state.done.shape, bool)
        for driven in self._networks(state):
            end(driven.state.link(self.direction), ~state.done)

    def _queue(self, state: SlicingState) -> None:
        """Queue the updates that have just been computed."""
        into = state.step % self.round_steps
        for driven in self._networks(state):
            deadline_s = driven.now_s + float(self.round_steps - into[0]) * self._window_s(driven)
            link = driven.state.link(self.direction)
            begin(link, state.ready == into[:, None], state.size, driven.now_s, deadline_s)

    def _networks(self, state: SlicingState) -> list[Driven]:
        return [driven for driven in (state.driven, state.twin) if driven is not None]

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
            self._new_round(state)
        self._queue(state)
        return Outcome({"rounds": reached.astype(np.float64), "late": late}, np.zeros(len(late), bool), {})

    def _window(self, driven: Driven, share: NDArray[np.float64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Run a window; return whose update is complete, and every UE's wait over its budget, [batch, num_ues] each."""
        network, state = driven.network, driven.state
        set_shares(network, state, self.direction, share)
        for _ in range(self.window_slots):
            network.step(state, directions=(self.direction,))
        row = state.link(self.direction).bearer[:, :, 0]
        complete = (row["enqueued"] > 0) & (row["delivered"] >= row["enqueued"])
        return complete, driven.wait(self.direction).max(axis=2)

    def queues(self, state: SlicingState) -> Queues:
        """Return what waits, by RLC's counters, and how fast it could go, by reports."""
        driven, way = state.driven, self.direction
        bearer, window_s = driven.state.link(way).bearer, self._window_s(driven)
        waiting = bearer["enqueued"] - bearer["delivered"] - bearer["lost"]
        steps_left = self.round_steps - state.step % self.round_steps
        return Queues(
            left=np.where(state.done, 0, waiting[..., 0]),
            arrived=state.done,
            backlog=waiting[..., 1:].sum(axis=2),
            wait=driven.wait(way)[..., 1:].max(axis=2),
            budget_s=driven.network.sources[way].budget_s[:, 1:].min(axis=1),
            users=driven.users(way),
            rate_bit_s=driven.rate_bit_s(way),
            cell=driven.state.serving_cell,
            share=state.share,
            left_s=np.asarray(steps_left * window_s, np.float64),
            quorum=self.quorum_ues,
            round_s=self.round_steps * window_s,
            window_s=window_s,
        )

    def values(self, state: SlicingState) -> dict[str, NDArray[np.float64]]:
        """Return the observation."""
        return shares_seen.values(self.queues(state))

    def nearest(self, share: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the actions nearest to shares [batch, num_cells]."""
        chosen = np.rint(np.clip(share, 0, 1) * (self.levels - 1)).astype(np.int64)
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen

    def in_scenario(self, policy: str) -> str:
        """Return the command that runs the scenario with shares that the policy moves, and rounds as long as here."""
        round_s = self.round_steps * self.window_slots * self._world.numerology.slot_s
        deadline = f"learning.schedule={{name: deadline, round_s: {round_s:g}}}"
        changes = [*self.overrides, deadline, f"learning.round_deadline_s={round_s:g}"]
        changes = [*changes, f"mac.slice_shares={{name: policy, path: {policy}}}"]
        return " ".join([f"airtune run {self.scenario}", *(f"--set '{text}'" for text in changes)])

    def rules(self) -> dict[str, Rule]:
        """Return the baselines, their parameters the best of a sweep in the default environment."""
        return {
            "random": Random(),
            "fixed": heuristics.Fixed(0.5),
            "proportional": heuristics.Proportional(0.25),
            "sla_first": heuristics.OfScenarios(SlaFirst(margin=0.6)),
            "threshold": heuristics.Threshold(0.7),
            "deadline_first": heuristics.OfScenarios(DeadlineFirst(margin=0.8, most=1.5)),
            "quorum_first": heuristics.QuorumFirst(1.5, 0.7),
            "slack": heuristics.Slack(0.5, 1.4, 0.5),
            "urgency": heuristics.Urgency(1.0),
            "c_mu": heuristics.CMu(3.0, 0.05),
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
