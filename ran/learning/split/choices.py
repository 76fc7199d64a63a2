"""A cut, a width and a quantiser for every UE at the start of a round, and what they were predicted to cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from channel.errors import UserError
from channel.units import dbm_to_watt
from ran.learning.adaptation import Fixed
from ran.learning.adaptation.agent import Agent
from ran.learning.adaptation.menu import Cost, Menu, Place, Situation, Work
from ran.learning.learner import Evaluation
from ran.learning.split.counting import side_problem
from ran.learning.split.cut import Cut
from ran.learning.split.cut_model import CutModel
from ran.learning.split.cut_option import quantiser_of
from ran.learning.split.rates import cell_mates, expected_rates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.federation import Federation, FederationState
    from ran.learning.learner import Learner
    from ran.learning.round import RoundResult
    from ran.learning.split.adaptive import AdaptiveSplit
    from ran.learning.split.settings import SplitLearning
    from ran.learning.split.split_round import Turn
    from ran.nodes import DeviceProfile
    from ran.transfer import Delivery


@dataclass(frozen=True)
class Offer:
    """What one participant may choose from in a round, and what is known of it: what an agent observes of it."""

    ue: int
    menu: Menu
    situation: Situation


@dataclass(frozen=True)
class Choice:
    """What was chosen for one participant.

    Attributes:
        offer: what there was.
        place: in its menu.
        model: the network cut there, with that quantiser.
        width: of its codes.
        predicted: what that should cost.
    """

    offer: Offer
    place: Place
    model: CutModel
    width: float
    predicted: Cost


def cut_model_of(split: SplitLearning, learner: Learner, seed: int, devices: Sequence[DeviceProfile]) -> CutModel:
    """Return the learner's network cut as the scenario says, and cut elsewhere where there is a choice.

    Raises UserError where it cannot be cut so, or a UE's device cannot hold its side of any cut.
    """
    chosen = split.adaptation
    if chosen is None or not chosen.cuts:
        return CutModel.of(split, learner, seed, devices)
    cuts = [split.model_copy(update={"cut": Cut(after=(after,))}) for after in chosen.cuts]
    try:
        models = [CutModel.of(each, learner, seed, ()) for each in cuts]
    except UserError as error:
        raise UserError(str(error).replace("learning.split.cut.after", "learning.split.adaptation.cuts")) from error
    held = models[:1] if isinstance(chosen.rule, Fixed) else models
    least = min(held, key=lambda model: model.option.memory_bytes)
    if problem := side_problem(devices, least.counts["ue"], learner.algorithm.batch_size * (1 + split.ahead)):
        raise UserError(f"learning.split.adaptation.cuts: {problem.partition(': ')[2]}")
    return replace(models[0], options=tuple(models))


def offers(federation: Federation, state: FederationState, turns: Sequence[Turn]) -> list[Offer]:
    """Return what the participants of a round may choose from, given how their batches are dealt.

    Rates are what the gNB expects (``expected_rates``), shared with all participants of the cell, and the server's
    speed is shared with all participants, unless UEs take turns. Predictions take batches to follow one another: where
    a UE sends ``ahead``, it is sooner through than predicted.
    """
    model, simulation = federation.cut_model, federation.simulation
    assert model is not None
    chosen = model.split.adaptation
    assert chosen is not None
    ues = [turn.ue for turn in turns]
    in_turn = model.split.method == "sequential"
    mates = dict.fromkeys(ues, 1) if in_turn else cell_mates(state, ues)
    up, down = (expected_rates(federation, state, way, state.clock_s, mates) for way in ("uplink", "downlink"))  # type: ignore[arg-type]
    speed = model.split.gnb.flop_s / (1 if in_turn else max(1, len(ues)))
    power_w = float(dbm_to_watt(simulation.world.radio.ue_tx_power_dbm))
    found, parts = [], model.split.micro_batches
    for turn in turns:
        work = Work(len(turn.batches), sum(map(len, turn.batches)) / len(turn.batches), parts, speed, power_w)
        device = simulation.world.devices[turn.ue]
        situation = Situation(device, up[turn.ue], down[turn.ue], chosen.deadline_s, mates[turn.ue])
        found.append(Offer(turn.ue, _menu(model, chosen, work), situation))
    return found


def adapt(
    federation: Federation, given: Iterable[Offer], actions: Mapping[int, Sequence[int]] | None = None
) -> dict[int, Choice]:
    """Return what the scenario's rule chooses for every participant, or what an agent did, by UE.

    Args:
        federation: with a cut model whose split has an adaptation.
        given: the round's offers.
        actions: places of a cut, a width and a quantiser by UE, of an agent; they go before the rule.

    Raises UserError where an action is no place of the menu, or nothing fits a UE's memory.
    """
    model = federation.cut_model
    assert model is not None
    chosen = model.split.adaptation
    assert chosen is not None
    offered = list(given)
    if actions is None:
        places = chosen.rule.choose_all([(offer.menu, offer.situation) for offer in offered])
    else:
        places = [Agent().choose(offer.menu, offer.situation, actions.get(offer.ue)) for offer in offered]
    kinds, found = chosen.data(model.split.data), dict[int, Choice]()
    for offer, place in zip(offered, places, strict=True):
        cut = model.options[place[0]] if model.options else model
        sent = replace(cut, network=replace(cut.network, data=kinds[place[2]]))
        width, cost = offer.menu.widths[place[1]], offer.menu.cost(place, offer.situation)
        found[offer.ue] = Choice(offer, place, sent, width, cost)
    return found


def default_quality(widths: Sequence[float], bits: Sequence[float], num_cuts: int) -> NDArray[np.float64]:
    """Return log2(width x bits) for every combination, [num_cuts, num_widths, num_quantisers]; see AdaptiveSplit."""
    import numpy as np

    return np.broadcast_to(np.log2(np.outer(widths, bits)), (num_cuts, len(widths), len(bits)))


def _menu(model: CutModel, chosen: AdaptiveSplit, work: Work) -> Menu:
    import numpy as np

    cuts = tuple(each.option for each in model.options or (model,))
    quantisers = tuple(quantiser_of(model.network, data) for data in chosen.data(model.split.data))
    widths = chosen.widths or (1.0,)
    quality = default_quality(widths, [each.bits for each in quantisers], len(cuts))
    if chosen.quality is not None:
        quality = np.array(chosen.quality, np.float64)
    return Menu(cuts, widths, quantisers, quality, work)


def evaluate(federation: Federation, model: Arrays, whole: Arrays, turns: Sequence[Turn]) -> Evaluation:
    """Return the evaluation of the model with its bottlenecks at full width, ``whole`` being the arrays of both.

    Where participants have cut at several places, it is the mean over them, weighted by their samples: each sees the
    bottleneck at its own cut. Without bottlenecks a cut changes nothing.
    """
    learner, common = federation.learner, federation.cut_model
    assert common is not None
    models = {each.option.after: each for each in common.options or (common,)}
    weights = dict[int, float]()
    for turn in turns if common.bottlenecks else ():
        after = turn.choice.model.option.after if turn.choice else common.option.after
        weights[after] = weights.get(after, 0.0) + learner.num_samples[turn.ue]
    weights, accuracy, loss = weights or {common.option.after: 1.0}, 0.0, 0.0
    for after, weight in weights.items():
        found = learner.evaluate(model, models[after].network.bottlenecked(whole))
        accuracy += weight / sum(weights.values()) * found.accuracy
        loss += weight / sum(weights.values()) * found.loss
    return Evaluation(accuracy, loss)


def with_choices(
    result: RoundResult, choices: Mapping[int, Choice], deliveries: Sequence[Delivery], start_s: float
) -> RoundResult:
    """Return a round's result with what was predicted of each UE, and what its part of the round took."""
    own = {ue: [each for each in deliveries if each.ue == ue and each.payload is not None] for ue in _ues(deliveries)}
    rows = [
        replace(
            row,
            predicted_s=choices[row.ue].predicted.time_s if row.ue in choices else math.nan,
            took_s=_took_s(own.get(row.ue, [])),
        )
        for row in result.ues
    ]
    start, *later = result.events
    number = result.record.round
    events = [_event(choice, own.get(ue, []), start_s, number) for ue, choice in choices.items()]
    return replace(result, ues=rows, events=[start, *events, *later])


