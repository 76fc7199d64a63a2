"""Classical ways to run a federated round: baselines of ``RoundAllocation``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from agents.rounds.air import shannon
from agents.rounds.levels import payload_bits
from agents.rounds.oracle import Oracle
from agents.rules import Random
from ran.learning.participation.round_kernels import carry_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Rule
    from agents.envs.round_allocation import RoundAllocation, RoundState

    Values = NDArray[np.float64]

Choice = Literal["everyone", "round_robin", "max_rate", "proportional_fair", "most_samples", "deadline"]


@dataclass(frozen=True)
class Heuristic:
    """A way to choose participants; all send at one level, power and clock.

    Attributes:
        choose: everyone; ``participants`` in turn, of the best channel, of the best channel over their usual one, or of
            the most samples; or as many as end by ``deadline_s``, the fastest first (FedCS: Nishio & Yonetani, arXiv
            1804.08333).
        shares: of the band: so that all finish together (Shi et al.), or equal ones.
        participants: how many.
        level: of compression.
        power_db: of every participant over its most.
        clock: of every participant over its highest.
        deadline_s: of a round.
    """

    choose: Choice
    shares: Literal["together", "equal"] = "together"
    participants: int = 1
    level: int = 2
    power_db: float = -6.0
    clock: float = 1.0
    deadline_s: float = 0.01

    def __call__(self, environment: RoundAllocation, state: RoundState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return actions, [batch, size]."""
        chosen, lean_db = self._chosen(environment, state), np.zeros(state.there.shape)
        if self.shares == "equal":
            band, _ = self._round(environment, state, chosen)
            lean_db = np.where(chosen, -10 * np.log10(np.maximum(band, 1e-9)), 0.0)
            lean_db -= lean_db.mean(axis=1, keepdims=True, where=chosen)
        full = np.ones(chosen.shape)
        return packed(environment, {
            "part": np.where(chosen, 1.0, -1.0), "bandwidth": lean_db, "power": self.power_db * full,
            "clock": self.clock * full, "compression": np.full((len(chosen), 1), self.level + 0.5),
        })  # fmt: skip

    def _chosen(self, environment: RoundAllocation, state: RoundState) -> NDArray[np.bool_]:
        if self.choose == "everyone":
            return state.there.copy()
        if self.choose == "deadline":
            return self._by_deadline(environment, state)
        merit = {
            "round_robin": -((np.arange(environment.ues) - state.step[:, None] * self.participants) % _count(state)),
            "max_rate": state.reach_hz,
            "proportional_fair": state.reach_hz / state.mean_hz,
            "most_samples": state.samples,
        }[self.choose]
        return _best(np.where(state.there, merit, -np.inf), self.participants) & state.there

    def _by_deadline(self, environment: RoundAllocation, state: RoundState) -> NDArray[np.bool_]:
        """Add UEs from the fastest on, as if each had the whole band, while the round still ends in time."""
        chosen = np.zeros(state.there.shape, bool)
        alone = np.full(state.there.shape, np.inf)
        for ue in range(environment.ues):
            only = np.zeros(state.there.shape, bool)
            only[:, ue] = state.there[:, ue]
            alone[:, ue] = np.where(state.there[:, ue], self._round(environment, state, only)[1], np.inf)
        order = np.argsort(alone, axis=1)
        for place in range(environment.ues):
            more = chosen.copy()
            np.put_along_axis(more, order[:, place : place + 1], True, axis=1)
            more &= state.there
            taken = self._round(environment, state, more)[1]
            # At least one takes part, or nothing would ever be learned in a slow cell.
            chosen = np.where(((taken <= self.deadline_s) | (place == 0))[:, None], more, chosen)
        return chosen

    def _round(
        self, environment: RoundAllocation, state: RoundState, chosen: NDArray[np.bool_]
    ) -> tuple[Values, Values]:
        """Return the bandwidths with which these finish together, and when."""
        air, band, sending = shannon(environment.scenario), np.zeros(chosen.shape), np.zeros(chosen.shape)
        bits = np.where(chosen, payload_bits(self.level) / air.share, 0.0)
        compute_s = np.where(chosen, environment.full_speed(state)[0] / self.clock, 0.0)
        reach = state.reach_hz * 10 ** (self.power_db / 10)
        taken = carry_out(
            compute_s, bits, reach, air.cap / air.share, environment.bandwidth_hz, np.zeros(chosen.shape), band, sending
        )
        return band, taken


def packed(environment: RoundAllocation, physical: dict[str, Values]) -> NDArray[np.float32]:
    """Return actions of these values in their units, [batch, size]."""
    from agents.fields import pack

    return pack(environment.acted(), physical)  # type: ignore[arg-type]


def _count(state: RoundState) -> NDArray[np.int64]:
    return np.maximum(state.there.sum(axis=1), 1)[:, None]


def _best(merit: Values, count: int) -> NDArray[np.bool_]:
    """Return the ``count`` UEs of the highest merit."""
    rank = np.argsort(np.argsort(-merit, axis=1, kind="stable"), axis=1, kind="stable")
    return rank < count


def baselines() -> dict[str, Rule]:
    """Return the baselines; what they leave open was chosen for the best return over other episodes."""
    return {
        "random": Random(),
        "equal_shares": Heuristic("everyone", "equal", level=3, power_db=-10.0),
        "shi": Heuristic("everyone", level=3, power_db=-10.0),
        "round_robin": Heuristic("round_robin"),
        "max_rate": Heuristic("max_rate"),
        "proportional_fair": Heuristic("proportional_fair"),
        "most_samples": Heuristic("most_samples"),
        "greedy_deadline": Heuristic("deadline", power_db=-10.0, clock=0.6),
        "oracle": Oracle(),
    }
