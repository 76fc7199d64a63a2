"""Where each UE cuts a network in two, how wide the cut is and how finely what crosses it is quantised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field as Parameter

from agents.draws import uniforms
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule, State
from agents.fields import Choice, Field, Term
from agents.radio import places
from agents.rounds.air import shannon
from agents.splitting.choices import QUANTISERS, glyph_menu
from agents.splitting.split_kernels import joint_costs
from channel.quantities import BandwidthHz, PowerDbm
from channel.units import dbm_to_watt
from ran.learning.adaptation.observed import AFTER, LEAST_FREE, SIZES, WIDTHS, SplitLayout, SplitSeen
from ran.nodes import DeviceShare

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ran.learning.adaptation.menu import Menu

    Values = NDArray[np.float64]

_PLACE, _COUNT, _DEVICE, _FADING, _LOAD = (each << 32 for each in range(1, 6))
_DEVICES = (
    DeviceShare.model_validate({"device_class": "phone", "share": 3}),
    DeviceShare.model_validate({"device_class": "laptop", "share": 3}),
    DeviceShare.model_validate({"device_class": "sensor", "share": 3, "clock_hz": 8e8, "flops_per_cycle": 4}),
    DeviceShare.model_validate(
        {"device_class": "sensor", "share": 1, "clock_hz": 8e8, "flops_per_cycle": 4, "memory_bytes": 1e6}
    ),
)


@dataclass
class SplitState(State):
    """UEs of the next round, and what the last one was; [batch, num_ues] unless said otherwise.

    Attributes:
        there: which UEs there are.
        place: where each stands, of ``agents.radio.places``.
        device: kind of device, its place among ``devices``.
        fade: of the next round, over the mean.
        server: FLOP/s that it has for these UEs in the next round, [batch].
        last_there, last_place, last_device: of the last round.
        chosen: by each in the last round, flat places in the menu.
        time_s, energy_j: of the last round.
    """

    there: NDArray[np.bool_]
    place: NDArray[np.int64]
    device: NDArray[np.int64]
    fade: Values
    server: Values
    last_there: NDArray[np.bool_]
    last_place: NDArray[np.int64]
    last_device: NDArray[np.int64]
    chosen: NDArray[np.int64]
    time_s: Values
    energy_j: Values


@ENVIRONMENTS.register("split_point")
class SplitPoint(Environment):
    """Cut, width and quantiser of every UE in every round of split learning; all share uplink, downlink and server.

    The network is the quickstart's vision transformer with LoRA; costs of its parts are counted on it
    (``count_sides``), accuracies of all combinations measured (``agents.splitting.measure``). A UE's round is a
    pipeline of micro-batches (``Menu.cost``); band and server are shared out by demand, so that who cuts early, or
    sends much, makes all others wait. A round ends with its slowest UE. In every round other UEs of a large population
    are chosen, numbered from the fastest on; they fade (Rayleigh), and other tenants leave more or less of the server.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | uplink | 5 | log10 bit/s | 4 .. 8 | rate of each UE, had it the whole band |
    | observation | downlink | 5 | log10 bit/s | 4 .. 8 | likewise |
    | observation | speed | 5 | log10 FLOP/s | 8 .. 12 | of each UE |
    | observation | frugality | 5 | log10 FLOP/J | 8 .. 12 | of each UE's processor |
    | observation | memory | 5 | log10 byte | 5 .. 11 | of each UE |
    | observation | there | 5 | 1 | 0 .. 1 | whether there is such a UE |
    | observation | server | 1 | 1 | 0 .. 1 | part of the server that is free |
    | action | cut | 5 | 1 | 0 .. 2 | after layer 1, 2, 3 |
    | action | width | 5 | 1 | 0 .. 2 | part of the values: 0.5, 0.25, 0.125 |
    | action | quantiser | 5 | 1 | 0 .. 2 | fp16, int8, top_k |
    | reward | quality | 1 | % | weight 1 | measured accuracy of the choices, mean over UEs; 0 of one that is late |
    | reward | latency | 1 | s | weight -40 | of the slowest UE, or the deadline |
    | reward | energy | 1 | J | weight -5 | of all UEs |

    Not modelled: scheduling within a round, a UE's power control, other cells.
    """

    title = "SplitPoint"
    # Every round has other UEs: nothing is to be gained from looking ahead.
    training = {"discount": 0.0, "learning_rate": 2e-3, "rollout": 20}  # noqa: RUF012

    steps: int = Parameter(default=20, ge=1, le=1_000_000, description="rounds of an episode")
    ues: int = Parameter(default=5, ge=1, le=16, description="most UEs of a round")
    least_ues: int = Parameter(default=3, ge=1, le=16, description="least UEs of a round")
    scenario: str = Parameter(default="quickstart", description="where UEs stand: a packaged name or a path")
    bandwidth_hz: BandwidthHz = Parameter(default=3e6, description="of uplink and of downlink, shared, Hz")
    tx_power_dbm: PowerDbm = Parameter(default=23.0, description="of a UE over the whole band, dBm")
    gnb_tx_power_dbm: PowerDbm = Parameter(default=30.0, description="of the gNB over the whole band, dBm")
    server_flops_per_s: float = Parameter(default=6e9, gt=0, le=1e16, description="of the whole server, FLOP/s")
    batches: int = Parameter(default=10, ge=1, le=100_000, description="of every UE in a round")
    batch_size: int = Parameter(default=16, ge=1, le=100_000, description="samples of a batch")
    micro_batches: int = Parameter(default=4, ge=1, le=1000, description="into which a batch is cut")
    round_deadline_s: float = Parameter(default=5.0, gt=0, le=1e4, description="what comes later is lost, s")
    devices: tuple[DeviceShare, ...] = Parameter(default=_DEVICES, min_length=1, description="kinds of device")

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        if self.least_ues > self.ues:
            return [f"`least_ues`: {self.least_ues} is more than ues ({self.ues}); lower it"]
        least = min(cut.memory_bytes for cut in self.menu().cuts)
        for kind in self.devices:
            if kind.memory_bytes < least:
                return [
                    f"`devices`: no cut fits a {kind.device_class} of {kind.memory_bytes / 1e6:.2g} MB, the least "
                    f"takes {least / 1e6:.2g} MB; raise memory_bytes or lower batch_size"
                ]
        return super().problems()

    def menu(self) -> Menu:
        """Return what there is to choose from."""
        return glyph_menu(
            self.batches, self.batch_size, self.micro_batches, self.server_flops_per_s, dbm_to_watt(self.tx_power_dbm)
        )

    def observed(self) -> tuple[Field, ...]:
        """Return what a gNB knows of UEs and server."""
        return SplitLayout(self.ues).blocks()

    def acted(self) -> tuple[Choice, ...]:
        """Return the choices of all UEs."""
        return (
            Choice("cut", SIZES[0], f"after layer {', '.join(map(str, AFTER))}", self.ues),
            Choice("width", SIZES[1], f"part of the values: {', '.join(map(str, WIDTHS))}", self.ues),
            Choice("quantiser", SIZES[2], ", ".join(each.name for each, _ in QUANTISERS), self.ues),
        )

    def terms(self) -> tuple[Term, ...]:
        """Return quality, latency and energy."""
        return (
            Term("quality", "%", 1.0, "measured accuracy of the choices, mean over UEs; 0 of one that is late"),
            Term("latency", "s", -40.0, "of the slowest UE, or the deadline"),
            Term("energy", "J", -5.0, "of all UEs"),
        )

    def start(self, key: NDArray[np.uint64]) -> SplitState:
        """Choose the UEs of the first round."""
        shape = (len(key), self.ues)
        nobody, none = np.zeros(shape, bool), np.zeros(shape, np.int64)
        state = SplitState(
            key, np.zeros(len(key), np.int64), nobody, none, none, np.ones(shape), np.ones(len(key)), nobody.copy(),
            none.copy(), none.copy(), none.copy(), np.zeros(shape), np.zeros(shape),
        )  # fmt: skip
        self._change(state)
        return state

    def _change(self, state: SplitState) -> None:
        """Choose the UEs of the next round, and draw their fades and the server's load."""
        drawn = {each: uniforms(state.key, each + state.step, self.ues) for each in (_PLACE, _DEVICE, _FADING)}
        count, free = (uniforms(state.key, each + state.step, 1) for each in (_COUNT, _LOAD))
        state.there = np.arange(self.ues) < self.least_ues + (count * (self.ues - self.least_ues + 1)).astype(np.int64)
        state.place = (drawn[_PLACE] * len(places(self.scenario).path_gain)).astype(np.int64)
        shares = np.cumsum([kind.share for kind in self.devices])
        device = np.searchsorted(shares / shares[-1], drawn[_DEVICE], side="right")
        speed = np.array([kind.flops_per_cycle * kind.clock_hz for kind in self.devices])
        order = np.argsort(np.where(state.there, -speed[device], np.inf), axis=1, kind="stable")
        state.device = np.take_along_axis(device, order, axis=1)
        state.fade = np.maximum(-np.log1p(-drawn[_FADING]), 0.01)
        state.server = self.server_flops_per_s * (LEAST_FREE + (1 - LEAST_FREE) * free[:, 0])

    def rates(self, state: SplitState) -> tuple[Values, Values]:
        """Return bit/s up and down of every UE, had it the whole band, [batch, num_ues]."""
        spots, air = places(self.scenario), shannon(self.scenario)
        gain = spots.path_gain.max(axis=1)[state.place] * state.fade
        noise = (
            float(np.mean(spots.world.geometry.gnb_noise_psd_w_hz)),
            float(np.mean(spots.world.geometry.ue_noise_psd_w_hz)),
        )
        powers = dbm_to_watt(self.tx_power_dbm), dbm_to_watt(self.gnb_tx_power_dbm)
        up, down = (
            self.bandwidth_hz * np.minimum(air.share * np.log2(1 + power * gain / (psd * self.bandwidth_hz)), air.cap)
            for power, psd in zip(powers, noise, strict=True)
        )
        return up, down

    def of_devices(self, state: SplitState, name: str) -> Values:
        """Return a number of every UE's device, [batch, num_ues]."""
        return np.array([getattr(kind, name) for kind in self.devices], np.float64)[state.device]

    def situation(self, state: SplitState) -> tuple[Values, ...]:
        """Return what ``joint_costs`` takes of UEs and server, from ``up`` to ``receive``."""
        up, down = self.rates(state)
        per_cycle, clock = self.of_devices(state, "flops_per_cycle"), self.of_devices(state, "clock_hz")
        joule = self.of_devices(state, "kappa") * clock**2 / per_cycle
        radiated = dbm_to_watt(self.tx_power_dbm) / self.of_devices(state, "amplifier_efficiency")
        circuit, receive = (self.of_devices(state, name) for name in ("transmit_circuit_w", "receive_w"))
        return up, down, per_cycle * clock, state.server, joule, radiated, circuit, receive

    def table(self) -> Values:
        """Return a micro-batch's UE FLOPs, server FLOPs and bits of every choice, [3, num_choices]."""
        menu, each = self.menu(), self.batch_size / self.micro_batches
        cuts = [menu.cuts[place[0]] for place in menu.places()]
        bits = [
            cut.values * menu.widths[width] * menu.quantisers[quantiser].bits
            for cut, (_, width, quantiser) in zip(cuts, menu.places(), strict=True)
        ]
        return each * np.array([[cut.ue_flops for cut in cuts], [cut.server_flops for cut in cuts], bits])

    def values(self, state: SplitState) -> dict[str, Values]:
        """Return what is known before the round; of UEs that are not there the least."""
        return SplitLayout(self.ues).values(self.seen(state))

    def seen(self, state: SplitState) -> SplitSeen:
        """Return what is known before the round."""
        up, down, speed, server, joule, *_ = self.situation(state)
        memory = self.of_devices(state, "memory_bytes")
        return SplitSeen(state.there, up, down, speed, 1 / joule, memory, server / self.server_flops_per_s)

    def mask(self, state: SplitState) -> NDArray[np.bool_]:
        """Return which cuts fit each UE; a UE that is not there has one choice."""
        memory = np.array([cut.memory_bytes for cut in self.menu().cuts])
        cuts = memory <= self.of_devices(state, "memory_bytes")[..., None]
        return SplitLayout(self.ues).mask(state.there, cuts)

    def advance(self, state: SplitState, action: NDArray[Any]) -> Outcome:
        """Train a round, and fade anew."""
        flat = np.ravel_multi_index(np.moveaxis(SplitLayout(self.ues).places(action), 2, 0), SIZES)
        state.chosen = np.where(state.there, flat, 0)
        joint_costs(
            state.chosen, state.there, self.table(), *self.situation(state),
            (float(self.batches), float(self.micro_batches)), state.time_s, state.energy_j,
        )  # fmt: skip
        in_time = state.there & (state.time_s <= self.round_deadline_s)
        count = state.there.sum(axis=1)
        quality = np.sum(np.where(in_time, self.menu().quality.ravel()[state.chosen], 0.0), axis=1) / count
        latency = np.minimum(state.time_s.max(axis=1), self.round_deadline_s)
        state.last_there, state.last_place, state.last_device = state.there, state.place, state.device
        self._change(state)
        terms = {"quality": 100 * quality, "latency": latency, "energy": state.energy_j.sum(axis=1)}
        return Outcome(terms, np.zeros(len(count), bool), {"choice": state.chosen.copy(), "in_time": in_time})

    def in_scenario(self, policy: str) -> str:
        """Return the command that runs rounds in which the policy chooses the cuts."""
        return f"airtune run shared_split --set 'learning.split.adaptation.rule={{name: policy, path: {policy}}}'"

    def rules(self) -> dict[str, Rule]:
        """Return the package's rules and others for each UE by itself, and the best joint choice."""
        from agents.splitting.rules import baselines

        return baselines()

    def draw(self, state: SplitState, replica: int, figure: Figure) -> None:
        """Draw the cell, and what each UE's choice took."""
        from agents.splitting.drawing import draw_split

        draw_split(self, state, replica, figure)
