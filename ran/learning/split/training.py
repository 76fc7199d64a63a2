"""Rounds of split learning: who takes part, what the sides become, and the rows of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from channel.seeding import stream
from ran.energy import compute_energy_j
from ran.learning.algorithms.algorithm import ClientUpdate, Server, combine, part, prefixed, weighted_mean
from ran.learning.hierarchy import Backhaul
from ran.learning.history import remember
from ran.learning.round import LocalTraining, RoundResult, waited
from ran.learning.split.lockstep import Lockstep
from ran.learning.split.party import Party
from ran.learning.split.pipelining import gain_of
from ran.learning.split.split_round import SplitRound, Turn
from ran.learning.version_metrics import busy_rows, one_exchange
from ran.metrics.round_metrics import Trained, round_record
from ran.transfer import Delivery
from ran.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.federation import Federation, FederationState
    from ran.learning.participation import Candidates
    from ran.learning.split.cut import Node
    from ran.learning.split.cut_model import CutModel
    from ran.metrics.records import RoundRecord
    from ran.transfer import Exchange
    from ran.virtual_clock import Process

_BOTTLENECK = "bottleneck"
Announce = Callable[[str], None]


def run_split_round(
    federation: Federation, state: FederationState, announce: Announce = lambda stage: None
) -> RoundResult:
    """Run one round of ``learning.split``; ``state`` moves to the next.

    Every participant gets the UE side, takes its local steps with a server, batch by batch, and sends the UE side back;
    then the sides are put together as the method says. A UE that vanishes does so with activations under way: the
    servers forget its graphs, and its UE side is lost, but not what a shared server has learnt from it. The round ends
    when the last payload has arrived.
    """
    model = federation.cut_model
    assert model is not None
    assert state.split is not None
    candidates = waited(federation, state)
    start_s, chosen = state.clock_s, federation.participation.select(candidates)
    session = federation.transport.open(federation.simulation, state.network)
    clock = VirtualClock(session, start_s)
    turns = [_turn(federation, candidates, ue) for ue in chosen]
    lockstep = Lockstep(clock, turns) if model.split.method == "parallel" else None
    work = SplitRound(
        federation, model.split, model.network, model.stage_flops, clock, state.round, state.split, lockstep
    )

    announce("batches")
    before = whole_arrays(state)
    with federation.learner.training(state.round):
        servers = _start(work, model, turns, before)
        clock.run()

    announce("aggregation")
    state.clock_s = max(start_s, clock.now_s)
    state.conclude([replace(state.edges[0], server=_merged(federation, state, model, turns, servers, before))])
    return _result(federation, state, work, turns, start_s, session.account())


def whole_arrays(state: FederationState) -> Arrays:
    """Return the arrays of all sides, bottlenecks included."""
    return state.server.model | part(_BOTTLENECK, state.server.memory)


def with_bottlenecks(memory: Arrays, bottlenecks: Arrays) -> Arrays:
    """Return a server's memory that holds the first weights of the bottlenecks."""
    return memory | prefixed(_BOTTLENECK, bottlenecks)


def _turn(federation: Federation, candidates: Candidates, ue: int) -> Turn:
    """Return a UE's batches, those that FedAvg would take, and where it vanishes."""
    algorithm, samples = federation.algorithm, federation.learner.num_samples[ue]
    batches = list(algorithm.batches(samples, stream(federation.seed, "batch order", candidates.round, ue)))
    # Whether, as of any rule of participation; at which batch, by chance.
    goes = federation.participation.drops(candidates, {ue: candidates.clock_s})
    rng = stream(federation.seed, "vanishing", candidates.round, ue)
    return Turn(ue, batches, int(rng.integers(len(batches))) if ue in goes else None)


def _sides(model: CutModel, arrays: Arrays) -> dict[Node, Arrays]:
    return {node: {name: arrays[name] for name in model.network.names(node)} for node in model.nodes}


