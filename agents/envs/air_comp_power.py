"""Powers and receive scaling of a sum over the air."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field as Parameter

from agents.draws import normals, uniforms
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule, State
from agents.fields import Field, Term
from agents.radio import places
from agents.rules import Random
from channel.units import dbm_to_watt
from ran.phy.aircomp.power_control import full_power, inversion, optimal_static

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_PLACE, _COUNT, _FADING = 1, 2, 1000
_REACH_DB = (-40.0, 45.0)
_WIDE_DB = 45.0
"""Cao's powers and factor lie inside: the widest of a million steps of the default asked for 43.9 dB."""


@dataclass
class AirCompState(State):
    """Channels of one step.

    Attributes:
        there: which UEs take part, bool [batch, num_ues].
        gain: path gain of each UE over noise, at full power: P |h|^2 / sigma^2 without fading, [batch, num_ues].
        reach: A_k = sqrt(P_k) |h_k| / sigma of this step, 0 for UEs that are not there, [batch, num_ues].
        sent, scaling: what was done last: received amplitude of each UE over what it was wanted, and x.
    """

    there: NDArray[np.bool_]
    gain: NDArray[np.float64]
    reach: NDArray[np.float64]
    sent: NDArray[np.float64]
    scaling: NDArray[np.float64]


@ENVIRONMENTS.register("air_comp_power")
class AirCompPower(Environment):
    """Powers of UEs and the receive factor of a sum in the air; the reward is its error (Cao et al., IEEE TWC 2020).

    y = sum_k b_k |h_k| s_k + w, and the gNB takes x y for sum_k s_k: MSE = sum_k (b_k |h_k| x - 1)^2 + sigma^2 x^2.
    UEs stand somewhere in the scenario's cell and fade anew (Rayleigh) in every step. With several users the weakest
    decides: to invert all channels is to let it drown the rest in noise. How many UEs take part changes by episode; in
    every step they are numbered anew, the strongest first.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | reach | 8 | dB | -40 .. 45 | SNR of each UE at full power |
    | observation | there | 8 | 1 | 0 .. 1 | whether the UE takes part |
    | action | power | 8 | dB | -45 .. 0 | power of each UE over its most |
    | action | scaling | 1 | dB | 0 .. 45 | x^2 over what is best if all send at full power |
    | reward | nmse | 1 | 1 | weight -1 | error of the sum over the number of UEs, MSE / K |

    Not modelled: errors of the channel estimate, other cells.
    """

    title = "AirCompPower"
    # Every step is a problem of its own: nothing is to be gained from looking ahead.
    training = {"discount": 0.0, "learning_rate": 2e-3, "rollout": 16, "minibatches": 8}  # noqa: RUF012

    steps: int = Parameter(default=20, ge=1, le=1_000_000, description="steps of an episode")
    ues: int = Parameter(default=8, ge=2, le=256, description="most UEs that take part")
    least_ues: int = Parameter(default=4, ge=2, le=256, description="least UEs that take part")
    scenario: str = Parameter(default="quickstart", description="where UEs stand: a packaged name or a path")
    bandwidth_hz: float = Parameter(default=20e6, gt=0, le=1e9, description="over which a UE spreads its power, Hz")
    tx_power_dbm: float = Parameter(default=0.0, ge=-40, le=40, description="of a UE, dBm")

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        if self.least_ues > self.ues:
            return [f"`least_ues`: {self.least_ues} is more than ues ({self.ues}); lower it"]
        return super().problems()

    def observed(self) -> tuple[Field, ...]:
        """Return what a gNB knows: SNRs from sounding."""
        return (
            Field("reach", "dB", *_REACH_DB, "SNR of each UE at full power", self.ues),
            Field("there", "1", 0, 1, "whether the UE takes part", self.ues),
        )

    def acted(self) -> tuple[Field, ...]:
        """Return powers and the receive factor."""
        return (
            Field("power", "dB", -_WIDE_DB, 0, "power of each UE over its most", self.ues),
            Field("scaling", "dB", 0, _WIDE_DB, "x^2 over what is best if all send at full power"),
        )

    def terms(self) -> tuple[Term, ...]:
        """Return the error."""
        return (Term("nmse", "1", -1.0, "error of the sum over the number of UEs, MSE / K"),)

    def start(self, key: NDArray[np.uint64]) -> AirCompState:
        """Put UEs into the cell."""
        spots = places(self.scenario)
        best = spots.path_gain.max(axis=1)
        where = (uniforms(key, _PLACE, self.ues) * len(best)).astype(np.int64)
        noise_w = float(np.mean(spots.world.geometry.gnb_noise_psd_w_hz)) * self.bandwidth_hz
        gain = best[where] * dbm_to_watt(self.tx_power_dbm) / noise_w
        spread = self.ues - self.least_ues + 1
        count = self.least_ues + (uniforms(key, _COUNT, 1) * spread).astype(np.int64)
        there = np.arange(self.ues) < count
        state = AirCompState(
            key, np.zeros(len(key), np.int64), there, gain, np.zeros(gain.shape), np.zeros(gain.shape),
            np.zeros(len(key)),
        )  # fmt: skip
        self._fade(state)
        return state

    def _fade(self, state: AirCompState) -> None:
        parts = normals(state.key, _FADING + state.step, 2 * self.ues)
        power = (parts[:, : self.ues] ** 2 + parts[:, self.ues :] ** 2) / 2
        reach = np.sqrt(state.gain * power) * state.there
        state.reach = -np.sort(-reach, axis=1)

    def values(self, state: AirCompState) -> dict[str, NDArray[np.float64]]:
        """Return SNRs in dB, of UEs that are not there the least."""
        reach_db = 20 * np.log10(np.maximum(state.reach, 1e-9))
        return {"reach": reach_db, "there": state.there.astype(np.float64)}

    def advance(self, state: AirCompState, action: NDArray[Any]) -> Outcome:
        """Add up, and fade anew."""
        done = self.physical(action)
        received = state.reach * 10 ** (done["power"] / 20)
        scaling = 10 ** (done["scaling"][:, 0] / 20) * best_at_full_power(state.reach)
        return self._sum_up(state, received, scaling)

    def _sum_up(self, state: AirCompState, received: NDArray[np.float64], scaling: NDArray[np.float64]) -> Outcome:
        state.sent, state.scaling = received * scaling[:, None], scaling
        error = np.sum(np.where(state.there, (state.sent - 1) ** 2, 0.0), axis=1) + scaling**2
        count = state.there.sum(axis=1)
        self._fade(state)
        return Outcome({"nmse": error / count}, np.zeros(len(count), bool), {"sum_mse": error})

    def rules(self) -> dict[str, Rule]:
        """Return random powers, full power, inversion, and Cao's optimum."""
        return {
            "random": Random(),
            "full_power": _Solved(full_power),
            "inversion": _Solved(inversion),
            "oracle": _Solved(optimal_static),
        }

    def draw(self, state: AirCompState, replica: int, figure: Figure) -> None:
        """Draw what every UE could reach, and what of each arrived."""
        above, below = figure.subplots(2, 1, sharex=True)
        ues = np.arange(self.ues)
        colours = np.where(state.there[replica], "tab:blue", "lightgray")
        above.bar(ues, 20 * np.log10(np.maximum(state.reach[replica], 0.1)), color=colours)
        above.set(ylabel="SNR at full power (dB)", ylim=(-20, 40), title=f"AirCompPower, step {state.step[replica]}")
        below.bar(ues, state.sent[replica], color=colours)
        below.axhline(1.0, color="black", lw=0.8, ls="--")
        below.set(xlabel="UE", ylabel="weight in the last sum (1)", ylim=(0, 2))