def _event(choice: Choice, own: Sequence[Delivery], time_s: float, number: int) -> dict[str, object]:
    """Return the event of a choice: what was predicted of the UE's part of the round, and what became of it.

    Times are from the first downlink slot to the last payload up; null for a UE of which nothing arrived.
    """
    menu, place, cost, situation = choice.offer.menu, choice.place, choice.predicted, choice.offer.situation
    size = {way: sum(len(each.payload or b"") for each in own if each.direction == way) for way in _WAYS}
    took_s = _took_s(own)
    return {
        "time_s": time_s, "event": "adapted", "round": number, "ue": choice.offer.ue,
        "cut_after": menu.cuts[place[0]].after, "width": choice.width, "quantiser": menu.quantisers[place[2]].name,
        "uplink_bit_s": situation.uplink_bit_s, "downlink_bit_s": situation.downlink_bit_s,
        "predicted_s": cost.time_s, "took_s": took_s if math.isfinite(took_s) else None,
        "predicted_uplink_bytes": cost.uplink_bytes, "uplink_bytes": size["uplink"],
        "predicted_downlink_bytes": cost.downlink_bytes, "downlink_bytes": size["downlink"],
    }  # fmt: skip


def _ues(deliveries: Sequence[Delivery]) -> set[int]:
    return {each.ue for each in deliveries}


_WAYS = ("uplink", "downlink")


def _took_s(own: Sequence[Delivery]) -> float:
    if not own:
        return math.nan
    return max(each.done_s for each in own) - min(each.start_s for each in own)
