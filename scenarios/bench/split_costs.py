"""Federated learning beside split learning and FedGKT: what a UE spends until one test accuracy.

All methods run in the world of ``quickstart``: eight walking UEs, Dirichlet shares of the digits, every payload through
the emulated MAC, two bytes a value but for UE sides of a cut model, which travel in single precision. Two networks: the
quickstart's pre-trained vision transformer, cut after its second layer, and the residual network drawn fresh that
FedGKT is made for, cut after its stem as FedGKT cuts it; costs compare within a network. A run ends with the first
round after which the test accuracy is at ``TARGET``. UE FLOPs, bytes and energy are of the average UE in all rounds
together; memory is what training takes on a UE: weights, gradients, optimiser, activations of a batch.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.bench.method_curves import write_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ran.learning.federation import Federation

TARGET = 0.95
MOST_ROUNDS = 25
SEED = 1

_HALF = "learning.compression={uplink: fp16, downlink: fp16}"
_VIT: tuple[str, ...] = ("learning.model=glyph_vit",)
_LORA: tuple[str, ...] = (*_VIT, "learning.adapter={name: lora, rank: 8}")
_RESNET: tuple[str, ...] = ("learning.model=resnet", "learning.adapter=full")


def _cut(method: str, after: int, more: str = "") -> str:
    data = "data: {activations: fp16, gradients: fp16}"
    return f"learning.split={{method: {method}, cut: {{after: {after}}}, {data}{more}}}"


WAYS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("ViT, all weights", "FedAvg"): (*_VIT, "learning.adapter=full", _HALF),
    ("ViT, LoRA", "FedAvg"): (*_LORA, _HALF),
    ("ViT, LoRA", "SplitFed v1"): (*_LORA, _cut("splitfed_v1", 2)),
    ("ViT, LoRA", "SplitFed v2"): (*_LORA, _cut("splitfed_v2", 2)),
    ("ViT, LoRA", "sequential"): (*_LORA, _cut("sequential", 2)),
    ("ViT, LoRA", "SplitFed v2, UE side frozen"): (*_LORA, _cut("splitfed_v2", 2, ", ue_side: frozen")),
    ("ResNet", "FedAvg"): (*_RESNET, _HALF),
    ("ResNet", "SplitFed v1"): (*_RESNET, _cut("splitfed_v1", 1)),
    ("ResNet", "SplitFed v2"): (*_RESNET, _cut("splitfed_v2", 1)),
    ("ResNet", "sequential"): (*_RESNET, _cut("sequential", 1)),
    ("ResNet", "FedGKT"): (
        *_RESNET, _HALF, "learning.algorithm.learning_rate=3e-4", "learning.gkt={}",
    ),
}  # fmt: skip
"""What differs from ``quickstart``, by network and method."""


@dataclass(frozen=True)
class Cost:
    """What one method took until the target.

    Attributes:
        rounds: until the target; NaN where it was not reached, and all else is of ``MOST_ROUNDS`` rounds.
        ue_memory_bytes: of training on a UE; the rest of the average UE, all rounds together.
    """

    network: str
    method: str
    rounds: float
    accuracy: float
    virtual_time_s: float
    ue_flops: float
    ue_memory_bytes: float
    uplink_bytes: float
    downlink_bytes: float
    ue_energy_j: float


COLUMNS: Mapping[str, tuple[str, float]] = {
    "virtual_time_s": ("virtual time, s", 1.0),
    "ue_flops": ("UE compute, GFLOPs", 1e9),
    "ue_memory_bytes": ("UE memory, MB", 1e6),
    "uplink_bytes": ("up, MB per UE", 1e6),
    "downlink_bytes": ("down, MB per UE", 1e6),
    "ue_energy_j": ("energy, J per UE", 1.0),
}
"""The costs that are shown, their headings and units."""


def measure_cost(network: str, method: str, seed: int = SEED, overrides: Sequence[str] = ()) -> Cost:
    """Run a method until the target; ``overrides`` change the scenario further."""
    from ran.learning.federation import FederationState
    from scenarios.load import load
    from scenarios.run import build_federation, round_of

    common = (f"seed={seed}", "learning.central=skip")
    federation = build_federation(load("quickstart", [*common, *WAYS[network, method], *overrides]))
    state, results = FederationState.start(federation), list[Any]()
    while len(results) < MOST_ROUNDS and not (results and results[-1].record.test_accuracy >= TARGET):
        results.append(round_of(federation)(federation, state))
    records, ues = [result.record for result in results], len(federation.learner.num_samples)
    flops = [event["flops"] for result in results for event in result.events if "flops" in event]
    spent_j = sum(each.ue_transmit_energy_j + each.ue_receive_energy_j + each.ue_compute_energy_j for each in records)
    return Cost(
        network=network,
        method=method,
        rounds=len(records) if records[-1].test_accuracy >= TARGET else math.nan,
        accuracy=records[-1].test_accuracy,
        virtual_time_s=records[-1].end_s,
        ue_flops=sum(flops) / ues,
        ue_memory_bytes=ue_memory_bytes(federation),
        uplink_bytes=sum(each.uplink_payload_bytes for each in records) / ues,
        downlink_bytes=sum(each.downlink_payload_bytes for each in records) / ues,
        ue_energy_j=spent_j / ues,
    )


def ue_memory_bytes(federation: Federation) -> int:
    """Return the memory that a UE's training takes: of the whole model, its side of a cut, or its edge network."""
    cut, batch = federation.cut_model, federation.algorithm.batch_size
    if cut:
        return cut.counts["ue"].memory_bytes(batch * (1 + cut.split.ahead))
    return (federation.gkt or federation.learner).training_bytes()