def best_at_full_power(reach: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x = sum A_k / (sigma^2 + sum A_k^2), sigma = 1, of amplitudes [..., num_ues]; tiny for none."""
    found = reach.sum(axis=-1) / (1 + np.square(reach).sum(axis=-1))
    return np.maximum(np.asarray(found, np.float64), 1e-12)


@dataclass(frozen=True)
class _Solved:
    """A closed form of ``ran.phy.aircomp.power_control``, as an action."""

    solve: Any

    def __call__(self, environment: AirCompPower, state: AirCompState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return powers and factor, [batch, num_ues + 1]."""
        action = np.empty((len(state.reach), environment.ues + 1))
        for replica, (reach, there) in enumerate(zip(state.reach, state.there, strict=True)):
            received, factor = self.solve(reach[there], np.ones(int(there.sum())), 1.0)
            power = np.zeros(environment.ues)
            power[there] = np.divide(received, reach[there], out=np.zeros(len(received)), where=reach[there] > 0) ** 2
            action[replica, :-1] = 10 * np.log10(np.maximum(power, 1e-12))
            action[replica, -1] = 20 * np.log10(float(factor) / best_at_full_power(state.reach[replica]))
        low, high = (
            np.array([getattr(block, end) for block in environment.acted() for _ in range(block.count)])
            for end in ("low", "high")
        )
        return np.clip(2 * (action - low) / (high - low) - 1, -1, 1)
