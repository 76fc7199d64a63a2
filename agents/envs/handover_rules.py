"""Baselines of Handover, and what no policy can beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.environment import Bound, Rule
from agents.envs import handover_kernels as kernels
from agents.qos import zone_of_tolerance
from agents.rules import Random

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envs.handover import Handover, HandoverState


def rules() -> dict[str, Rule]:
    """Return all of them by name."""
    return {
        "random": Random(),
        "keep": Keep(),
        "max_rate": Strongest(0.0),
        "a3": Strongest(3.0),
        "load_balancing": LoadBalancing(),
        "assignment": Assignment(),
        "bound": UtilityBound(),
    }


@dataclass(frozen=True)
class Keep:
    """No handovers."""

    def __call__(self, environment: Handover, state: HandoverState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_ues]."""
        return np.zeros(state.cell.shape, np.int64)


@dataclass(frozen=True)
class Strongest:
    """Event A3 on SINR (TS 38.331 clause 5.5.4.4): the strongest cell, once it is ``hysteresis_db`` above one's own.

    With 0 dB every UE always has the cell in which it would have the highest rate if it were alone there.
    """

    hysteresis_db: float

    def __call__(self, environment: Handover, state: HandoverState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_ues]."""
        own_db = np.take_along_axis(state.sinr_db, state.cell[..., None], axis=-1)[..., 0]
        better = (state.sinr_db.max(axis=-1) > own_db + self.hysteresis_db) & state.there
        return np.where(better, 1 + state.sinr_db.argmax(axis=-1), 0)


@dataclass(frozen=True)
class LoadBalancing:
    """UE after UE takes the cell that raises the sum of all utilities most, the handover's costs included."""

    def __call__(self, environment: Handover, state: HandoverState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_ues]."""
        decade, stay = _prices(environment)
        chosen = np.empty(state.cell.shape, np.int64)
        kernels.balance(state.cell, environment.full_rate(state), decade, stay, chosen)
        return chosen


@dataclass(frozen=True)
class Assignment:
    """The association that is best for this step alone, the handover's costs included, for resource-fair cells.

    n UEs of a cell lose n log n together, the n-th alone n log n - (n - 1) log(n - 1), which grows with n: so every
    cell offers places at growing prices, and which UE takes which place is an assignment problem (Hungarian method).
    """

    def __call__(self, environment: Handover, state: HandoverState, seen: NDArray[np.float32]) -> NDArray[np.int64]:  # noqa: ARG002
        """Return actions, [batch, num_ues]."""
        decade, stay = _prices(environment)
        own = state.cell[..., None] == np.arange(environment.num_cells)
        with np.errstate(divide="ignore"):
            value = decade * np.log10(environment.full_rate(state)) + stay * own
        lowest = np.nanmin(np.where(np.isfinite(value), value, np.nan), initial=0.0) - 1e3 * decade
        chosen = np.zeros(state.cell.shape, np.int64)
        for replica, each in enumerate(value):
            cells, _ = assign(each, decade, lowest)
            chosen[replica] = np.where(cells == state.cell[replica], 0, cells + 1)
        return chosen


@dataclass(frozen=True)
class UtilityBound(Keep, Bound):
    """No policy gets more: the best association of every step, and handovers for nothing.

    Per step it solves ``Assignment``'s problem with one more option, to be out of service for the lowest utility
    without taking anyone's time. That is no less than the best bounded utility: raise the upper limit, and take UEs
    that sit at the lower one out of service, and no sum falls. Rate-fair cells get less: by the inequality of the
    arithmetic and geometric means, n log(1 / sum 1/R) <= sum log R - n log n. Quality of service is bounded by what
    each UE had if it were alone. Holds for weights of the signs that they have by default.
    """

    def most(self, environment: Handover, state: HandoverState) -> dict[str, NDArray[np.float64]]:
        """Return the terms that nobody beats, [batch, num_ues]; only the mean of the utilities means something."""
        limit, rates = environment.utility_limit, environment.full_rate(state)
        with np.errstate(divide="ignore"):
            value = environment.utility_per_decade * np.log10(rates / environment.utility_unit_bit_s)
        total = [
            assign(each[there], environment.utility_per_decade, -limit)[1] if there.any() else 0.0
            for each, there in zip(value, state.there, strict=True)
        ]
        mean = np.minimum(np.array(total) / np.maximum(state.there.sum(axis=1), 1), limit) / limit
        best = zone_of_tolerance(rates.max(axis=-1), environment.adequate_bit_s, environment.desired_bit_s)
        return {
            "utility": np.where(state.there, mean[:, None], 0.0),
            "qos": np.where(state.there, best, 0.0),
            "handover": np.zeros(state.cell.shape),
        }


def assign(value: NDArray[np.float64], decade: float, idle: float) -> tuple[NDArray[np.int64], float]:
    """Return the cell of each UE, -1 for none, [num_ues], and the largest sum of values.

    max over cells c_k of sum_k value[k, c_k] - decade sum_c n_c log10 n_c, n_c being the UEs of cell c; a UE without a
    cell is worth ``idle``.

    Args:
        value: of each UE alone in each cell, [num_ues, num_cells]; minus infinity: out of reach.
        decade: what ten times the rate is worth.
        idle: what no rate is worth.
    """
    from scipy.optimize import linear_sum_assignment

    num_ues, num_cells = value.shape
    count = np.arange(num_ues + 1)
    price = decade * np.diff(count * np.log10(np.maximum(count, 1)))  # of the first, second, ... place of a cell
    places = np.maximum(value[:, :, None] - price, idle - 1e6).reshape(num_ues, -1)
    offered = np.concatenate([places, np.full((num_ues, num_ues), idle)], axis=1)
    _, taken = linear_sum_assignment(offered, maximize=True)
    cells = np.where(taken < num_cells * num_ues, taken // num_ues, -1)
    return cells, float(offered[np.arange(num_ues), taken].sum())


def _prices(environment: Any) -> tuple[float, float]:
    """Return what ten times the rate, and staying where one is, are worth in rewards."""
    weight = {term.name: environment.weights.get(term.name, term.weight) for term in environment.terms()}
    decade = weight["utility"] * environment.utility_per_decade / environment.utility_limit
    kept = max(1 - environment.interruption_s / environment.step_s, 1e-12)
    return decade, -decade * float(np.log10(kept)) - weight["handover"]
