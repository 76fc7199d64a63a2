"""One round of federated learning over the network, from the model going down to the new model."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ran.energy import compute_energy_j, compute_time_s
from ran.learning.federation import exhausted_ues
from ran.learning.freezing import change_norms
from ran.learning.history import remember
from ran.learning.loss_recovery.delivery import deliver
from ran.learning.messages import Downlink
from ran.learning.participation import Candidates
from ran.learning.participation.sight import sight_of
from ran.learning.reception import merge
from ran.learning.round_events import round_events
from ran.learning.schedules.deadline import fitting_steps
from ran.learning.uplink import gather
from ran.metrics.records import RoundRecord, UeRecord
from ran.metrics.round_metrics import Trained, round_record, ue_records
from ran.transfer import Transfer

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, ClientUpdate
    from ran.learning.federation import Federation, FederationState
    from ran.learning.hierarchy import Backhaul
    from ran.learning.participation import Allotment
    from ran.metrics.split_records import ActivityRecord, BatchRecord
    from ran.transfer import Delivery


@dataclass(frozen=True)
class LocalTraining:
    """What one UE did between its two transfers."""

    ue: int
    update: ClientUpdate
    received: Arrays
    received_s: float
    done_s: float
    energy_j: float


@dataclass(frozen=True)
class RoundResult:
    """A finished round: rows for the tables, events in order of virtual time, and what crossed the backhaul.

    Where the model is cut there are also a row for every batch, and one for everything done for it.
    """

    record: RoundRecord
    ues: list[UeRecord]
    events: list[dict[str, object]]
    backhaul: Backhaul
    batches: Sequence[BatchRecord] = ()
    timeline: Sequence[ActivityRecord] = ()


Announce = Callable[[str], None]


def run_round(federation: Federation, state: FederationState, announce: Announce = lambda stage: None) -> RoundResult:
    """Run one synchronous round; ``state`` moves to the next.

    The model of a UE's edge (see ``ran.learning.hierarchy``; by default all have the same) goes down to every
    participant. Each trains as soon as it has it, for as long as its processor takes; it sends its update as soon
    as it is done, though not before the last download has ended. The edge averages what arrives. A UE that vanished, or
    whose link failed either way, has no part in it; the round ends no sooner than a vanished UE's training would have.
    What RLC UM lost of models and updates is up to the federation's loss recovery. At the end the edges may meet at the
    cloud, and layers may be frozen. A round waits for the first UE that can take part; if none ever comes back, it is
    empty. ``learning.schedule: deadline`` closes rounds early; schedules without rounds have
    ``ran.learning.asynchronous``.
    """
    learner, participation = federation.learner, federation.participation
    candidates = waited(federation, state)
    start_s, closes_s = state.clock_s, federation.schedule.closes_s(state.clock_s)
    deadline_s = min(start_s + federation.round_deadline_s, closes_s)
    allotment = participation.allot(candidates)
    federation, chosen = equipped(federation, allotment), allotment.ues
    home = federation.hierarchy.edge_of(state.network.serving_cell[0])

    announce("downlink")
    downlink = Downlink.of(federation, state, chosen, home)
    broadcast = [Transfer(ue, "downlink", downlink.payloads[ue], start_s, deadline_s) for ue in chosen]
    down = deliver(federation, state, broadcast, closes_s)

    announce("training")
    trained = _train(federation, state, downlink, down.deliveries, closes_s, allotment)
    vanished = participation.drops(candidates, {local.ue: local.done_s for local in trained})

    announce("uplink")
    up = gather(federation, state, trained, vanished, home, len(chosen), deadline_s, closes_s, allotment)

    announce("aggregation")
    heard = up.reception.heard
    edges = merge(federation, state, up.reception, home, len(chosen))
    state.cohorts.append(len(chosen))
    before, (edges, backhaul) = state.server.model, federation.hierarchy.conclude(edges)
    state.conclude(edges)
    _remember(federation, state, trained, vanished, {local.ue for local, _ in heard})
    remember(state.history, state.round, start_s, heard)
    _freeze(federation, state, before)

    radio_end_s = max([down.end_s, up.end_s, start_s, *(local.done_s for local in trained if local.ue in vanished)])
    state.clock_s = radio_end_s + backhaul.duration_s
    evaluation, own = learner.evaluate(state.server.model), personal_accuracy(federation, state, trained)
    done = Trained(trained, vanished, {local.ue for local, _ in heard}, evaluation, own)
    ues = ue_records(federation.simulation, state.network, state.round, down, done, up)
    for row in ues:
        state.history["energy_j"][row.ue] += row.transmit_energy_j + row.receive_energy_j + row.compute_energy_j
    span, epsilon = (start_s, radio_end_s), epsilon_of(federation, state)
    record = round_record(federation.simulation, state, span, ues, done, down, up, backhaul, epsilon)
    return RoundResult(record, ues, round_events(record, radio_end_s, down, done, up, backhaul), backhaul)


def candidates_of(federation: Federation, state: FederationState) -> Candidates:
    """Return what there is to choose participants by now."""
    simulation = federation.simulation
    return Candidates(
        num_samples=federation.learner.num_samples,
        history=state.history,
        rate_bit_s=lambda: simulation.expected_rate_bit_s(state.network, "uplink", state.clock_s),
        sight=lambda: sight_of(federation, state),
        round=state.round,
        clock_s=state.clock_s,
        seed=simulation.world.seeds[0],
        exhausted=exhausted_ues(federation, state),
    )


def equipped(federation: Federation, allotment: Allotment) -> Federation:
    """Return the federation as a round with this allotment has it: with its compressor."""
    if allotment.compressor is None:
        return federation
    compression = federation.compression.model_copy(update={"uplink": allotment.compressor})
    return replace(federation, compression=compression)


def epsilon_of(federation: Federation, state: FederationState) -> float:
    """Return what client-level privacy has cost in all rounds so far, or a bound of it; NaN without it.

    Rounds count as if they had sampled among those alone whose battery lasts until now: the fewer, the less it hides.
    """
    privacy = federation.privacy.client_level
    if privacy is None:
        return math.nan
    alive = federation.simulation.world.num_ues - len(exhausted_ues(federation, state))
    return privacy.epsilon(state.cohorts, max(alive, *state.cohorts))


def waited(federation: Federation, state: FederationState) -> Candidates:
    """Let the clock run to the first moment at which a UE can take part, if there is one, and return the candidates."""
    candidates = candidates_of(federation, state)
    resumes_s = federation.participation.resumes_s(candidates)
    if math.isfinite(resumes_s):
        state.clock_s = max(state.clock_s, resumes_s)
    return replace(candidates, clock_s=state.clock_s)


def _train(
    federation: Federation, state: FederationState, downlink: Downlink, deliveries: Sequence[Delivery],
    closes_s: float, allotment: Allotment,
) -> list[LocalTraining]:  # fmt: skip
    """Let every UE that was reached train on what it received, for as many steps as fit in before the round closes."""
    reached = [delivery for delivery in deliveries if delivery.payload is not None]
    steps: dict[int, int] = {}
    if math.isfinite(closes_s):
        steps = fitting_steps(federation, state, reached, closes_s)
        reached = [delivery for delivery in reached if steps[delivery.ue] > 0]
    received = [downlink.received(delivery, federation, state) for delivery in reached]
    ues = [delivery.ue for delivery in reached]
    memories = [state.memories.get(ue) for ue in ues]
    updates = federation.learner.train_many(ues, received, state.round, memories, [steps.get(ue) for ue in ues])
    return [
        local_training(
            federation,
            delivery.ue,
            update,
            arrays,
            delivery.done_s,
            delivery.done_s,
            allotment.clock.get(delivery.ue, 1.0),
        )
        for delivery, arrays, update in zip(reached, received, updates, strict=True)
    ]


def local_training(
    federation: Federation, ue: int, update: ClientUpdate, received: Arrays, received_s: float, begun_s: float,
    clock: float = 1.0,
) -> LocalTraining:  # fmt: skip
    """Return what a UE that began to train at ``begun_s`` has done: when it is ready, and the energy.

    ``clock`` is the part of its highest clock that it runs at.
    """
    device = federation.simulation.world.devices[ue]
    if clock != 1.0:
        device = device.model_copy(update={"clock_hz": clock * device.clock_hz})
    return LocalTraining(
        ue=ue,
        update=update,
        received=received,
        received_s=received_s,
        done_s=begun_s + compute_time_s(device, update.flops),
        energy_j=compute_energy_j(device, update.flops),
    )


def _remember(
    federation: Federation,
    state: FederationState,
    trained: Sequence[LocalTraining],
    vanished: Collection[int],
    arrived: Collection[int],
) -> None:
    """Keep what the UEs remember: a UE that vanished nothing of this round, others as their algorithm wants."""
    kept = arrived if federation.algorithm.keeps == "delivered" else {local.ue for local in trained} - set(vanished)
    for local in trained:
        if local.ue in kept:
            state.memories[local.ue] = local.update.memory


def _freeze(federation: Federation, state: FederationState, before: Arrays) -> None:
    """Freeze the layers that the rule says have settled, with the values that they have now."""
    layers, model = federation.learner.frozen, state.server.model
    if layers is None:
        return
    norms = change_norms(before, model, layers.groups)
    state.frozen = federation.freezing.advance(state.frozen, state.round, norms)
    layers.freeze(state.frozen.depth, model)


def personal_accuracy(
    federation: Federation, state: FederationState, trained: Sequence[LocalTraining]
) -> dict[int, float]:
    """Return the accuracy of the participants' own models, where the algorithm has such, by UE."""
    learner, found = federation.learner, dict[int, float]()
    for local in trained:
        memory = learner.own_memory(state.memories.get(local.ue, {}))
        model = federation.algorithm.personal(memory, local.received)
        if model is not None:
            found[local.ue] = learner.evaluate_own(local.ue, model)
    return found
