"""Rules that tie sections of a scenario together: each broken one is a sentence that names the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from channel.errors import UserError
from channel.layout import ExplicitPlacement
from ran.learning.adapters import rank_problems
from ran.learning.aggregation import aggregator_problems
from ran.learning.attacks import attack_problems
from ran.learning.compression import compression_problems
from ran.learning.engines import engine_problems
from ran.learning.freezing import freezing_problems
from ran.learning.gkt.settings import gkt_problems
from ran.learning.hierarchy import hierarchy_problems
from ran.learning.loss_recovery import loss_recovery_problems
from ran.learning.models import model_problems
from ran.learning.partition.partition import column_problem
from ran.learning.privacy import privacy_problems
from ran.learning.schedules import schedule_problems
from ran.learning.split.settings import split_problems
from ran.learning.tasks import Digits, ImageClassification, Task, TextClassification
from ran.learning.tasks.digits import TEST_PER_CLASS
from ran.learning.transport import TRANSPORTS
from ran.learning.transport.transport import Summing
from ran.numerology import Numerology, num_prbs
from ran.traffic.traffic import LEARNING_SLICE, flow_problems
from scenarios.policy_rules import broken_policies

if TYPE_CHECKING:
    from ran.learning.transport.over_the_air import OverTheAir
    from scenarios.schema import LearningSettings, Scenario

_DIGITS = 1797
_BESIDE_A_SCHEDULE = ("transport", "hierarchy", "freezing", "participation", "aggregator")
_LARGEST_TABLE_GB = 8.0

Broken = tuple[tuple[str | int, ...], str]
"""The YAML path that a message is reported at, and the message."""


def broken_rules(scenario: Scenario) -> Iterator[Broken]:
    """Yield every rule that the scenario breaks."""
    yield from _carrier(scenario)
    yield from _tdd(scenario)
    yield from _verbs(scenario)
    yield from _placement(scenario)
    yield from _samples(scenario)
    yield from _slices(scenario)
    yield from _flows(scenario)
    yield from _layers(scenario)
    yield from _sampled_losses(scenario)
    yield from _table(scenario)
    yield from _learning(scenario)
    yield from _lossy_learning(scenario)
    yield from _shared_air(scenario)
    yield from broken_policies(scenario)


def _carrier(scenario: Scenario) -> Iterator[Broken]:
    radio = scenario.radio
    problem = _no_carrier(radio.bandwidth_hz, radio.subcarrier_spacing_hz, radio.carrier_hz)
    if problem:
        # 20 MHz (FR1) or 100 MHz (FR2) goes with every spacing that the carrier's frequency has.
        some = [_no_carrier(hz, radio.subcarrier_spacing_hz, radio.carrier_hz) for hz in (20e6, 100e6)]
        yield ("radio", "subcarrier_spacing_hz" if all(some) else "bandwidth_hz"), problem
        return
    try:
        Numerology.of(
            radio.carrier_hz, radio.bandwidth_hz, radio.subcarrier_spacing_hz, radio.tdd_pattern, duplex=radio.duplex
        )
    except UserError as error:
        yield ("radio", "duplex"), str(error)


def _no_carrier(bandwidth_hz: float, subcarrier_spacing_hz: float, carrier_hz: float) -> str:
    """Return why there is no such NR carrier, or an empty string."""
    try:
        num_prbs(bandwidth_hz, subcarrier_spacing_hz, carrier_hz)
    except UserError as error:
        return str(error)
    return ""


def _tdd(scenario: Scenario) -> Iterator[Broken]:
    pattern, transport = scenario.radio.tdd_pattern, scenario.learning.transport
    if not transport.uses_radio or scenario.radio.duplex == "fdd":
        return
    for letters, direction in (("U", "uplink"), ("DS", "downlink")):
        if not set(letters) & set(pattern):
            yield (
                ("radio", "tdd_pattern"),
                f"{pattern!r} has no {direction} slot ({letters[0]}), but the {transport.name} transport needs one; "
                "add it, as in 'DDDSU', or set learning.transport to ideal",
            )


def _verbs(scenario: Scenario) -> Iterator[Broken]:
    algorithm, transport = scenario.learning.algorithm, scenario.learning.transport
    if algorithm.needs not in transport.verbs:
        able = [name for name in TRANSPORTS.names() if algorithm.needs in TRANSPORTS.get(name).verbs]
        yield (
            ("learning", "transport"),
            f"{transport.name} cannot {algorithm.needs}, which {algorithm.name} needs; choose {' or '.join(able)}",
        )
    aggregator = scenario.learning.aggregator
    if aggregator.needs not in transport.verbs:
        yield (
            ("learning", "aggregator"),
            f"{aggregator.name} wants to see every update, and {transport.name} brings only their sum; set it to "
            "weighted_mean, or learning.transport to digital",
        )


def _learning(scenario: Scenario) -> Iterator[Broken]:
    """What one part of the learning cannot do with another, each part's own rules."""
    learning, ues = scenario.learning, scenario.ues
    algorithm, adapter, cells = learning.algorithm, learning.adapter, scenario.sites.layout.num_cells
    classes = {device.device_class for device in ues.devices or (ues.device,)}
    num_classes = 10 if isinstance(learning.task, Digits) else 0 if learning.task.kind == "causal_lm" else None
    found: dict[str, Sequence[str | None]] = {
        "model": model_problems(learning.model, learning.task.kind, adapter.name),
        "partition": [column_problem(learning.partition, learning.task)],
        "participation": learning.participation.num_ues_problems(ues.count),
        "adapter": rank_problems(adapter, algorithm, classes),
        "hierarchy": hierarchy_problems(learning.hierarchy, algorithm, cells),
        "freezing": freezing_problems(
            learning.freezing, algorithm, adapter.name, learning.engine.name, learning.hierarchy.name
        ),
        "engine": engine_problems(
            learning.engine, learning.model, adapter, algorithm, device=scenario.device, num_clients=ues.count
        ),
        "schedule": schedule_problems(
            learning.schedule, algorithm, learning.privacy, learning.attack,
            others={part: getattr(learning, part).name for part in _BESIDE_A_SCHEDULE},
        ),
        "algorithm": algorithm.task_problems(num_classes) if num_classes is not None else [],
        "loss_recovery": loss_recovery_problems(
            learning.loss_recovery, learning.transport, _payload_mode(scenario),
            compressor=learning.compression.uplink.name, is_masked=learning.privacy.secure_aggregation is not None,
        ),
        "compression": compression_problems(learning.compression, algorithm, learning.transport),
        "aggregator": aggregator_problems(
            learning.aggregator, algorithm,
            getattr(learning.schedule, "buffer", learning.participation.cohort(ues.count)),
        ),
        "privacy": privacy_problems(
            learning.privacy, algorithm, learning.transport, learning.aggregator, learning.participation,
            learning.compression.uplink.name, 1 if learning.hierarchy.name == "flat" else cells, ues.count,
        ),
        "split": split_problems(learning.split, algorithm, _beside(learning), learning.rounds),
        "gkt": gkt_problems(learning.gkt, learning.compression, _beside(learning)),
        "attack": attack_problems(learning.attack, learning.task.kind, algorithm, learning.transport, learning.privacy)
        if learning.attack else [],
    }  # fmt: skip
    for section, problems in found.items():
        yield from (_placed(("learning", section), problem) for problem in problems if problem)


