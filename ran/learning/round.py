"""One round of federated learning over the network, from the model going down to the new model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ran.energy import compute_energy_j, compute_time_s
from ran.learning.history import remember
from ran.learning.participation import Candidates
from ran.learning.payload import encode, restore
from ran.metrics.records import RoundRecord, UeRecord
from ran.metrics.round_metrics import round_record, ue_records
from ran.simulation import Exchange, Transfer

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Algorithm, Arrays, ClientUpdate
    from ran.learning.federation import Federation, FederationState
    from ran.learning.hierarchy import Backhaul, Edge
    from ran.learning.learner import Evaluation
    from ran.simulation import Delivery


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
    """A finished round: rows for the tables, events in order of virtual time, and what crossed the backhaul."""

    record: RoundRecord
    ues: list[UeRecord]
    events: list[dict[str, object]]
    backhaul: Backhaul


Announce = Callable[[str], None]


def run_round(federation: Federation, state: FederationState, announce: Announce = lambda stage: None) -> RoundResult:
    """Run one synchronous round; ``state`` moves to the next.

    The model of a UE's edge (see ``ran.learning.hierarchy``; by default all have the same) goes down to every
    participant. Each trains as soon as it has it, for as long as its processor takes; it sends
    its update as soon as it is done, though not before the last download has ended. The edge averages what
    arrives; a UE whose link failed either way has no part in it. Where RLC UM lost packets, a UE fills the gaps of the
    model with its values before the first round, and the edge those of an update with zeros. At the end the
    edges may meet at the cloud.
    """
    learner, algorithm, transport = federation.learner, federation.algorithm, federation.transport
    start_s = state.clock_s
    chosen = federation.participation.select(_candidates(federation, state))
    home = federation.hierarchy.edge_of(state.network.serving_cell[0])

    announce("downlink")
    models = {index: encode(algorithm.broadcast(state.edges[index].server)) for index in set(home[chosen].tolist())}
    deadline_s = start_s + federation.round_deadline_s
    broadcast = [Transfer(ue, "downlink", models[home[ue]], start_s, deadline_s) for ue in chosen]
    down = transport.deliver(federation.simulation, state.network, broadcast)

    announce("training")
    known = algorithm.broadcast(replace(algorithm.start(learner.initial(), learner.num_samples), round=state.round))
    trained = [
        _train(federation, state, delivery.ue, restore(delivery.payload, delivery.gaps, known), delivery.done_s)
        for delivery in down.deliveries
        if delivery.payload is not None
    ]

    announce("uplink")
    reports = [Transfer(local.ue, "uplink", local.payload, local.done_s, deadline_s) for local in trained]
    up = transport.deliver(federation.simulation, state.network, reports)

    announce("aggregation")
    arrived = [(local, delivery) for local, delivery in zip(trained, up.deliveries, strict=True) if delivery.payload]
    edges = [
        _merge(algorithm, edge, [pair for pair in arrived if home[pair[0].ue] == index])
        for index, edge in enumerate(state.edges)
    ]
    edges, backhaul = federation.hierarchy.conclude(edges)
    state.conclude(edges)
    for local in trained:
        state.memories[local.ue] = local.update.memory
    remember(state.history, state.round, start_s, arrived)
    evaluation = learner.evaluate(state.server.model)

    radio_end_s = max(down.end_s, up.end_s, start_s)
    state.clock_s = radio_end_s + backhaul.duration_s
    return _result(federation, state, start_s, radio_end_s, down, trained, up, backhaul, evaluation)


def _candidates(federation: Federation, state: FederationState) -> Candidates:
    simulation = federation.simulation
    return Candidates(
        num_samples=federation.learner.num_samples,
        history=state.history,
        rate_bit_s=lambda: simulation.expected_rate_bit_s(state.network, "uplink", state.clock_s),
        round=state.round,
        clock_s=state.clock_s,
        seed=simulation.world.seeds[0],
    )


def _merge(algorithm: Algorithm, edge: Edge, arrived: Sequence[tuple[LocalTraining, Delivery]]) -> Edge:
    """Return the edge with the updates that arrived, lost values being zero."""
    updates = [
        restore(delivery.payload, delivery.gaps, zeros_like(local.update.arrays))
        for local, delivery in arrived
        if delivery.payload
    ]
    return edge.merged(algorithm, updates, [local.update.report for local, _ in arrived])


def zeros_like(arrays: Arrays) -> Arrays:
    """Return zeros of the same names, shapes and dtypes."""
    return {name: np.zeros_like(array) for name, array in arrays.items()}


def _train(
    federation: Federation, state: FederationState, ue: int, received: Arrays, received_s: float
) -> LocalTraining:
    device = federation.simulation.world.device
    update = federation.learner.train(ue, received, state.round, state.memories.get(ue))
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
    radio_end_s: float,
    down: Exchange,
    trained: list[LocalTraining],
    up: Exchange,
    backhaul: Backhaul,
    evaluation: Evaluation,
) -> RoundResult:
    number = state.round
    ues = ue_records(federation.simulation, state.network, number, down, trained, up)
    record = round_record(federation.simulation, number, start_s, radio_end_s, ues, trained, down, up, evaluation)
    record = replace(record, end_s=state.clock_s)
    events = _events(number, start_s, state.clock_s, down, trained, up, record)
    if backhaul.duration_s > 0.0:
        sent = {"uplink_bytes": backhaul.uplink_bytes, "downlink_bytes": backhaul.downlink_bytes}
        events.insert(-1, {"time_s": radio_end_s, "event": "cloud_average", "round": number, **sent})
    return RoundResult(record, ues, events, backhaul)


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
