"""Who takes part in a federated round, with which bandwidth, power, clock and compression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field as Parameter

from agents.draws import uniforms
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule, State
from agents.fields import Field, Term
from agents.radio import places
from agents.rounds.air import shannon
from agents.rounds.curve import CHANCE, CURVE
from agents.rounds.levels import FLOPS_PER_SAMPLE, LOCAL_EPOCHS, payload_bits
from agents.rounds.real import PARTITIONS, initial, shared_out, train_round
from channel.quantities import BandwidthHz, PowerDbm
from channel.units import dbm_to_watt
from ran.learning.participation.levels import LEVELS
from ran.learning.participation.observed import RoundLayout, RoundSeen
from ran.learning.participation.round_kernels import carry_out
from ran.nodes import DeviceShare

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

_PLACE, _COUNT, _PARTITION, _CLIENT, _DEVICE, _FADING = 1, 2, 3, 4, 5, 1000
_DEVICES = (
    DeviceShare.model_validate({"device_class": "phone", "share": 5}),
    DeviceShare.model_validate({"device_class": "laptop", "share": 2}),
    DeviceShare.model_validate({"device_class": "vehicle", "share": 1}),
    DeviceShare.model_validate({"device_class": "sensor", "share": 2}),
)


@dataclass
class RoundState(State):
    """UEs of an episode, fades of the next round, and what the last one was.

    Attributes:
        there: which UEs there are, bool [batch, num_ues]; what follows is [batch, num_ues] unless said otherwise.
        place: where each stands, of ``agents.radio.places``.
        partition: which way of sharing out the digits, [batch].
        client: whose samples of it each UE has.
        samples: how many those are.
        device: kind of device, its place among ``devices``.
        mean_hz, reach_hz: P h / N0 at full power, without and with the next round's fading.
        known: how well what each UE taught is remembered, 0 to 1.
        progress, accuracy: of the learning, [batch].
        model: parameters, [batch, num_parameters]; of a surrogate none.
        chosen: whose updates arrived in the last round.
        band_hz, compute_s, send_s: how participants made and sent theirs.
        level: at which, [batch].
        spent: what it took: accuracy gain, s, J, [batch, 3].
    """

    there: NDArray[np.bool_]
    place: NDArray[np.int64]
    partition: NDArray[np.int64]
    client: NDArray[np.int64]
    samples: Values
    device: NDArray[np.int64]
    mean_hz: Values
    reach_hz: Values
    known: Values
    progress: Values
    accuracy: Values
    model: NDArray[np.float32]
    chosen: NDArray[np.bool_]
    band_hz: Values
    compute_s: Values
    send_s: Values
    level: NDArray[np.int64]
    spent: Values


@ENVIRONMENTS.register("round_allocation")
class RoundAllocation(Environment):
    """Federated rounds: who takes part, with what share of the band, power, clock, and compression of its update.

    T_cmp = C D / f and E_cmp = kappa C D f^2 for local training; a UE's rate in its band b is min(a b log2(1 + p h /
    (N0 b)), c b), the truncated Shannon bound nearest to the calibrated rate curve, because closed forms (Shi et al.,
    arXiv 2007.07174) exist for it; E_tx = (p / efficiency + circuit) T_tx. A round ends when its last update is there,
    or at its deadline. UEs differ in device, samples and path loss, and fade anew (Rayleigh) in every round. They are
    numbered from the one that trains fastest. At least one takes part.

    What is trained is a perceptron on the digits by FedAvg. With `learning: surrogate` accuracies are those of a curve
    that was fitted to such trainings (``agents.rounds.curve``); with `learning: real` the project's learner trains it.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | snr | 8 | dB | -20 .. 60 | of each UE at full power over the whole band |
    | observation | usual_snr | 8 | dB | -20 .. 60 | the same without this round's fading |
    | observation | compute_time | 8 | log10 s | -4 .. 0 | of each UE's local training at its full clock |
    | observation | compute_energy | 8 | log10 J | -4 .. 0 | likewise |
    | observation | samples | 8 | 1 | 0 .. 500 | of each UE |
    | observation | known | 8 | 1 | 0 .. 1 | how well what each UE taught is remembered |
    | observation | there | 8 | 1 | 0 .. 1 | whether there is such a UE |
    | observation | accuracy | 1 | 1 | 0 .. 1 | of the global model |
    | observation | left | 1 | 1 | 0 .. 1 | part of the episode's rounds that is left |
    | action | part | 8 | 1 | -1 .. 1 | the UE takes part where this is positive, or the highest |
    | action | bandwidth | 8 | dB | -6 .. 6 | over the share with which all finish together |
    | action | power | 8 | dB | -20 .. 0 | of each UE over its most |
    | action | clock | 8 | 1 | 0.2 .. 1 | of each UE over its highest |
    | action | compression | 1 | 1 | 0 .. 4 | level, rounded down: 32, 8, 1.45, 0.45 bits a parameter |
    | reward | accuracy_gain | 1 | % | weight 1 | test accuracy after the round less that before |
    | reward | latency | 1 | s | weight -10 | until the last update is there, or the deadline |
    | reward | energy | 1 | J | weight -10 | of all participants, training and transmission |

    Not modelled: the broadcast of the model, errors of the channel estimate, other cells, labels that differ by UE.
    """

    title = "RoundAllocation"
    training = {"discount": 0.95, "rollout": 30}  # noqa: RUF012

    steps: int = Parameter(default=30, ge=1, le=1_000_000, description="rounds of an episode")
    ues: int = Parameter(default=8, ge=2, le=64, description="most UEs in the cell")
    least_ues: int = Parameter(default=5, ge=1, le=64, description="least UEs in the cell")
    scenario: str = Parameter(default="quickstart", description="where UEs stand: a packaged name or a path")
    bandwidth_hz: BandwidthHz = Parameter(default=1e6, description="uplink that the participants share, Hz")
    tx_power_dbm: PowerDbm = Parameter(default=23.0, description="most that a UE radiates, dBm")
    round_deadline_s: float = Parameter(default=0.5, gt=0, le=1e4, description="updates that come later are lost, s")
    devices: tuple[DeviceShare, ...] = Parameter(default=_DEVICES, min_length=1, description="kinds of device")
    learning: Literal["surrogate", "real"] = Parameter(
        default="surrogate", description="whether accuracies come from a fitted curve, or from training"
    )

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        if self.least_ues > self.ues:
            return [f"`least_ues`: {self.least_ues} is more than ues ({self.ues}); lower it"]
        return super().problems()

    def observed(self) -> tuple[Field, ...]:
        """Return what a gNB knows of UEs: their reports, and channels from sounding."""
        return RoundLayout(self.ues).blocks()

    def acted(self) -> tuple[Field, ...]:
        """Return the blocks of an allocation."""
        return RoundLayout(self.ues).acts()

    def terms(self) -> tuple[Term, ...]:
        """Return gain, latency and energy."""
        return (
            Term("accuracy_gain", "%", 1.0, "test accuracy after the round less that before"),
            Term("latency", "s", -10.0, "until the last update is there, or the deadline"),
            Term("energy", "J", -10.0, "of all participants, training and transmission"),
        )

    def start(self, key: NDArray[np.uint64]) -> RoundState:
        """Put UEs into the cell, with devices and samples."""
        batch, shape = len(key), (len(key), self.ues)
        spots = places(self.scenario)
        best = spots.path_gain.max(axis=1)
        place = (uniforms(key, _PLACE, self.ues) * len(best)).astype(np.int64)
        spread = self.ues - self.least_ues + 1
        count = self.least_ues + (uniforms(key, _COUNT, 1) * spread).astype(np.int64)
        there = np.arange(self.ues) < count
        partition = (uniforms(key, _PARTITION, 1)[:, 0] * PARTITIONS).astype(np.int64)
        client = np.argsort(uniforms(key, _CLIENT, self.ues), axis=1)
        samples = shared_out(self.ues)[partition[:, None], client] * there
        shares = np.cumsum([kind.share for kind in self.devices])
        device = np.searchsorted(shares / shares[-1], uniforms(key, _DEVICE, self.ues), side="right")
        order = np.argsort(
            np.where(there, self._cycles(samples, device) / self._of("clock_hz")[device], np.inf), axis=1
        )
        place, client, device = (np.take_along_axis(each, order, 1) for each in (place, client, device))
        samples = np.take_along_axis(samples, order, 1)
        noise_w_hz = float(np.mean(spots.world.geometry.gnb_noise_psd_w_hz))
        mean_hz = best[place] * dbm_to_watt(self.tx_power_dbm) / noise_w_hz
        model = np.zeros((batch, 0), np.float32)
        if self.learning == "real":
            model = np.array([initial(self.ues, int(each)) for each in partition])
        state = RoundState(
            key, np.zeros(batch, np.int64), there, place, partition, client, samples, device, mean_hz, mean_hz.copy(),
            np.zeros(shape), np.zeros(batch), np.full(batch, CHANCE), model, np.zeros(shape, bool), np.zeros(shape),
            np.zeros(shape), np.zeros(shape), np.zeros(batch, np.int64), np.zeros((batch, 3)),
        )  # fmt: skip
        self._fade(state)
        return state

    def _fade(self, state: RoundState) -> None:
        state.reach_hz = state.mean_hz * -np.log1p(-uniforms(state.key, _FADING + state.step, self.ues))
        state.reach_hz = np.maximum(state.reach_hz, 1e-4 * state.mean_hz)

    def _of(self, name: str) -> Values:
        """Return a number of every kind of device."""
        return np.array([getattr(kind, name) for kind in self.devices], np.float64)

    def _cycles(self, samples: Values, device: NDArray[np.int64]) -> Values:
        """Return C D, the cycles of a round's local training."""
        return LOCAL_EPOCHS * FLOPS_PER_SAMPLE * samples / self._of("flops_per_cycle")[device]

    def full_speed(self, state: RoundState) -> tuple[Values, Values]:
        """Return seconds and joules of a round's local training at full clock, [batch, num_ues]."""
        cycles, clock = self._cycles(state.samples, state.device), self._of("clock_hz")[state.device]
        return cycles / clock, self._of("kappa")[state.device] * cycles * clock**2

    def values(self, state: RoundState) -> dict[str, Values]:
        """Return what is known before the round; of UEs that are not there the least."""
        seconds, joules = self.full_speed(state)
        left = (self.steps - state.step) / self.steps
        snr, usual = state.reach_hz / self.bandwidth_hz, state.mean_hz / self.bandwidth_hz
        known = RoundSeen(state.there, snr, usual, seconds, joules, state.samples, state.known, state.accuracy, left)
        return RoundLayout(self.ues).values(known)

    def advance(self, state: RoundState, action: NDArray[Any]) -> Outcome:
        """Train, send, merge, and fade anew."""
        done = RoundLayout(self.ues).decision(action, state.there)
        chosen, level = done.chosen, done.level
        seconds, joules = self.full_speed(state)
        power, air = 10 ** (done.power_db / 10), shannon(self.scenario)
        bits = np.array([payload_bits(each) for each in range(len(LEVELS))])[level]
        state.compute_s = np.where(chosen, seconds / done.clock, 0.0)
        sent = np.where(chosen, bits[:, None] / air.share, 0.0)
        latency = carry_out(
            state.compute_s, sent, state.reach_hz * power, air.cap / air.share, self.bandwidth_hz, done.lean_db,
            state.band_hz, state.send_s,
        )  # fmt: skip
        late_s = self.round_deadline_s
        arrived = chosen & (state.compute_s + state.send_s <= late_s)
        joules = joules * done.clock**2 * np.minimum(1.0, late_s / np.maximum(state.compute_s, 1e-12))
        state.compute_s = np.minimum(state.compute_s, late_s)
        state.send_s = np.minimum(state.send_s, late_s - state.compute_s)
        latency = np.minimum(latency, late_s)
        radio_w = dbm_to_watt(self.tx_power_dbm) * power / self._of("amplifier_efficiency")[state.device]
        radio_w = radio_w + self._of("transmit_circuit_w")[state.device]
        energy = np.sum(np.where(chosen, joules + radio_w * state.send_s, 0.0), axis=1)
        state.chosen, state.level = arrived, level
        gain = self._learn(state)
        state.spent = np.column_stack([gain, latency, energy])
        self._fade(state)
        participants = arrived.sum(axis=1)
        info = {"accuracy": state.accuracy.copy(), "participants": participants, "level": level}
        # bit/s/Hz of the round, its local training included.
        info["spectral_efficiency"] = participants * bits / (self.bandwidth_hz * np.maximum(latency, 1e-12))
        terms = {"accuracy_gain": 100 * gain, "latency": latency, "energy": energy}
        return Outcome(terms, np.zeros(len(level), bool), info)

    def _learn(self, state: RoundState) -> Values:
        """Move the learning on by a round, and return what the accuracy gained."""
        before = state.accuracy
        state.progress = state.progress + CURVE.work(state.samples, state.chosen, state.level)
        state.known = CURVE.remembered(state.known, state.chosen)
        if self.learning == "surrogate":
            state.accuracy = CURVE.accuracy(state.progress, (state.known * state.samples).sum(axis=1))
            return state.accuracy - before
        state.accuracy = before.copy()
        for replica in np.flatnonzero(state.chosen.any(axis=1)).tolist():
            clients = np.sort(state.client[replica, state.chosen[replica]])
            state.model[replica], _, state.accuracy[replica] = train_round(
                state.model[replica], self.ues, int(state.partition[replica]), clients, int(state.level[replica]),
                int(state.step[replica]) - 1,
            )  # fmt: skip
        return state.accuracy - before

    def in_scenario(self, policy: str) -> str:
        """Return the command that runs rounds as the policy allots them."""
        return f"airtune run mixed_devices --set 'learning.participation={{name: policy, path: {policy}}}'"

    def rules(self) -> dict[str, Rule]:
        """Return classical ways to choose participants, and a plan made with all fades known."""
        from agents.rounds.heuristics import baselines

        return baselines()

    def draw(self, state: RoundState, replica: int, figure: Figure) -> None:
        """Draw the cell with the participants' links, and the round's computing and sending in time."""
        from agents.rounds.drawing import draw_round

        draw_round(self, state, replica, figure)