def _beside(learning: LearningSettings) -> dict[str, str]:
    """Return what is chosen beside a split model or FedGKT, by section; empty where a section is left out."""
    whole = learning.compression.uplink.name, learning.compression.downlink.name
    private = learning.privacy.client_level, learning.privacy.secure_aggregation
    return {
        **{name: getattr(learning, name).name for name in ("transport", "hierarchy", "freezing", "schedule",
                                                           "aggregator", "engine", "loss_recovery", "model", "adapter",
                                                           "algorithm")},
        "compression": "" if whole == ("none", "none") else "set",
        "privacy": "set" if any(private) else "",
        "attack": learning.attack.name if learning.attack else "",
        "split": "set" if learning.split else "",
    }  # fmt: skip


def _placed(where: tuple[str | int, ...], problem: str) -> Broken:
    """Return the problem at the field that it begins with in backticks, else at ``where``."""
    field, colon, rest = problem.partition("`: ")
    return ((*where, *field[1:].split(".")), rest) if colon and field.startswith("`") else (where, problem)


def _shared_air(scenario: Scenario) -> Iterator[Broken]:
    """Sums over the air take the whole uplink band of the slots that they use."""
    transport = scenario.learning.transport
    if not isinstance(transport, Summing):
        return
    # Only who sums over the air needs the schemes, which take time to import.
    from ran.learning.transport.over_the_air import OverTheAir
    from ran.phy.aircomp import Mimo

    if isinstance(transport, OverTheAir):
        if isinstance(transport.scheme, Mimo):
            yield from _streams(scenario, transport.scheme.streams)
        yield from _timing(scenario, transport)
    for index, flow in enumerate(scenario.traffic.flows):
        if flow.direction in ("uplink", "both"):
            yield (
                ("traffic", "flows", index, "direction"),
                f"{transport.name} sends learning updates on the whole uplink band; set it to downlink, or "
                "learning.transport to digital",
            )