def _start(work: SplitRound, model: CutModel, turns: Sequence[Turn], arrays: Arrays) -> dict[Node, Party]:
    """Start the UEs' processes, and return the servers' parties where all UEs share them."""
    sides = _sides(model, arrays)
    servers = [node for node in model.nodes if node != "ue"]
    if model.split.method == "splitfed_v1":
        for turn in turns:
            own: dict[Node, Party] = {node: work.party(node, sides[node]) for node in servers}
            work.clock.start(work.run(turn, sides["ue"], own))
        return {}
    shared: dict[Node, Party] = {node: work.party(node, sides[node]) for node in servers}
    if model.split.method == "sequential":
        work.clock.start(_one_after_another(work, turns, sides["ue"], shared))
    else:
        for turn in turns:
            work.clock.start(work.run(turn, sides["ue"], shared))
    return shared


def _one_after_another(work: SplitRound, turns: Sequence[Turn], arrays: Arrays, shared: dict[Node, Party]) -> Process:
    """Let UEs take turns; each begins with the UE side of the last one that brought it back."""
    for turn in turns:
        yield work.clock.start(work.run(turn, arrays, shared))
        arrays = turn.result or arrays


def _merged(
    federation: Federation,
    state: FederationState,
    model: CutModel,
    turns: Sequence[Turn],
    shared: Mapping[Node, Party],
    before: Arrays,
) -> Server:
    """Return the server with the sides put together."""
    back = [turn for turn in turns if turn.result is not None]
    weights = [float(federation.learner.num_samples[turn.ue]) for turn in back]
    after = dict(before)
    for party in shared.values():
        after |= party.read()
    if back and model.split.method == "sequential":
        after |= back[-1].result or {}
    elif back:
        after |= _mean([turn.result or {} for turn in back], weights)
    if back and not shared:
        for node in (node for node in model.nodes if node != "ue"):
            after |= _mean([turn.parties[node].read() for turn in back], weights)
    server = state.server
    bottlenecks = {name: after[name] for name in model.network.bottlenecks}
    trained = {name: after[name] for name in server.model}
    memory = with_bottlenecks(server.memory, bottlenecks)
    return replace(server, model=trained, memory=memory, round=server.round + 1)


def _mean(sides: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
    return combine(sides[0], (1.0, weighted_mean(sides, weights)))


def _result(
    federation: Federation,
    state: FederationState,
    work: SplitRound,
    turns: Sequence[Turn],
    start_s: float,
    exchange: Exchange,
) -> RoundResult:
    """Return the rows and events of the round that ``state`` has just concluded."""
    trained = [_training(federation, turn) for turn in turns if turn.losses]
    back = [turn.ue for turn in turns if turn.result is not None]
    evaluation = federation.learner.evaluate(state.server.model, work.network.bottlenecked(whole_arrays(state)))
    done = Trained(trained, [turn.ue for turn in turns if turn.vanished], back, evaluation, {})
    down = [each for each in exchange.deliveries if each.direction == "downlink"]
    up = [each for each in exchange.deliveries if each.direction == "uplink"]
    ues = busy_rows(federation, state, (down, up), done, exchange)
    # What came down last is a gradient, not the model.
    received = {turn.ue: turn.received_s for turn in turns}
    ues = [replace(row, downlink_done_s=received.get(row.ue, row.downlink_done_s)) for row in ues]
    uplink = one_exchange(exchange, [])
    radio_s = start_s, state.clock_s
    record = round_record(federation.simulation, state, radio_s, ues, done, exchange, uplink, Backhaul(), math.nan)
    share = (state.clock_s - start_s) / (sum(work.phase_s.values()) or 1.0)
    spent = [share * work.phase_s[name] for name in ("downlink", "compute", "uplink")]
    record = replace(record, downlink_s=spent[0], compute_s=spent[1], uplink_s=spent[2])
    for row in ues:
        state.history["energy_j"][row.ue] += row.transmit_energy_j + row.receive_energy_j + row.compute_energy_j
    for local in trained:
        if local.ue in back:
            end = Delivery(local.ue, "uplink", None, start_s, state.clock_s)
            remember(state.history, state.round, start_s, [(local, end)])
    return RoundResult(record, ues, _events(work, turns, record), Backhaul())


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
