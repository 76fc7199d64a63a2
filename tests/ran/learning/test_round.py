"""Oracles: means weighted by hand, gaps filled by hand, and the rows of a round recounted from its exchanges."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from ran.learning.algorithms import FedAvg
from ran.learning.algorithms.algorithm import ClientUpdate
from ran.learning.learner import Evaluation
from ran.learning.payload import encode
from ran.learning.round import Federation, FederationState, run_round
from ran.simulation import Exchange, NetworkState, Simulation, Transfer
from scenarios.build import build_world
from scenarios.schema import Scenario

SAMPLES = (10, 30, 60)


@dataclass
class ScriptedLearner:
    """UE k answers any model with an update full of k + 1, and remembers what it was given."""

    num_samples: tuple[int, ...] = SAMPLES
    received: dict[int, np.ndarray] = field(default_factory=dict)

    def initial(self) -> dict[str, np.ndarray]:
        return {"w": np.full(2000, -5.0, np.float32)}

    def train(self, client: int, arrays: dict[str, np.ndarray], round_index: int) -> ClientUpdate:
        self.received[client] = arrays["w"].copy()
        update = {"w": np.full(2000, client + 1.0, np.float32)}
        return ClientUpdate(update, self.num_samples[client], num_steps=1, train_loss=float(client), flops=1e9)

    def evaluate(self, arrays: dict[str, np.ndarray]) -> Evaluation:
        return Evaluation(accuracy=0.5, loss=1.0)


@dataclass
class LossyTransport:
    """The MAC's transport that then loses what it is told to; it keeps the transfers and exchanges it saw."""

    gap: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    failed: tuple[tuple[int, str], ...] = ()
    transfers: list[Transfer] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)

    def deliver(self, simulation: Simulation, state: NetworkState, transfers: list[Transfer]) -> Exchange:
        self.transfers += transfers
        exchange = simulation.deliver(state, transfers)
        for index, delivery in enumerate(exchange.deliveries):
            key = delivery.ue, delivery.direction
            if key in self.gap:
                start, stop = self.gap[key]
                damaged = bytearray(delivery.payload or b"")
                damaged[start:stop] = bytes(stop - start)
                exchange.deliveries[index] = replace(delivery, payload=bytes(damaged), gaps=((start, stop),))
            if key in self.failed:
                exchange.deliveries[index] = replace(delivery, payload=None)
        self.exchanges.append(exchange)
        return exchange


def federation(transport: LossyTransport, **sections) -> tuple[Federation, FederationState]:
    scenario = {"channel": "rayleigh", "ues": {"count": 3, "mobility": "static"}, **sections}
    simulation = Simulation(build_world(Scenario.model_validate(scenario)))
    learner = ScriptedLearner()
    fed = Federation(simulation, learner, FedAvg(), transport, round_deadline_s=7.0)  # type: ignore[arg-type]
    return fed, FederationState(0, 0.0, {"w": np.zeros(2000, np.float32)}, simulation.start())


def test_the_server_weighs_updates_by_samples():
    """Oracle: (10 x 1 + 30 x 2 + 60 x 3) / 100 = 2.5, in the second round on top of the first."""
    fed, state = federation(LossyTransport())
    for expected in (2.5, 5.0):
        result = run_round(fed, state)
        np.testing.assert_allclose(state.model["w"], expected)
        assert result.record.participants == 3


@pytest.mark.parametrize("way", ["downlink", "uplink"])
def test_a_ue_whose_link_failed_has_no_part(way):
    """Oracle: (30 x 2 + 60 x 3) / 90, whether UE 0 never got the model or its update never came."""
    fed, state = federation(LossyTransport(failed=((0, way),)))
    result = run_round(fed, state)
    np.testing.assert_allclose(state.model["w"], 240 / 90)
    assert result.record.participants == 2
    assert sorted(fed.learner.received) == ([1, 2] if way == "downlink" else [0, 1, 2])  # type: ignore[attr-defined]


def test_gaps_are_the_values_before_the_first_round_down_and_zeros_up():
    """Oracle: by hand. A gap of bytes 100..110 of the data touches values 25, 26 and 27."""
    header = len(encode({"w": np.zeros(2000, np.float32)})) - 8000
    cut = header + 100, header + 110
    fed, state = federation(LossyTransport(gap={(1, "downlink"): cut, (2, "uplink"): cut}))
    state.model["w"][:] = 3.0
    run_round(fed, state)
    touched = np.isin(np.arange(2000), (25, 26, 27))
    received = fed.learner.received  # type: ignore[attr-defined]
    np.testing.assert_array_equal(received[1], np.where(touched, -5.0, 3.0))
    np.testing.assert_array_equal(received[0], np.full(2000, 3.0))
    np.testing.assert_allclose(state.model["w"], 3.0 + np.where(touched, (10 + 60) / 100, 2.5), rtol=1e-6)


def test_updates_are_wanted_a_deadline_after_the_round_began():
    """Oracle: 7 s after the start of each round, for every transfer of it, down and up."""
    transport = LossyTransport()
    fed, state = federation(transport)
    starts = []
    for _ in range(2):
        starts.append(state.clock_s)
        run_round(fed, state)
    assert starts[1] > 0.0
    assert [t.deadline_s for t in transport.transfers] == pytest.approx([starts[0] + 7.0] * 6 + [starts[1] + 7.0] * 6)


def test_block_error_rates_are_of_first_transmissions():
    """Oracle: the exchanges' own counters; first errors over first transmissions, not over all attempts."""
    transport = LossyTransport()
    fed, state = federation(
        transport, mac={"link_adaptation": {"bler_target": 0.5, "olla_step_db": 3.0}},
        sites={"gnb": {"tx_power_dbm": 3.0}}, ues={"count": 3, "mobility": "static", "tx_power_dbm": -5.0},
    )  # fmt: skip
    result = run_round(fed, state)
    for way, exchange in zip(("downlink", "uplink"), transport.exchanges, strict=True):
        tally = getattr(exchange, way)
        assert (tally["attempts"] > tally["blocks"]).any()
        assert tally["first_errors"].sum() > 0
        expected = tally["first_errors"].sum() / tally["blocks"].sum()
        assert getattr(result.record, f"{way}_bler") == pytest.approx(expected)
        for row in result.ues:
            mine = tally[row.ue]
            assert getattr(row, f"{way}_bler") == pytest.approx(mine["first_errors"] / mine["blocks"])
            assert getattr(row, f"{way}_mcs") == pytest.approx(mine["mcs_sum"] / mine["blocks"])
            assert getattr(row, f"{way}_sinr_db") == pytest.approx(mine["sinr_db_sum"] / mine["blocks"])
