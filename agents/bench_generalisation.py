"""What carries over to sizes that training never saw: ICGNN, its rivals, a log K feature, and a plain network.

All are trained on 2 to 8 streams and up to 16 antennas, Rayleigh fading, for the same number of steps, and asked for
M = K from 4 to 64 at 10 dB. A table with the thread time of each training, CSV and a figure; some ten minutes.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from agents.gnn.draws import rayleigh
from agents.gnn.network import PrecodingNetwork, load
from agents.gnn.training import NETWORK, PrecoderTraining, rates, train_precoder
from channel.seeding import stream
from ran.phy.precoding import WMMSE, sum_rate
from ran.phy.precoding.streams import Streams
from ran.threads import torch_threads

SIZES = (4, 6, 8, 12, 16, 24, 32, 64)
POWER = 10.0
RIVALS: dict[str, tuple[str, dict[str, int | bool]]] = {
    "ICGNN": ("icgnn", {}),
    "ICGNN, log K feature": ("icgnn", {"log_count": True}),
    "unfolded WMMSE, 3 layers": ("unfolded_wmmse", {"layers": 3}),
    "GNN in one pass": ("direct", {}),
    "GNN in one pass, log K feature": ("direct", {"log_count": True}),
    "bipartite GNN": ("bipartite", {}),
    "MLP of fixed size 8": ("mlp", {"size": 8}),
}
_STEPS, _DRAWS = 1500, 100


def compare(write: Callable[[str], object], out: Path) -> None:
    """Train every rival, or take it from ``out`` where it is, and write sum rates over WMMSE's by size."""
    with torch_threads(1):
        best = [float(sum_rate(h, WMMSE().precode(h, 1.0, POWER), 1.0).mean()) for h in map(_channels, SIZES)]
        lines = {"RZF": _over(best, None)}
    write(f"{'sum rate over WMMSE at M = K =':32}" + "".join(f"{size:7}" for size in SIZES))
    write(f"{'RZF':32}" + "".join(f"{ratio:7.3f}" for ratio in lines["RZF"]))
    for label, (network, options) in RIVALS.items():
        task = PrecoderTraining(
            network=network, options=options, steps=_STEPS, streams=(2, 8), antennas=(2, 16), umi_share=0.0
        )
        folder = out / label.replace(" ", "-").replace(",", "").lower()
        trained, start_s = folder / NETWORK, time.thread_time()
        with torch_threads(1):
            said = "as found" if trained.exists() else ""
            ready = load(trained if said else train_precoder(task, folder, resume=True))
            said = said or f"trained in {time.thread_time() - start_s:.0f} s"
            lines[label] = _over(best, ready)
        write(f"{label:32}" + "".join(f"{ratio:7.3f}" for ratio in lines[label]) + f"   {said}")
    with (out / "generalisation.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["precoder", *(f"{size}x{size}" for size in SIZES)])
        writer.writerows([label, *ratios] for label, ratios in lines.items())
    _draw(lines, out / "generalisation.png")


def _over(best: list[float], network: PrecodingNetwork | None) -> list[float]:
    return [rate / most for rate, most in zip(_rates(network), best, strict=True)]


def _rates(network: PrecodingNetwork | None) -> list[float]:
    """Return mean sum rates at SIZES, bit/s/Hz; of RZF without a network."""
    found = []
    for size in SIZES:
        streams = Streams.of(_channels(size), 1.0, POWER)
        with torch.no_grad():
            rate = rates(streams, _channels(size), None if network is None else network(streams)[-1])
        found.append(float(rate.sum(-1).mean()))
    return found


def _channels(size: int) -> Tensor:
    return rayleigh(_DRAWS, size, size, stream(0, "generalisation", size))


def _draw(lines: dict[str, list[float]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), layout="constrained")
    whole, close = figure.subplots(1, 2)
    for axes, least in ((whole, 0.0), (close, 0.9)):
        axes.axvspan(SIZES[0] * 0.93, 8, color="0.92", label="sizes of the training")
        for label, ratios in lines.items():
            family = label.split(",")[0]
            colour = f"C{list(dict.fromkeys(each.split(',')[0] for each in lines)).index(family)}"
            axes.plot(SIZES, ratios, color=colour, ls="--" if "log K" in label else "-", marker="o", ms=4, label=label)
        axes.set_xscale("log", base=2)
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.minorticks_off()
        axes.axhline(1.0, color="0.4", lw=0.8)
        axes.grid(axis="y", alpha=0.3)
        axes.set(
            xlabel="antennas M = streams K",
            ylabel="mean sum rate over WMMSE's (1)",
            ylim=(least, 1.0 + (1 - least) / 20),
        )
    close.set_title("the same, from 0.9 on", fontsize=10)
    whole.set_title(f"Rayleigh, {10 * math.log10(POWER):.0f} dB, {_DRAWS} draws a point", fontsize=10)
    figure.legend(*whole.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=130)