def _timing(scenario: Scenario, transport: OverTheAir) -> Iterator[Broken]:
    """Own UEs' timing errors have to stay within the prefix, with room for the interpolation of delays."""
    from channel.ofdm import HALF_WIDTH, OfdmGrid

    radio, late = scenario.radio, transport.impairments.timing_error_samples
    if transport.fidelity != "waveform" or _no_carrier(
        radio.bandwidth_hz, radio.subcarrier_spacing_hz, radio.carrier_hz
    ):
        return
    prbs = num_prbs(radio.bandwidth_hz, radio.subcarrier_spacing_hz, radio.carrier_hz)
    most = OfdmGrid.of(12 * prbs, radio.subcarrier_spacing_hz).cp_samples - HALF_WIDTH
    if late > most:
        yield (
            ("learning", "transport", "impairments", "timing_error_samples"),
            f"{late:g} samples early, but the cyclic prefix leaves room for {most}; lower it to that",
        )


def _streams(scenario: Scenario, streams: int) -> Iterator[Broken]:
    """MIMO AirComp needs as many antennas at both ends as it has streams."""
    antennas, cell = scenario.ues.antenna.antennas, scenario.sites.gnb.antenna.num_antennas
    where = ("learning", "transport", "scheme", "streams")
    if streams > antennas:
        yield where, f"{streams} streams, but a UE has {antennas}; lower it, or set ues.antenna.antennas to {streams}"
    if streams > cell:
        yield where, f"{streams} streams, but a cell has {cell} antennas; lower it, or enlarge sites.gnb.antenna"


def _lossy_learning(scenario: Scenario) -> Iterator[Broken]:
    """What RLC UM may not lose: values that are sent once, or that stand for something else than themselves."""
    if _payload_mode(scenario) == "am" or not scenario.learning.transport.uses_radio:
        return
    learning, remedy = scenario.learning, "set the learning slice's rlc_mode to am"
    if learning.algorithm.name == "fedkseed":
        yield ("learning", "algorithm"), f"a lost seed index of fedkseed is another seed; {remedy}"
    if learning.algorithm.name == "streaming_diloco":
        yield ("learning", "algorithm"), f"streaming_diloco sends every fragment once, and RLC UM may lose it; {remedy}"
    if learning.compression.downlink.name != "none":
        yield ("learning", "compression", "downlink"), f"a compressed model with gaps is of no use; {remedy}"
    if learning.gkt is not None:
        yield ("learning", "gkt"), f"features and labels with gaps are of no use; {remedy}"
    client_level = learning.privacy.client_level
    if client_level is not None and client_level.noise_at == "clients":
        where = ("learning", "privacy", "client_level", "noise_at")
        yield (
            where,
            f"RLC UM loses part of the UEs' noise, and all of it is accounted for; set it to server, or {remedy}",
        )
    codecs = [learning.algorithm.codec(round_index) for round_index in (0, learning.rounds - 1)]
    brittle = [codec.name for codec in codecs if codec is not None and not codec.tolerates_gaps]
    if brittle:
        name = learning.algorithm.name
        yield ("learning", "algorithm"), f"{name} sends {brittle[0]} payloads, of no use with a gap; {remedy}"
    if learning.split is not None:
        yield ("learning", "split"), f"a batch with gaps is no batch; {remedy}"
    if learning.freezing.name != "none":
        yield ("learning", "freezing"), f"frozen layers are sent once, and RLC UM may lose them; {remedy}"


def _placement(scenario: Scenario) -> Iterator[Broken]:
    placement, count = scenario.ues.placement, scenario.ues.count
    if isinstance(placement, ExplicitPlacement) and len(placement.positions_m) != count:
        yield (
            ("ues", "placement", "positions_m"),
            f"{len(placement.positions_m)} positions, but ues.count is {count}; give one position for each UE, "
            f"or set ues.count to {len(placement.positions_m)}",
        )


def _samples(scenario: Scenario) -> Iterator[Broken]:
    count, least, task = scenario.ues.count, scenario.learning.partition.min_samples, scenario.learning.task
    have = _num_train_samples(task)
    if have is not None and count * least > have:
        yield (
            ("ues", "count"),
            f"{count} UEs with at least {least} samples each need {count * least}, but {task.name} has {have} for "
            "training; use fewer UEs or lower learning.partition.min_samples",
        )


