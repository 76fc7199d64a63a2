"""Rounds of split learning: who takes part, what the sides become, and the rows of it."""

from __future__ import annotations

import math
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from channel.seeding import stream
from ran.energy import compute_energy_j
from ran.learning.algorithms.algorithm import ClientUpdate, Server, combine, part, prefixed, weighted_mean
from ran.learning.history import remember
from ran.learning.round import LocalTraining, RoundResult, waited
from ran.learning.split.book import Book
from ran.learning.split.choices import adapt, evaluate, offers, with_choices
from ran.learning.split.eavesdropper import Eavesdropper, Finding, embeddings_of
from ran.learning.split.lockstep import Lockstep
from ran.learning.split.pace import Pace
from ran.learning.split.party import Party
from ran.learning.split.pipelining import gain_of
from ran.learning.split.rates import width_rule
from ran.learning.split.split_round import SplitRound, Turn
from ran.learning.version_metrics import busy_rows, one_exchange
from ran.metrics.round_metrics import Trained, round_record
from ran.transfer import Delivery
from ran.virtual_clock import VirtualClock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.federation import Federation, FederationState
    from ran.learning.participation import Candidates
    from ran.learning.split.cut import Node
    from ran.learning.split.settings import SplitLearning
    from ran.metrics.records import RoundRecord, UeRecord
    from ran.transfer import Exchange
    from ran.virtual_clock import Process

_BOTTLENECK = "bottleneck"
Announce = Callable[[str], None]


def run_split_round(
    federation: Federation,
    state: FederationState,
    announce: Announce = lambda stage: None,
    actions: Mapping[int, Sequence[int]] | None = None,
) -> RoundResult:
    """Run one round of ``learning.split``; ``state`` moves to the next.

    Every participant gets the UE side, takes its local steps with a server, batch by batch, and sends the UE side back;
    then the sides are put together as the method says. A UE that vanishes does so with activations under way: the
    servers forget its graphs, and its UE side is lost, but not what a shared server has learnt from it. The round ends
    when the last payload has arrived.

    ``actions`` are an agent's, by UE, for a split with an adaptation: it looks at ``offers`` of the ``next_turns``.
    """
    model = federation.cut_model
    assert model is not None
    assert state.split is not None
    start_s, turns = next_turns(federation, state)
    choices = adapt(federation, offers(federation, state, turns), actions) if model.split.adaptation else {}
    turns = [replace(turn, choice=choices.get(turn.ue)) for turn in turns]
    session = federation.transport.open(federation.simulation, state.network)
    clock = VirtualClock(session, start_s)
    lockstep = Lockstep(clock, turns) if model.split.method == "parallel" else None
    work = SplitRound(
        federation, model.split, model.network, model.stage_flops, clock, state.round, model.counts["ue"], state.split,
        Book(state.round + 1), lockstep, _eavesdropper(federation, model.split, state.round + 1),
        width_rule(federation, state, clock, turns),
    )  # fmt: skip

    announce("batches")
    whole = whole_arrays(state)
    is_paced = model.split.method == "asynchronous"
    pace = Pace.of(work, turns, _sides(work, whole)["ue"]) if is_paced else None
    with federation.learner.training(state.round):
        servers = _start(work, turns, whole, pace)
        clock.run()

    finding = Finding()
    if work.eavesdropper:
        announce("privacy probe")
        finding = work.eavesdropper.find(embeddings_of(model.network.module, federation.learner.sample()))
    announce("aggregation")
    state.clock_s = max(start_s, clock.now_s)
    state.conclude([replace(state.edges[0], server=_merged(federation, state, turns, servers, whole, pace))])
    result = _result(federation, state, work, turns, start_s, session.account(), pace)
    result = replace(result, record=replace(result.record, **vars(finding)))
    return with_choices(result, choices, clock.deliveries, start_s)


def next_turns(federation: Federation, state: FederationState) -> tuple[float, list[Turn]]:
    """Return when the next round starts, and what each participant does in it, also where it is called again.

    A UE of which the filter leaves no sample sits the round out.
    """
    candidates = waited(federation, state)
    turns = [_turn(federation, state, candidates, ue) for ue in federation.participation.select(candidates)]
    return state.clock_s, [turn for turn in turns if turn.batches]


def _eavesdropper(federation: Federation, split: SplitLearning, number: int) -> Eavesdropper | None:
    """Return who listens in round ``number``, if anybody does."""
    probe = split.privacy_probe
    if probe is None or number % probe.every:
        return None
    return Eavesdropper(probe, federation.seed, number, federation.learner.num_training_samples)


def whole_arrays(state: FederationState) -> Arrays:
    """Return the arrays of all sides, bottlenecks included."""
    return state.server.model | part(_BOTTLENECK, state.server.memory)


def with_bottlenecks(memory: Arrays, bottlenecks: Arrays) -> Arrays:
    """Return a server's memory that holds the first weights of the bottlenecks."""
    return memory | prefixed(_BOTTLENECK, bottlenecks)


