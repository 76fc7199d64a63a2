"""A plan of a whole episode of rounds made with all fades known: what an agent may hope to come near to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.rounds.air import shannon
from agents.rounds.curve import ALL_SAMPLES, CHANCE, CURVE
from agents.rounds.levels import payload_bits
from agents.rounds.oracle_kernels import cheapest, improve, menu
from channel.errors import UserError
from channel.units import dbm_to_watt
from ran.learning.participation.levels import LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.envs.round_allocation import RoundAllocation, RoundState

_TIMES, _PRICES, _CLOCKS = 16, 7, 7


@dataclass(frozen=True)
class Oracle:
    """The best plan that coordinate search finds for an episode whose fades, to its end, are known.

    For every round and every set of participants and level the cheapest powers, clocks and bandwidths are found: at a
    time T by which all finish and a price per hertz, each UE for itself minimises its energy plus the price of its
    band (``oracle_kernels.menu``). Sets and levels of the rounds are then improved one at a time until none gets any
    better. With real learning it is the plan for the surrogate.

    Raises UserError where there are more than 12 UEs: there would be too many sets.
    """

    def __call__(self, environment: RoundAllocation, state: RoundState, seen: NDArray[np.float32]) -> NDArray[Any]:  # noqa: ARG002
        """Return the plans' actions of this round, [batch, size]."""
        if environment.ues > 12:
            raise UserError(f"the oracle of {environment.ues} UEs takes too long; set ues to 12 or less")
        text = json.dumps({k: v for k, v in environment.model_dump(mode="json").items() if k != "name"})
        return np.array([
            plan(text, int(key))[min(int(step), environment.steps - 1)]
            for key, step in zip(state.key, state.step, strict=True)
        ])  # fmt: skip


@lru_cache(maxsize=2048)
def plan(environment_json: str, key: int) -> NDArray[np.float32]:
    """Return the actions of all rounds of an episode, [steps, size]."""
    from agents.envs.round_allocation import RoundAllocation

    environment = RoundAllocation.model_validate_json(environment_json).model_copy(update={"learning": "surrogate"})
    state = environment.start(np.array([key], np.uint64))
    ues = np.flatnonzero(state.there[0])
    weight = {term.name: environment.weights.get(term.name, term.weight) for term in environment.terms()}
    samples = state.samples[0, ues]
    rounds = []
    for _ in range(environment.steps):
        rounds.append(_round(environment, state, ues, weight))
        state.step += 1
        environment._fade(state)
    cost = np.array([each[0] for each in rounds])
    sets = (np.arange(2 ** len(ues))[:, None] >> np.arange(len(ues)) & 1).astype(bool)
    held = np.broadcast_to(samples, sets.shape)
    work = np.array([CURVE.work(held, sets, np.full(len(sets), level)) for level in range(len(LEVELS))])
    chosen, level = improve(
        cost, work, sets, samples, 100 * weight["accuracy_gain"],
        (CURVE.scale, CURVE.shape, CURVE.fade, CURVE.error, CURVE.power, float(ALL_SAMPLES), CHANCE),
    )  # fmt: skip
    return np.concatenate([
        _action(environment, ues, sets[chosen[each]], int(level[each]), *(part[level[each], chosen[each]] for part in
        rounds[each][1:3]), *rounds[each][3:])
        for each in range(environment.steps)
    ])  # fmt: skip


def _round(environment: RoundAllocation, state: RoundState, ues: NDArray[np.int64], weight: dict[str, float]) -> Any:
    """Return the costs of all sets at all levels, which time and price each has, and the UEs' menus."""
    air = shannon(environment.scenario)
    seconds, joules = (each[0, ues] for each in environment.full_speed(state))
    device, reach = state.device[0, ues], state.reach_hz[0, ues]
    most_w = dbm_to_watt(environment.tx_power_dbm)
    bits = np.array([payload_bits(level) for level in range(len(LEVELS))]) / air.share
    shortest = seconds.min() + bits.min() / (environment.bandwidth_hz * air.cap / air.share)
    longest = seconds.max() * 3 + len(ues) * bits.max() / (environment.bandwidth_hz * 0.3)
    times = np.geomspace(1.02 * shortest, min(longest, 300 * shortest, environment.round_deadline_s), _TIMES)
    energy_weight = max(-weight["energy"], 1e-9)
    prices = np.concatenate([[0.0], np.geomspace(1e-10, 1e-4, _PRICES - 1)])
    clocks = np.linspace(0.2, 1.0, _CLOCKS)
    energy, band, power, clock = menu(
        seconds, joules, reach, environment._of("amplifier_efficiency")[device],
        environment._of("transmit_circuit_w")[device], most_w, bits, air.cap / air.share, times, prices, clocks,
    )  # fmt: skip
    cost, time_at, price_at = cheapest(
        energy, band, times, environment.bandwidth_hz, energy_weight, max(-weight["latency"], 0.0)
    )
    return cost, time_at, price_at, power, clock


def _action(
    environment: RoundAllocation, ues: NDArray[np.int64], chosen: NDArray[np.bool_], level: int, time_at: int,
    price_at: int, power: Any, clock: Any,
) -> NDArray[np.float32]:  # fmt: skip
    from agents.rounds.heuristics import packed

    part, power_db, speed = (
        np.full((1, environment.ues), -1.0),
        np.zeros((1, environment.ues)),
        np.ones((1, environment.ues)),
    )
    part[0, ues[chosen]] = 1.0
    place = level, time_at, price_at
    power_db[0, ues] = 10 * np.log10(np.maximum(power[(slice(None), *place)], 1e-9))
    speed[0, ues] = clock[(slice(None), *place)]
    return packed(environment, {
        "part": part, "bandwidth": np.zeros(part.shape), "power": power_db, "clock": speed,
        "compression": np.full((1, 1), level + 0.5),
    })  # fmt: skip