def _slices(scenario: Scenario) -> Iterator[Broken]:
    slices, where = scenario.mac.slices, ("mac", "slices")
    if LEARNING_SLICE not in slices:
        yield where, f"there is no slice {LEARNING_SLICE!r}, which carries the payloads; add `learning: {{share: 0.5}}`"
    total = sum(part.share for part in slices.values())
    if total > 1.0 + 1e-9:
        shares = " + ".join(f"{part.share:g}" for part in slices.values())
        yield where, f"the slices' shares add up to {total:g} ({shares}); lower them to 1 or less"


def _flows(scenario: Scenario) -> Iterator[Broken]:
    flows = scenario.traffic.flows
    for index, problem in flow_problems(flows, tuple(scenario.mac.slices), scenario.ues.count):
        yield ("traffic", "flows", index), problem
    if scenario.radio.duplex == "fdd":
        return
    pattern = scenario.radio.tdd_pattern
    for letters, direction in (("U", "uplink"), ("DS", "downlink")):
        if not set(letters) & set(pattern) and any(flow.direction in (direction, "both") for flow in flows):
            yield ("radio", "tdd_pattern"), f"{pattern!r} has no {direction} slot, but traffic.flows need one; add it"


def _layers(scenario: Scenario) -> Iterator[Broken]:
    mimo, antennas = scenario.mac.mimo, scenario.ues.antenna.antennas
    cell = scenario.sites.gnb.antenna.num_antennas
    if mimo.max_rank > antennas:
        yield (
            ("mac", "mimo", "max_rank"),
            f"{mimo.max_rank} layers, but a UE has {antennas} antenna{'s'[: antennas != 1]}; lower it, or set "
            f"ues.antenna.antennas to {mimo.max_rank}",
        )
    if mimo.streams > cell:
        yield (
            ("mac", "mimo", "max_streams"),
            f"{mimo.streams} streams, but a cell has {cell} antennas; lower it, or enlarge sites.gnb.antenna",
        )
    if cell % scenario.mac.precoder.access_points:
        yield (
            ("mac", "precoder", "access_points"),
            f"{scenario.mac.precoder.access_points} access points, but a cell has {cell} antennas, which they cannot "
            "share evenly; choose a divisor",
        )


def _sampled_losses(scenario: Scenario) -> Iterator[Broken]:
    """What a stretch of ``flow`` moves on arrives whole: losses in it would not reach the payload."""
    if scenario.mac.fidelity.mode == "flow" and _payload_mode(scenario) == "um":
        yield (
            ("mac", "fidelity", "mode"),
            "flow does not show which bytes RLC UM loses; set it to slot, or the learning slice's rlc_mode to am",
        )


def _payload_mode(scenario: Scenario) -> str:
    """Return the RLC mode of the learning payloads."""
    slices, mode = scenario.mac.slices, scenario.traffic.rlc.mode
    return slices[LEARNING_SLICE].rlc_mode or mode if LEARNING_SLICE in slices else mode


def _table(scenario: Scenario) -> Iterator[Broken]:
    """The scheduler's table of beams holds every UE's gain to the UEs of every near cell, group by group."""
    if not scenario.learning.transport.uses_radio:
        return
    radio, ues, cells = scenario.radio, scenario.ues.count, scenario.sites.layout.num_cells
    near = cells if radio.interfering_cells is None else min(cells, radio.interfering_cells + 1)
    try:
        grid = Numerology.of(
            radio.carrier_hz, radio.bandwidth_hz, radio.subcarrier_spacing_hz, "",
            rbg_configuration=radio.rbg_configuration,
        )  # fmt: skip
    except UserError:
        return  # reported elsewhere
    groups = grid.num_rbgs
    size_gb = 4.0 * groups * ues * scenario.mac.mimo.max_rank**2 * ues * near / cells / 1e9
    if size_gb > _LARGEST_TABLE_GB:
        remedy = "fewer UEs" if cells == 1 else "fewer UEs, or limit radio.interfering_cells"
        yield (
            ("ues", "count"),
            f"{ues} UEs in {cells} cell{'s'[: cells != 1]} need a scheduler's table of {size_gb:.0f} GB "
            f"({groups} groups x UEs x UEs of {near} near cell{'s'[: near != 1]}), more than "
            f"{_LARGEST_TABLE_GB:g} GB; use {remedy}",
        )


def _num_train_samples(task: Task) -> int | None:
    """Return the most training samples that a task can have, as far as that shows without reading its data."""
    if isinstance(task, Digits):
        return _DIGITS - 10 * TEST_PER_CLASS
    return task.max_train_samples if isinstance(task, ImageClassification | TextClassification) else None