def _turn(federation: Federation, state: FederationState, candidates: Candidates, ue: int) -> Turn:
    """Return a UE's batches, those that FedAvg would take of the samples that are sent, and where it vanishes."""
    rng = stream(federation.seed, "batch order", candidates.round, ue)
    batches = list(_batches(federation, state, ue, rng))
    # Whether, as of any rule of participation; at which batch, by chance.
    goes = federation.participation.drops(candidates, {ue: candidates.clock_s})
    rng = stream(federation.seed, "vanishing", candidates.round, ue)
    return Turn(ue, batches, int(rng.integers(len(batches))) if ue in goes and batches else None)


def _batches(
    federation: Federation, state: FederationState, ue: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield a UE's batches in the next round, by their samples' places among its own."""
    algorithm, samples, model = federation.algorithm, federation.learner.num_samples[ue], federation.cut_model
    assert model is not None
    if model.split.filter is None:
        yield from algorithm.batches(samples, rng)
        return
    assert state.split is not None
    which = state.split.informative(model.split.filter, ue, samples, state.round)
    if len(which):
        yield from (which[batch] for batch in algorithm.batches(len(which), rng))


def _sides(work: SplitRound, arrays: Arrays) -> dict[Node, Arrays]:
    """Return the whole model's arrays by the node that trains them."""
    nodes = dict.fromkeys(stage.node for stage in work.network.stages)
    return {node: {name: arrays[name] for name in work.network.names(node)} for node in nodes}


def _servers(work: SplitRound, arrays: Arrays) -> dict[Node, Party]:
    return {node: work.party(node, side) for node, side in _sides(work, arrays).items() if node != "ue"}


def _start(work: SplitRound, turns: Sequence[Turn], whole: Arrays, pace: Pace | None) -> dict[Node, Party]:
    """Start the UEs' processes, and return the servers' parties where all UEs share them at the same time.

    Where UEs take turns, ``whole`` becomes what the last one leaves.
    """
    if work.split.method == "sequential":
        work.clock.start(_one_after_another(work, turns, whole))
        return {}
    shared = {} if work.split.method == "splitfed_v1" else _servers(work, whole)
    if pace:
        pace.start(shared)
        return shared
    for turn in turns:
        own = work.of(turn)
        work.clock.start(own.run(turn, _sides(own, whole)["ue"], shared or _servers(own, whole)))
    return shared


def _one_after_another(work: SplitRound, turns: Sequence[Turn], whole: Arrays) -> Process:
    """Let UEs take turns; each begins with the UE side of the last one that brought it back.

    What a server has learnt stays, also of a UE that did not. Its optimiser goes on; where the next UE's cut is another
    one, as far as the parameters are the server's before and after.
    """
    servers = dict["Node", "Party"]()
    for turn in turns:
        own = work.of(turn)
        if not servers or servers["gnb"].split.stages is not own.network.stages:
            before, servers = servers, _servers(own, whole)
            for node in before:
                servers[node].take_over(before[node])
        yield work.clock.start(own.run(turn, _sides(own, whole)["ue"], servers))
        for party in servers.values():
            whole |= party.read()
        whole |= turn.result or {}


def _merged(
    federation: Federation,
    state: FederationState,
    turns: Sequence[Turn],
    shared: Mapping[Node, Party],
    whole: Arrays,
    pace: Pace | None,
) -> Server:
    """Return the server with the sides put together."""
    model = federation.cut_model
    assert model is not None
    back = [turn for turn in turns if turn.result is not None]
    weights = [float(federation.learner.num_samples[turn.ue]) for turn in back]
    after = dict(whole)
    for party in shared.values():
        after |= party.read()
    if pace:
        after |= pace.ue_side
    elif model.split.method == "splitfed_v1":
        servers = [[party.read() for node, party in turn.parties.items() if node != "ue"] for turn in back]
        sides = [ChainMap(turn.result or {}, *theirs) for turn, theirs in zip(back, servers, strict=True)]
        after |= _mean(sides, weights)
    elif model.split.method != "sequential":
        after |= _mean([turn.result or {} for turn in back], weights)
    server = state.server
    bottlenecks = {name: after[name] for name in model.bottlenecks}
    trained = {name: after[name] for name in server.model}
    memory = with_bottlenecks(server.memory, bottlenecks)
    return replace(server, model=trained, memory=memory, round=server.round + 1)


def _mean(sides: Sequence[Mapping[str, NDArray[np.float32]]], weights: Sequence[float]) -> Arrays:
    """Return the mean of every array over those who have it: bottlenecks belong to one cut each."""
    found: Arrays = {}
    for name in dict.fromkeys(name for side in sides for name in side):
        own = [({name: side[name]}, weight) for side, weight in zip(sides, weights, strict=True) if name in side]
        arrays, shares = zip(*own, strict=True)
        found |= combine(arrays[0], (1.0, weighted_mean(arrays, shares)))
    return found


def _result(
    federation: Federation,
    state: FederationState,
    work: SplitRound,
    turns: Sequence[Turn],
    start_s: float,
    exchange: Exchange,
    pace: Pace | None,
) -> RoundResult:
    """Return the rows and events of the round that ``state`` has just concluded."""
    trained = [_training(federation, turn) for turn in turns if turn.losses]
    back = [turn.ue for turn in turns if turn.result is not None]
    evaluation = evaluate(federation, state.server.model, whole_arrays(state), turns)
    stale = pace.staleness() if pace else {}
    done = Trained(trained, [turn.ue for turn in turns if turn.vanished], back, evaluation, {}, stale)
    down = [each for each in exchange.deliveries if each.direction == "downlink"]
    up = [each for each in exchange.deliveries if each.direction == "uplink"]
    ues = busy_rows(federation, state, (down, up), done, exchange)
    # What came down last is a gradient, not the model.
    received = {turn.ue: turn.received_s for turn in reversed(turns)}
    ues = [replace(row, downlink_done_s=received.get(row.ue, row.downlink_done_s)) for row in ues]
    ues = work.book.of_ues(ues, turns, federation.simulation.world.devices)
    uplink = one_exchange(exchange, [])
    radio_s = start_s, state.clock_s
    record = round_record(
        federation.simulation, state, radio_s, ues, done, exchange, uplink, work.book.backhaul(), math.nan
    )
    share = (state.clock_s - start_s) / (sum(work.phase_s.values()) or 1.0)
    spent = [share * work.phase_s[name] for name in ("downlink", "compute", "uplink")]
    record = replace(record, downlink_s=spent[0], compute_s=spent[1], uplink_s=spent[2], **_accounts(work, ues, record))
    if pace and pace.merges:
        record = replace(record, staleness=sum(each.staleness for each in pace.merges) / len(pace.merges))
    for row in ues:
        state.history["energy_j"][row.ue] += row.transmit_energy_j + row.receive_energy_j + row.compute_energy_j
    for local in trained:
        if local.ue in back:
            end = Delivery(local.ue, "uplink", None, start_s, state.clock_s)
            remember(state.history, state.round, start_s, [(local, end)])
    batches, timeline = work.book.batches(), work.book.activities
    return RoundResult(record, ues, _events(work, turns, record), work.book.backhaul(), batches, timeline)


def _accounts(work: SplitRound, ues: Sequence[UeRecord], record: RoundRecord) -> dict[str, Any]:
    """Return how busy the servers were, and what the UE that held most held."""
    duration_s = record.end_s - record.start_s
    busy = {
        f"{node}_utilisation": work.clock.busy_s((node, 0)) / (duration_s or math.inf)
        for node in dict.fromkeys(work.split.cut.nodes)
        if node != "ue"
    }
    return busy | {"ue_memory_peak_bytes": max((row.memory_peak_bytes for row in ues), default=0)}


def _training(federation: Federation, turn: Turn) -> LocalTraining:
    samples = sum(count for _, count in turn.losses)
    loss = sum(loss * count for loss, count in turn.losses) / samples
    device = federation.simulation.world.devices[turn.ue]
    update = ClientUpdate({}, federation.learner.num_samples[turn.ue], len(turn.losses), loss, turn.flops)
    energy_j = compute_energy_j(device, turn.flops)
    return LocalTraining(turn.ue, update, turn.received, turn.received_s, turn.done_s, energy_j)


def _events(work: SplitRound, turns: Sequence[Turn], record: RoundRecord) -> list[dict[str, object]]:
    """Return what the log should know: who was there from when to when, and how busy the servers were."""
    events: list[dict[str, object]] = [{"time_s": record.start_s, "event": "round_start", "round": record.round}]
    for turn in turns:
        row = {"round": record.round, "ue": turn.ue, "num_steps": len(turn.losses)}
        events.append({"time_s": turn.received_s, "event": "training_start", **row})
        outcome = "vanished" if turn.vanished else "training_done" if turn.alive else "radio_link_failure"
        events.append({"time_s": turn.done_s, "event": outcome, **row, "flops": turn.flops})
    for node in ("gnb", "cloud"):
        busy = {"busy_s": work.clock.busy_s((node, 0))}
        events.append({"time_s": record.end_s, "event": "server", "round": record.round, "node": node, **busy})
    if work.split.micro_batches > 1 and (gain := gain_of(turns, at_once=work.split.method != "sequential")):
        parts = {"round": record.round, "micro_batches": work.split.micro_batches}
        events.append({"time_s": record.end_s, "event": "pipeline", **parts, **gain.row()})
    end = {"time_s": record.end_s, "event": "round_end", "round": record.round}
    events.append({**end, "participants": record.participants, "test_accuracy": record.test_accuracy})
    return sorted((event for event in events if event["time_s"] == event["time_s"]), key=_time_s)


def _time_s(event: dict[str, object]) -> float:
    time_s = event["time_s"]
    assert isinstance(time_s, float)
    return time_s
