"""Whether trained policies fit the rest of a scenario: sizes, and parts that would not do what they say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from channel.component import Component
from channel.errors import UserError
from ran.learning.adaptation.observed import AFTER, COMPRESSORS, LEAST_FREE, WIDTHS
from ran.learning.adaptation.policy import Policy as Cuts
from ran.learning.compression import compression_problems
from ran.learning.participation import Policy as Participants
from ran.learning.participation.levels import LEVELS
from ran.mac import Policy as Grants
from ran.mac import Shares
from ran.mac.sharing.policy import Policy as SliceShares
from ran.numerology import Numerology

if TYPE_CHECKING:
    from ran.learning.split.adaptive import AdaptiveSplit
    from ran.learning.split.settings import SplitLearning
    from scenarios.schema import Scenario

_WHOLE = {"schedule": "synchronous", "transport": "digital"}
_LEARNING = "learning"


def broken_policies(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield where a policy was trained for something else than this; files that are none are found before."""
    yield from _grants(scenario)
    yield from _shares(scenario)
    participation = scenario.learning.participation
    if isinstance(participation, Participants) and not participation.problems():
        for text in _participants(scenario):
            yield (_LEARNING, "participation"), text
    split = scenario.learning.split
    if split is not None and split.adaptation is not None and isinstance(split.adaptation.rule, Cuts):
        where = (_LEARNING, "split", "adaptation")
        for field, text in _cuts(scenario, split, split.adaptation, split.adaptation.rule):
            yield (*where, field), text


def _grants(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    radio, mac = scenario.radio, scenario.mac
    try:
        grid = Numerology.of(
            radio.carrier_hz, radio.bandwidth_hz, radio.subcarrier_spacing_hz, radio.tdd_pattern, duplex=radio.duplex,
            rbg_configuration=radio.rbg_configuration,
        )  # fmt: skip
    except UserError:
        return  # reported elsewhere
    size = scenario.ues.count, scenario.sites.layout.num_cells, grid.num_rbgs
    own = [(("mac", "slices", name, "scheduler"), part.scheduler) for name, part in mac.slices.items()]
    for where, scheduler in [(("mac", "scheduler"), mac.scheduler), *own]:
        if isinstance(scheduler, Grants) and not scheduler.problems() and (text := scheduler.network_problem(*size)):
            yield (*where, "path"), text


def _shares(scenario: Scenario) -> Iterator[tuple[tuple[str | int, ...], str]]:
    rule, where = scenario.mac.slice_shares, ("mac", "slice_shares")
    if not rule.problems() and rule.window:
        ways = rule.directions
        flows = [flow for flow in scenario.traffic.flows if any(flow.runs(way) for way in ways)]
        users = {ue for flow in flows for ue in flow.selected(scenario.ues.count)}
        if not users:
            yield where, f"{rule.name} shares cells with other {' or '.join(ways)} traffic; add traffic.flows"
        if scenario.learning.round_deadline_s is None and rule.name != "sla_first":
            yield where, f"{rule.name} plans by the deadline of a round; set learning.round_deadline_s"
        size = scenario.ues.count, len(users), scenario.sites.layout.num_cells
        if isinstance(rule, SliceShares) and (text := rule.network_problem(*size)):
            yield (*where, "path"), text


def _participants(scenario: Scenario) -> Iterator[str]:
    """Yield what takes from an allocation what the policy has decided."""
    learning, mac = scenario.learning, scenario.mac
    for section, plain in _WHOLE.items():
        if (name := getattr(learning, section).name) != plain:
            yield f"policy allots rounds over the network, not {name}; set learning.{section} to {plain}"
    for section in ("split", "gkt"):
        if getattr(learning, section) is not None:
            yield f"policy allots clocks and compressors to updates of whole models; leave out learning.{section}"
    if learning.compression.uplink.name != "none":
        yield "policy chooses the compressor in every round; set learning.compression.uplink to none"
    if learning.privacy.client_level or learning.privacy.secure_aggregation:
        yield "policy chooses whose updates are seen and compresses them; leave out learning.privacy"
    part = mac.slices.get(_LEARNING)
    if part is not None:
        if (part.rlc_mode or scenario.traffic.rlc.mode) == "um":
            yield "policy compresses updates, of no use with a gap; set the learning slice's rlc_mode to am"
        if not isinstance(part.scheduler or mac.scheduler, Shares):
            yield "policy shares the band out among updates; set mac.scheduler, or the learning slice's, to shares"
    for level in LEVELS:
        tried = learning.compression.model_copy(update={"uplink": level.compressor})
        if problems := compression_problems(tried, learning.algorithm, learning.transport):
            own = learning.algorithm.name
            yield f"policy chooses {level.compressor.name} at times, and with {own} {problems[0].partition(': ')[2]}"
            return


def _cuts(scenario: Scenario, split: SplitLearning, chosen: AdaptiveSplit, rule: Cuts) -> Iterator[tuple[str, str]]:
    """Yield what the policy has not learnt to choose from, or not for so many."""
    if rule.problems():
        return
    own, learning = rule.trained_in(), scenario.learning
    for field, known, has in (
        ("cuts", list(AFTER), list(chosen.cuts)), ("widths", list(WIDTHS), list(chosen.widths)),
        ("quantisers", list(COMPRESSORS), list(chosen.quantisers)),
    ):  # fmt: skip
        if has != known:
            yield field, f"the policy has learnt to choose from {_listed(known)}, in this order; set it to that"
    cohort = learning.participation.cohort(scenario.ues.count)
    if cohort > own["ues"]:
        text = f"the policy was trained for {own['ues']} UEs at most, and {cohort} take part"
        yield "rule", f"{text}; set ues.count to {own['ues']} or less, or train with `--set ues={cohort}`"
    if learning.model.name != "glyph_vit":
        yield "rule", f"the policy knows the costs of glyph_vit, not of {learning.model.name}; set learning.model to it"
    if split.method == "sequential":
        yield "rule", "the policy shares band and server out among UEs at work together; set method to splitfed_v1"
    most = float(own["server_flops_per_s"])
    if not LEAST_FREE * most <= split.gnb.flop_s <= most:
        text = f"the policy was trained with a server of {LEAST_FREE * most:g} to {most:g} FLOP/s, not "
        text += f"{split.gnb.flop_s:g}; set learning.split.gnb.flop_s within, or train with "
        yield "rule", text + "`--set server_flops_per_s=...`"


def _listed(known: Sequence[object]) -> str:
    """Return a list as YAML has it."""
    return f"[{', '.join(_written(each) for each in known)}]"


def _written(each: object) -> str:
    if not isinstance(each, Component):
        return f"{each:g}" if isinstance(each, float) else str(each)
    own = {"name": each.name, **each.model_dump(exclude_defaults=True)}
    return each.name if len(own) == 1 else f"{{{', '.join(f'{name}: {value}' for name, value in own.items())}}}"
