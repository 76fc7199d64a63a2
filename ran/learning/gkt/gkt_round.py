"""One round of group knowledge transfer over the network: knowledge goes up and comes down, weights do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ran.learning.algorithms.algorithm import ClientUpdate, Server, part, prefixed
from ran.learning.hierarchy import Backhaul
from ran.learning.history import remember
from ran.learning.learner import Evaluation
from ran.learning.loss_recovery.delivery import deliver
from ran.learning.round import LocalTraining, RoundResult, local_training, waited
from ran.learning.round_events import round_events
from ran.learning.version_metrics import busy_rows, one_exchange
from ran.metrics.round_metrics import Trained, round_record
from ran.transfer import Transfer

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.federation import Federation, FederationState
    from ran.learning.gkt.learner import EdgeOutcome, GktLearner
    from ran.transfer import Delivery, Exchange

_EDGE, _SOFT_LABELS = "edge", "soft_labels"
Announce = Callable[[str], None]


def run_gkt_round(
    federation: Federation, state: FederationState, announce: Announce = lambda stage: None
) -> RoundResult:
    """Run one round of ``learning.gkt``; ``state`` moves to the next.

    Every participant trains its edge network and sends its report as soon as it is done. When the last report has come,
    or its UE is known to be gone, the gNB's server trains on the latest reports of all UEs and sends each UE whose
    report has just come the soft labels of its samples. A UE that vanished remembers nothing of the round; one whose
    link failed keeps its edge network, and the soft labels that it had. The round ends with the last soft labels.

    A UE's edge network and soft labels are its memory in ``state``, its report is what last arrived from it. The
    accuracy is the mean over all UEs, participants or not, of each one's extractor with the server's network, on the
    whole test set.
    """
    gkt, participation = federation.gkt, federation.participation
    assert gkt is not None
    candidates = waited(federation, state)
    start_s, number = state.clock_s, state.round
    wanted_s = start_s + federation.round_deadline_s

    announce("training")
    outcomes = {
        ue: gkt.edge_step(ue, edge_of(gkt, state, ue), state.memories.get(ue, {}).get(_SOFT_LABELS), number)
        for ue in participation.select(candidates)
    }
    trained = [_training(federation, ue, outcome, start_s) for ue, outcome in outcomes.items()]
    trained_s = max([start_s, *(local.done_s for local in trained)])
    vanished = participation.drops(candidates, {local.ue: local.done_s for local in trained})

    announce("uplink")
    sent = [local for local in trained if local.ue not in vanished]
    payloads = [gkt.exchange.send_report(outcomes[local.ue].report, local.ue, number) for local in sent]
    reports = [
        Transfer(local.ue, "uplink", payload, local.done_s, wanted_s)
        for local, payload in zip(sent, payloads, strict=True)
    ]
    up = deliver(federation, state, reports)
    heard = [(local, each) for local, each in zip(sent, up.deliveries, strict=True) if each.payload is not None]

    announce("server")
    state.last_updates |= {each.ue: _report(gkt, each, number) for _, each in heard}
    answer = gkt.server_step(gkt.server_part(state.server.model), state.last_updates, number)
    heard_s, server_s = max(trained_s, up.end_s), answer.flops / gkt.settings.gnb.flop_s

    announce("downlink")
    soft = {
        local.ue: gkt.exchange.send_soft_labels(answer.soft_labels[local.ue], local.ue, number) for local, _ in heard
    }
    answers = [Transfer(ue, "downlink", payload, heard_s + server_s, wanted_s) for ue, payload in soft.items()]
    down = deliver(federation, state, answers)
    for local in sent:
        state.memories[local.ue] = state.memories.get(local.ue, {}) | prefixed(_EDGE, outcomes[local.ue].arrays)
    for each in down.deliveries:
        state.memories[each.ue] |= _soft_labels(gkt, each, number)
    state.clock_s = max(heard_s + server_s, down.end_s)

    _conclude(gkt, state, answer.arrays)
    remember(state.history, state.round, start_s, heard)
    done = _evaluated(gkt, state, trained, vanished, [local.ue for local, _ in heard])
    return _result(federation, state, done, (down, up), (start_s, trained_s, heard_s, server_s))


def edge_of(gkt: GktLearner, state: FederationState, ue: int) -> Arrays:
    """Return a UE's edge network: what it remembers, or the common first one."""
    return part(_EDGE, state.memories.get(ue, {})) or gkt.initial()