def compare(write: Callable[[str], object], out: Path) -> None:
    """Run every method and write the table; to ``out`` the same as CSV and the figure."""
    out.mkdir(parents=True, exist_ok=True)
    costs = list[Cost]()
    for network, method in WAYS:
        costs.append(measure_cost(network, method))
        write(f"{network}, {method}: {costs[-1].accuracy:.1%} after {costs[-1].virtual_time_s:.1f} s of virtual time")
        write_table(out / "split_costs.csv", [asdict(cost) for cost in costs])
    for line in table(costs):
        write(line)
    draw(costs, out / "split_costs.png")
    write(str(out / "split_costs.png"))


def table(costs: Sequence[Cost]) -> list[str]:
    """Return the costs as lines of a table."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"Until {TARGET:.0%} of the test digits are classified rightly", box=SIMPLE)
    for heading in ("network", "method"):
        shown.add_column(heading, no_wrap=True)
    for heading in ("rounds", "accuracy, %", *(heading for heading, _ in COLUMNS.values())):
        shown.add_column(heading, justify="right")
    for cost in costs:
        rounds = f"> {MOST_ROUNDS}" if math.isnan(cost.rounds) else f"{cost.rounds:.0f}"
        values = [f"{getattr(cost, name) / unit:.3g}" for name, (_, unit) in COLUMNS.items()]
        shown.add_row(cost.network, cost.method, rounds, f"{100 * cost.accuracy:.1f}", *values)
    text = io.StringIO()
    Console(file=text, width=160).print(shown)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]


def draw(costs: Sequence[Cost], path: Path) -> None:
    """Draw a panel of points for each cost, the networks in colours; what missed the target is hollow."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    from ran.metrics.figure_style import CATEGORIES, save, styled

    networks = list(dict.fromkeys(cost.network for cost in costs))
    colors = dict(zip(networks, (CATEGORIES[8], CATEGORIES[0], CATEGORIES[2]), strict=False))
    with styled():
        figure = Figure(figsize=(13, 0.5 + 0.62 * len(costs)))
        panels = figure.subplots(2, 3, sharey=True)
        for axes, name in zip(panels.flat, COLUMNS, strict=True):
            _points(axes, costs, name, colors)
        panels[0, 0].invert_yaxis()
        patches = [Patch(color=colors[network], label=network) for network in networks]
        figure.legend(handles=patches, loc="outside lower center", ncols=len(patches))
        figure.suptitle(f"What a UE spends until {TARGET:.0%} test accuracy, digits, 8 UEs; hollow: not reached")
        save(figure, path, 130)


def _points(axes: Axes, costs: Sequence[Cost], name: str, colors: Mapping[str, str]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    heading, unit = COLUMNS[name]
    for place, cost in enumerate(costs):
        value, color = getattr(cost, name) / unit, colors[cost.network]
        face = "white" if math.isnan(cost.rounds) else color
        if value > 0:
            axes.plot(value, place, "o", color=color, markerfacecolor=face, markersize=7)
        else:
            axes.annotate(
                "none", (0.02, place), xycoords=("axes fraction", "data"), color=color, va="center", fontsize=8
            )
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(heading)
    axes.set_yticks(range(len(costs)), [cost.method for cost in costs], fontsize=8)
