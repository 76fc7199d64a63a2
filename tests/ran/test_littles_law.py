"""Oracle: Little's law, L = lambda W, with L sampled slot by slot and W from every packet's own stay."""

from __future__ import annotations

import numpy as np
import pytest

from ran.network import DIRECTIONS, Network
from scenarios.build import build_world
from scenarios.load import load
from scenarios.schema import Scenario

FLOWS = [
    {"name": "poisson", "packets_per_s": 120, "packet_bytes": 1200, "direction": "both"},
    {"name": "xr", "ues": [0, 1], "rate_bit_s": 2e6, "direction": "downlink"},
]
BASE = {"channel": {"name": "rayleigh", "shadowing_std_db": 4}, "ues": {"count": 5}, "traffic": {"flows": FLOWS}}
CASES: dict[str, dict] = {
    "tdd": {},
    "fdd": {"radio": {"duplex": "fdd"}},
    "um": {"traffic": {"flows": FLOWS, "rlc": {"mode": "um"}}, "mac": {"harq": {"max_attempts": 1}}},
    "multi-user": {"mac": {"mimo": {"mode": "multi_user"}, "scheduler": "max_min"}},
    "two layers": {
        "mac": {"mimo": {"max_rank": 2}, "scheduler": "qos"}, "ues": {"count": 5, "antenna": {"antennas": 2}},
    },
    "overload": {"traffic": {"flows": [{"name": "poisson", "packets_per_s": 3000, "packet_bytes": 1500}]}},
    "cells": {
        "sites": {"layout": {"name": "hexagonal", "num_sites": 7, "inter_site_distance_m": 120}},
        "ues": {"count": 14, "mobility": {"name": "linear", "speed_m_s": 30}},
        "mac": {"handover": {"offset_db": 0, "hysteresis_db": 0, "time_to_trigger_s": 0, "filter_coefficient": 0}},
    },
}  # fmt: skip


def check(network: Network, duration_s: float) -> None:
    state = network.start()
    slots = round(duration_s / network.plan.slot_s)
    waiting = {way: np.zeros_like(state.ledgers[way].queue["count"], np.float64) for way in DIRECTIONS}
    for _ in range(slots):
        network.step(state)
        for way in DIRECTIONS:
            waiting[way] += state.ledgers[way].queue["count"]
    for way in DIRECTIONS:
        if not network.has_traffic[way]:
            continue
        ledger = state.ledgers[way]
        end_s = slots * network.plan.slot_s
        accepted = (ledger.delay["offered"] - ledger.delay["dropped"]).sum()
        stay_s = (ledger.delay["sojourn_sum_s"] + ledger.waiting_s(end_s)).sum()
        mean_number = waiting[way].sum() / slots
        arrival_rate, mean_stay_s = accepted / end_s, stay_s / accepted
        # Samples at slot ends miss the slot in which a packet ends, the part of one in which it arrives, and where
        # only one direction has traffic the slots of the other one in between.
        unseen_slots = (arrival_rate * mean_stay_s - mean_number) / (arrival_rate * network.plan.slot_s)
        assert 0.9 < unseen_slots < 2.1 + (not all(network.has_traffic.values()))
        if mean_stay_s > 100 * network.plan.slot_s:
            assert mean_number == pytest.approx(arrival_rate * mean_stay_s, rel=0.03)
        assert accepted > 10


@pytest.mark.parametrize("case", CASES)
def test_littles_law_holds_whatever_the_network(case):
    """Catches packets that leave twice or never, stays counted from the wrong moment, and losses left in the queue."""
    check(Network(build_world(Scenario.model_validate(BASE | CASES[case]))), 0.8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["busy", "quickstart", "uma", "poisson"])
def test_littles_law_holds_in_the_packaged_scenarios(name):
    """The same in the scenarios that come with the package, those without flows loaded with Poisson packets."""
    scenario = load(name)
    if not scenario.traffic.flows:
        scenario = load(name, ["traffic.flows=[{name: poisson, packets_per_s: 100, direction: both}]"])
    check(Network(build_world(scenario)), 2.0)