def _training(federation: Federation, ue: int, outcome: EdgeOutcome, start_s: float) -> LocalTraining:
    samples = federation.learner.num_samples[ue]
    update = ClientUpdate({}, samples, outcome.steps, outcome.loss, outcome.flops)
    return local_training(federation, ue, update, {}, start_s, start_s)


def _report(gkt: GktLearner, delivery: Delivery, number: int) -> Arrays:
    assert delivery.payload is not None
    return gkt.exchange.receive_report(delivery.payload, gkt.num_samples[delivery.ue], number)


def _soft_labels(gkt: GktLearner, delivery: Delivery, number: int) -> Arrays:
    """Return what a UE remembers of the soft labels that came; of a failed link nothing."""
    if delivery.payload is None:
        return {}
    soft_labels = gkt.exchange.receive_soft_labels(delivery.payload, gkt.num_samples[delivery.ue], number)
    return {_SOFT_LABELS: soft_labels}


def _conclude(gkt: GktLearner, state: FederationState, server: Arrays) -> None:
    """Move on to the next round; the model that is kept has the extractor of the UE with most samples."""
    keeper = int(np.argmax(gkt.num_samples))
    whole = gkt.large(edge_of(gkt, state, keeper), server)
    state.conclude([replace(state.edges[0], server=Server(whole, state.server.memory, state.round + 1))])


def _evaluated(
    gkt: GktLearner,
    state: FederationState,
    trained: Sequence[LocalTraining],
    vanished: Collection[int],
    arrived: Collection[int],
) -> Trained:
    """Return the round's training with the accuracies of all extractors and the server's network together."""
    server = gkt.server_part(state.server.model)
    edges = [edge_of(gkt, state, ue) for ue in range(len(gkt.num_samples))]
    every = gkt.evaluate(edges, server)
    mean = Evaluation(float(np.mean([each.accuracy for each in every])), float(np.mean([each.loss for each in every])))
    return Trained(trained, vanished, arrived, mean, {})


def _result(
    federation: Federation,
    state: FederationState,
    done: Trained,
    exchanges: tuple[Exchange, Exchange],
    times_s: tuple[float, float, float, float],
) -> RoundResult:
    """Return the rows and events of the round that ``state`` has just concluded."""
    (down, up), (start_s, trained_s, heard_s, server_s) = exchanges, times_s
    both = replace(
        down,
        uplink=up.uplink,
        uplink_airtime_s=up.uplink_airtime_s,
        cell_active_s=down.cell_active_s + up.cell_active_s,
    )
    ues = busy_rows(federation, state, (down.deliveries, up.deliveries), done, both)
    for row in ues:
        state.history["energy_j"][row.ue] += row.transmit_energy_j + row.receive_energy_j + row.compute_energy_j
    busy = {"time_s": heard_s + server_s, "event": "server", "round": state.round, "node": "gnb", "busy_s": server_s}
    uplink = replace(one_exchange(both, list(up.deliveries)), events=[busy])
    span_s = start_s, state.clock_s
    record = round_record(federation.simulation, state, span_s, ues, done, both, uplink, Backhaul(), math.nan)
    record = replace(
        record,
        downlink_s=state.clock_s - heard_s - server_s,
        compute_s=trained_s - start_s + server_s,
        uplink_s=heard_s - trained_s,
    )
    return RoundResult(record, ues, round_events(record, state.clock_s, down, done, uplink, Backhaul()), Backhaul())
