"""One round of federated learning over the network, from the model going down to the new model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ran.energy import compute_energy_j, compute_time_s
from ran.learning.payload import encode, restore
from ran.metrics.records import RoundRecord, UeRecord
from ran.metrics.round_metrics import round_record, ue_records
from ran.network import NetworkState
from ran.simulation import Exchange, Simulation, Transfer

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Algorithm, Arrays, ClientUpdate
    from ran.learning.learner import Evaluation, Learner
    from ran.learning.transport.transport import Transport


@dataclass(frozen=True)
class Federation:
    """What stays the same from round to round; updates are wanted ``round_deadline_s`` after a round's start."""

    simulation: Simulation
    learner: Learner
    algorithm: Algorithm
    transport: Transport
    round_deadline_s: float = math.inf


@dataclass
class FederationState:
    """What a round changes: the global model, the network and the virtual clock."""

    round: int
    clock_s: float
    model: Arrays
    network: NetworkState


@dataclass(frozen=True)
class LocalTraining:
    """What one UE did between its two transfers."""

    ue: int
    update: ClientUpdate
    payload: bytes
    received_s: float
    done_s: float
    energy_j: float


@dataclass(frozen=True)
class RoundResult:
    """A finished round: rows for the tables, and events in order of virtual time."""

    record: RoundRecord
    ues: list[UeRecord]
    events: list[dict[str, object]]


Announce = Callable[[str], None]


def run_round(federation: Federation, state: FederationState, announce: Announce = lambda stage: None) -> RoundResult:
    """Run one synchronous round; ``state`` moves to the next.

    The model goes down to every UE. Each trains as soon as it has it, for as long as its processor takes; it sends
    its update as soon as it is done, though not before the last download has ended. The server averages what
    arrives; a UE whose link failed either way has no part in it. Where RLC UM lost packets, a UE fills the gaps of the
    model with its values before the first round, and the server those of an update with zeros.
    """
    learner, algorithm, transport = federation.learner, federation.algorithm, federation.transport
    start_s = state.clock_s

    announce("downlink")
    model_bytes = encode(state.model)
    deadline_s = start_s + federation.round_deadline_s
    broadcast = [Transfer(ue, "downlink", model_bytes, start_s, deadline_s) for ue in range(len(learner.num_samples))]
    down = transport.deliver(federation.simulation, state.network, broadcast)

    announce("training")
    known = learner.initial()
    trained = [
        _train(federation, delivery.ue, restore(delivery.payload, delivery.gaps, known), state.round, delivery.done_s)
        for delivery in down.deliveries
        if delivery.payload is not None
    ]

    announce("uplink")
    reports = [Transfer(local.ue, "uplink", local.payload, local.done_s, deadline_s) for local in trained]
    up = transport.deliver(federation.simulation, state.network, reports)

    announce("aggregation")
    arrived = [(local, delivery) for local, delivery in zip(trained, up.deliveries, strict=True) if delivery.payload]
    if arrived:
        nothing = {name: np.zeros_like(array) for name, array in state.model.items()}
        updates = [restore(delivery.payload, delivery.gaps, nothing) for _, delivery in arrived if delivery.payload]
        weights = [float(local.update.num_samples) for local, _ in arrived]
        state.model = algorithm.aggregate(state.model, updates, weights)
    evaluation = learner.evaluate(state.model)

    state.clock_s = max(down.end_s, up.end_s, start_s)
    result = _result(federation, state, start_s, down, trained, up, evaluation)
    state.round += 1
    return result


def _train(federation: Federation, ue: int, model: Arrays, round_index: int, received_s: float) -> LocalTraining:
    device = federation.simulation.world.device
    update = federation.learner.train(ue, model, round_index)
    return LocalTraining(
        ue=ue,
        update=update,
        payload=encode(update.arrays),
        received_s=received_s,
        done_s=received_s + compute_time_s(device, update.flops),
        energy_j=compute_energy_j(device, update.flops),
    )


def _result(
    federation: Federation,
    state: FederationState,
    start_s: float,
    down: Exchange,
    trained: list[LocalTraining],
    up: Exchange,
    evaluation: Evaluation,
) -> RoundResult:
    number = state.round + 1
    ues = ue_records(federation.simulation, state.network, number, down, trained, up)
    record = round_record(federation.simulation, number, start_s, state.clock_s, ues, trained, down, up, evaluation)
    return RoundResult(record, ues, _events(number, start_s, state.clock_s, down, trained, up, record))


def _events(
    round_index: int,
    start_s: float,
    end_s: float,
    down: Exchange,
    trained: list[LocalTraining],
    up: Exchange,
    record: RoundRecord,
) -> list[dict[str, object]]:
    events: list[dict[str, object]] = [{"time_s": start_s, "event": "round_start", "round": round_index}]
    for exchange in (down, up):
        for delivery in exchange.deliveries:
            size = len(delivery.payload) if delivery.payload is not None else 0
            row = {"round": round_index, "ue": delivery.ue, "direction": delivery.direction}
            events.append({"time_s": delivery.start_s, "event": "transfer_start", **row})
            outcome = "transfer_done" if delivery.payload is not None else "radio_link_failure"
            events.append({"time_s": delivery.done_s, "event": outcome, **row, "payload_bytes": size})
    for local in trained:
        row = {"round": round_index, "ue": local.ue, "num_steps": local.update.num_steps}
        events.append({"time_s": local.received_s, "event": "training_start", **row})
        events.append({"time_s": local.done_s, "event": "training_done", **row, "flops": local.update.flops})
    end = {"time_s": end_s, "event": "round_end", "round": round_index}
    events.append({**end, "participants": record.participants, "test_accuracy": record.test_accuracy})
    return sorted(events, key=_time_s)


def _time_s(event: dict[str, object]) -> float:
    time_s = event["time_s"]
    assert isinstance(time_s, float)
    return time_s
