"""Every slot's resource block groups, to learning payloads and users of a cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field as Parameter

from agents.draws import uniforms
from agents.driven import Driven, DrivenState, scenario_problems, world_of
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule
from agents.fields import Choice, Field, Term
from agents.rules import Random
from ran.mac import SCHEDULERS
from ran.mac.grants import of_chosen, schedule
from ran.mac.observed import SlotLayout, averages
from ran.network import Direction
from ran.payload_bearers import begin
from ran.slot import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PAYLOAD = 1
_MOST_WAIT, _FAIR_BYTES = 2.0, 1e4
_BASELINES = ("round_robin", "proportional_fair", "max_rate", "max_min", "qos", "learning_aware")


@dataclass
class SlotState(DrivenState):
    """Replicas of a network that wait for a grant.

    Attributes:
        view: what the next slot begins with.
        mean: what every UE has received lately, bits per slot, [batch, num_ues].
        payload: bytes of every UE's update on the air, [batch, num_ues].
        owner: who held every group in the last slot, int32 [batch, num_cells, num_rbgs].
        owed: groups that slices are owed once the slot has run, where a scheduler of slices made its grant.
        carried: bytes of the link's capacity so far, of every UE if it were alone, of all cells at best, and of these
            before the deadline; only where the bound is played, [batch, num_ues + 2].
    """

    view: View
    mean: NDArray[np.float64]
    payload: NDArray[np.int64]
    owner: NDArray[np.int32]
    owed: NDArray[np.float64] | None = None
    carried: NDArray[np.float64] | None = None


@ENVIRONMENTS.register("slot_scheduling")
class SlotScheduling(Environment):
    """Slot by slot, give every resource block group of every cell to a UE that waits there, or to nobody.

    Any scenario's network: its cells, channel, traffic, link adaptation, HARQ and RLC, through the same ``run_slot``
    as ``airtune run``. Every UE has an update (or, in the downlink, a model) to carry before a deadline, and those
    that the scenario gives traffic in this direction have packets too; a UE sends its update first. A step is a slot
    of the chosen direction; slots of the other pass in between, under the scenario's own scheduler. HARQ sends again
    before anyone is served, whatever the action; groups given to UEs that do not wait stay empty.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | backlog | 6 | log10 byte | 1 .. 7 | that may start a new block, of each UE |
    | observation | left | 6 | log10 byte | 1 .. 7 | that has not arrived yet, of each UE |
    | observation | wait | 6 | 1 | 0 .. 2 | of each UE's oldest data, over its delay budget |
    | observation | deadline | 6 | s | 0 .. 1 | until each UE's data are wanted |
    | observation | mean | 6 | log10 bit/slot | 0 .. 5 | what each UE has received lately |
    | observation | rate | 42 | log10 bit | 0 .. 4 | of a group, by report, each UE in each part |
    | observation | free | 7 | 1 | 0 .. 1 | groups without retransmissions in each part |
    | action | owner | 7 | 1 | 0 .. 6 | UE that gets each part of each cell's band; the last number: nobody |
    | reward | learning | 1 | 1 | weight 5 | bytes of updates that arrived in time, over those of all updates |
    | reward | utility | 1 | 1 | weight 1 | growth of the mean over users of log2(1 + bytes carried / 10 kB) |
    | reward | delay | 1 | 1 | weight -0.02 | mean over users of the oldest packet's wait over its budget, at most 2 |

    Not modelled: choice between a UE's update and its packets; pairing of UEs in a group (multi-user MIMO).
    """

    title = "SlotScheduling"

    steps: int = Parameter(default=100, ge=1, le=1_000_000, description="steps of an episode")
    scenario: str = Parameter(default="sliced", description="whose network: a packaged name or a path")
    overrides: tuple[str, ...] = Parameter(default=(), description="`a.b=value` texts that change the scenario")
    direction: Direction = Parameter(default="uplink", description="uplink: updates; downlink: models")
    crowd: int = Parameter(default=96, ge=1, le=100_000, description="UEs of which every replica has some")
    parts: int = Parameter(default=0, ge=0, le=275, description="runs of groups given away together; 0: each by itself")
    payload_bytes: float = Parameter(default=60e3, ge=1, le=1e9, description="median update; half to twice as long")
    deadline_s: float = Parameter(default=0.25, gt=0, le=1e3, description="by which updates count, s")

    def problems(self) -> list[str]:
        """Return what is wrong with the scenario, or does not fit it."""
        found = super().problems() or scenario_problems(self.scenario, self.overrides)
        if found:
            return found
        world = world_of(self.scenario, self.overrides)
        groups = world.numerology.num_rbgs
        if self.parts > groups:
            return [f"`parts`: {self.parts} is more than the {groups} resource block groups; lower it"]
        if world.numerology.duplex == "fdd" and any(not flow.runs(self.direction) for flow in world.traffic):
            return [f"`direction`: an FDD slot has both, so traffic must be {self.direction} only; set `overrides`"]
        if not any(getattr(kind, f"{self.direction}_re") for kind in world.numerology.kinds()):
            return [f"`direction`: no slot of the scenario is {self.direction}; change radio.tdd_pattern"]
        return []

    @property
    def layout(self) -> SlotLayout:
        """How slots are seen and granted."""
        world = world_of(self.scenario, self.overrides)
        groups = world.numerology.num_rbgs
        return SlotLayout(world.num_ues, world.num_cells, groups, self.parts or groups)

    def observed(self) -> tuple[Field, ...]:
        """Return what a scheduler knows."""
        return self.layout.blocks()

    def acted(self) -> tuple[Choice, ...]:
        """Return who gets each part of each cell's band."""
        layout = self.layout
        says = "UE that gets each part of each cell's band; the last number: nobody"
        return (Choice("owner", layout.ues + 1, says, layout.cells * layout.parts),)

    def terms(self) -> tuple[Term, ...]:
        """Return what learning, throughput and delay are worth."""
        return (
            Term("learning", "1", 5.0, "bytes of updates that arrived in time, over those of all updates"),
            Term("utility", "1", 1.0, "growth of the mean over users of log2(1 + bytes carried / 10 kB)"),
            Term("delay", "1", -0.02, "mean over users of the oldest packet's wait over its budget, at most 2"),
        )

    def start(self, key: NDArray[np.uint64]) -> SlotState:
        """Put UEs into the cells and updates into their queues."""
        driven = Driven.start(self.scenario, self.overrides, self.crowd, key)
        layout, link = self.layout, driven.state.link(self.direction)
        stretch = 2 ** (2 * uniforms(key, _PAYLOAD, layout.ues) - 1)
        rlc = driven.network.world.radio.rlc
        sizes = np.rint(self.payload_bytes * stretch).astype(np.int64)
        payload = sizes + -(-sizes // rlc.piece_bytes) * rlc.packet_header_bytes
        begin(link, np.ones(payload.shape, bool), payload, 0.0, self.deadline_s)
        mean = np.zeros(payload.shape)
        owner = np.full((len(key), layout.cells, layout.groups), -1, np.int32)
        state = SlotState(key, np.zeros(len(key), np.int64), driven, self._look(driven), mean, payload, owner)
        averages(self.seen(state), mean)
        return state

    def _look(self, driven: Driven) -> View:
        """Let slots pass up to the next of the direction, and return what it begins with."""
        network, state = driven.network, driven.state
        kinds = network.plan.kinds
        while getattr(kinds[state.slot % len(kinds)], self.direction) < 0:
            network.step(state, directions=())
        return network.view(state, self.direction)

    def seen(self, state: SlotState) -> Any:
        """Return what a scheduler of all slices sees of the next slot."""
        return of_chosen(state.view.seen, state.driven.state.link(self.direction), state.view.chosen)

    def values(self, state: SlotState) -> dict[str, NDArray[np.float64]]:
        """Return queues, delays, deadlines, averages and rates."""
        return self.layout.values(self.seen(state), state.mean)

    def mask(self, state: SlotState) -> NDArray[np.bool_]:
        """Return who waits in each cell; nobody is always allowed."""
        return self.layout.allowed(state.view.seen)

    def advance(self, state: SlotState, action: NDArray[Any]) -> Outcome:
        """Run the slot with this grant, and up to the next."""
        driven = state.driven
        in_time = driven.now_s + driven.network.plan.slot_s <= self.deadline_s + 1e-9
        learnt, utility = self._account(state)
        if state.carried is not None:
            slot_bytes = self._capacity(driven)
            state.carried += np.column_stack([slot_bytes, slot_bytes[:, -1] * in_time])
        report = driven.network.step(driven.state, directions=(self.direction,), grant=self.layout.grant(action))
        slot = report.uplink if self.direction == "uplink" else report.downlink
        assert slot is not None, "a step is a slot of the direction"
        state.owner = slot.owner[..., 0]
        if state.owed is not None:
            driven.state.link(self.direction).credit, state.owed = state.owed, None
        state.view = self._look(driven)
        averages(self.seen(state), state.mean)
        now_learnt, now_utility = self._account(state)
        wait = np.minimum(driven.wait(self.direction).max(axis=2), _MOST_WAIT).sum(axis=1)
        terms = {
            "learning": (now_learnt - learnt) * (in_time or state.carried is not None),
            "utility": now_utility - utility,
            "delay": wait / max(len(driven.users(self.direction)), 1) * (state.carried is None),
        }
        delivered = driven.state.link(self.direction).bearer["delivered"].copy()
        return Outcome(terms, np.zeros(len(state.key), bool), {"delivered_bytes": delivered})

    def _account(self, state: SlotState) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the share of all updates that has arrived, and the users' utility, [batch] each."""
        driven = state.driven
        users = driven.users(self.direction)
        delivered = driven.state.link(self.direction).bearer["delivered"]
        learnt, got = delivered[..., 0].sum(axis=1), delivered[..., 1:].sum(axis=2)[:, users].astype(np.float64)
        if state.carried is not None:
            offered = driven.state.ledgers[self.direction].delay["offered_bytes"].sum(axis=2).astype(np.float64)
            offered[:, driven.network.sources[self.direction].saturated.any(axis=1)] = np.inf
            most = np.minimum(state.carried[:, users], offered[:, users])
            learnt, got = self._shared_out(state.carried[:, -2], state.carried[:, -1], state.payload.sum(axis=1), most)
        utility = np.log2(1 + got / _FAIR_BYTES).sum(axis=1) / max(len(users), 1)
        return np.minimum(learnt / state.payload.sum(axis=1), 1.0), utility

    def _shared_out(
        self, carried: NDArray[np.float64], in_time: NDArray[np.float64], payload: NDArray[np.int64],
        most: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
        """Return bytes of all updates, [batch], and of each user, [batch, num_users], that are worth most.

        Maximises w_l L / P + w_u mean_k log2(1 + g_k / F) with L + sum_k g_k <= C, L <= min(P, C in time) and g_k at
        most ``most``. A user's next byte is worth less the more it has: all get the same level g, at most their own, up
        to where a byte of an update is worth more, g = w_u P / (w_l n ln 2) - F; what updates leave goes to users.
        """
        weight = {term.name: self.weights.get(term.name, term.weight) for term in self.terms()}
        ceiling, users = np.minimum(payload, in_time), max(most.shape[1], 1)
        most = np.minimum(most, carried[:, None])
        per_byte = np.maximum(weight["learning"], 1e-12) / payload
        fair = np.maximum(weight["utility"] / (per_byte * users * np.log(2)) - _FAIR_BYTES, 0.0)
        wanted = np.minimum(most, fair[:, None]).sum(axis=1)
        budget = np.maximum(carried - ceiling, np.minimum(wanted, carried))
        low, high = np.zeros(len(carried)), carried.copy()
        for _ in range(60):
            level = (low + high) / 2
            is_more = np.minimum(most, level[:, None]).sum(axis=1) > budget
            low, high = np.where(is_more, low, level), np.where(is_more, level, high)
        got = np.minimum(most, high[:, None])
        return np.clip(carried - got.sum(axis=1), 0.0, ceiling), got

    def _capacity(self, driven: Driven) -> NDArray[np.float64]:
        """Return bytes that the slot could carry at most: each UE alone, then all cells, [batch, num_ues + 1].

        Shannon's rate at the true channel and full power without interference, at most what the largest transport
        block holds; a cell gives every group to whoever has most of it.
        """
        network, state = driven.network, driven.state
        air, _ = network.air_at(state)
        plan, link = (
            (network.plan.uplink, air.uplink) if self.direction == "uplink" else (network.plan.downlink, air.downlink)
        )  # fmt: skip
        near, layers = link.beams.neighbours, plan.layers
        ues = state.serving_cell.shape[1]
        kind = getattr(network.plan.kinds[state.slot % len(network.plan.kinds)], self.direction)
        begin_at = np.take_along_axis(near.column, state.serving_cell[..., None].astype(np.int64), axis=2)[..., 0]
        u, layer = np.arange(ues)[:, None], np.arange(layers)
        place = (begin_at + near.place)[..., None] * layers + layer  # [batch, num_ues, num_layers]
        replica = np.arange(len(place))[:, None, None]
        gain = link.beams.cross[replica, :, (u * layers + layer)[None], place].astype(np.float64)
        power_w = float(plan.params["max_power_w" if self.direction == "uplink" else "prb_power_w"][0])
        rows = plan.tables.transport_block_bits[kind * layers : (kind + 1) * layers, :, 1:]
        most = (rows / np.arange(1, rows.shape[2] + 1)).max()
        per_prb = int(plan.re_per_prb[kind]) * np.log2(1 + power_w * gain / plan.noise_w).sum(axis=2)
        group = np.minimum(per_prb, most) * plan.rbg_prbs / 8  # [batch, num_ues, num_rbgs]
        here = state.serving_cell[:, None] == np.arange(plan.num_cells)[:, None]
        best = np.where(here[..., None], group[:, None], 0.0).max(axis=2).sum(axis=2) * plan.streams
        return np.column_stack([group.sum(axis=2), best.sum(axis=1)])

    def in_scenario(self, policy: str) -> str:
        """Return the command that runs the scenario with the policy as its scheduler."""
        changes = [*self.overrides, f"mac.scheduler={{name: policy, path: {policy}}}"]
        return " ".join([f"airtune run {self.scenario}", *(f"--set '{text}'" for text in changes)])

    def rules(self) -> dict[str, Rule]:
        """Return random grants, the project's own schedulers, and a bound."""
        return {"random": Random(), **{name: Scheduled(name) for name in _BASELINES}, "bound": Bound()}

    def draw(self, state: SlotState, replica: int, figure: Figure) -> None:
        """Draw the cells, who holds which group, and what waits."""
        from agents.envs.slot_scheduling_picture import draw

        draw(self, state, replica, figure)


@dataclass(frozen=True)
class Scheduled:
    """One of ``airtune list scheduler``, in every slice of the scenario, with what it remembers in the network's state.

    Played from an episode's first step on it grants what ``airtune run`` would, and so delivers the same bytes.
    """

    scheduler: str

    def __call__(self, environment: SlotScheduling, state: SlotState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return grants, [batch, num_cells x num_parts]."""
        driven = state.driven
        plan, link = driven.network.plan, driven.state.link(environment.direction)
        one = SCHEDULERS.get(self.scheduler)()
        own = plan.uplink if environment.direction == "uplink" else plan.downlink
        if state.step[0] == 0:
            batch, ues = state.mean.shape
            link.scheduler = [one.start(batch, own.num_cells, ues) for _ in range(own.num_slices)]
        view = state.view
        sight = replace(view.seen, reserved=view.seen.reserved.copy())
        replaced = replace(own, schedulers=(one,) * own.num_slices)
        before = link.credit.copy()
        grant = schedule(replaced, link, sight, view.chosen, view.wanted)[..., 0]
        # What slices owe decides which bearer a UE sends from, and this slot's was chosen before the grant.
        state.owed, link.credit = link.credit, before
        return environment.layout.choice(grant)


@dataclass(frozen=True)
class Bound:
    """More than any grant can bring: the band carries Shannon's rate of its best UEs, and nobody waits.

    Cells together carry what every group brings with the best of its UEs, the assignment that maximises the sum rate
    (Chen et al., arXiv 1909.07972, without their other limits); each user gets no more than is offered, nor than the
    whole band carries for it. Bytes are shared out between updates and users as is worth most over the episode
    so far. Holds where learning and utility have weights above 0 and delay has one below.
    """

    def __call__(self, environment: SlotScheduling, state: SlotState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return grants to nobody, and let the environment count capacities."""
        layout = environment.layout
        if state.carried is None:
            state.carried = np.zeros((len(state.key), layout.ues + 2))
        return np.full((len(state.key), layout.cells * layout.parts), layout.ues, np.int64)
