"""What carries over to sizes that training never saw: ICGNN, its rivals, a log K feature, and a plain network.

All are trained on 2 to 8 streams and up to 16 antennas, Rayleigh fading, for the same number of steps, and asked for
M = K from 4 to 32 at 10 dB. A table, CSV and a figure; some ten minutes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import torch

from agents.gnn.draws import rayleigh
from agents.gnn.network import PrecodingNetwork, load
from agents.gnn.training import NETWORK, PrecoderTraining, rates, train_precoder
from channel.seeding import stream
from ran.phy.precoding import WMMSE, sum_rate
from ran.phy.precoding.streams import Streams
from ran.threads import torch_threads

SIZES = (4, 6, 8, 12, 16, 24, 32)
POWER = 10.0
RIVALS: dict[str, tuple[str, dict[str, int | bool]]] = {
    "ICGNN": ("icgnn", {}),
    "ICGNN with a log K feature": ("icgnn", {"log_count": True}),
    "unfolded WMMSE, 3 layers": ("unfolded_wmmse", {"layers": 3}),
    "bipartite GNN": ("bipartite", {}),
    "plain network of size 8": ("mlp", {"size": 8}),
}
_STEPS, _DRAWS = 1500, 100


def compare(write: Callable[[str], object], out: Path) -> None:
    """Train every rival, or take it from ``out`` where it is, and write sum rates over WMMSE's by size."""
    lines = {"RZF": _over_wmmse(None)}
    for label, (network, options) in RIVALS.items():
        task = PrecoderTraining(
            network=network, options=options, steps=_STEPS, streams=(2, 8), antennas=(2, 16), umi_share=0.0
        )
        with torch_threads(1):
            folder = out / label.replace(" ", "-").lower()
            path = folder / NETWORK
            lines[label] = _over_wmmse(load(path if path.exists() else train_precoder(task, folder, resume=True)))
        write(f"{label:28}" + "".join(f"{ratio:8.3f}" for ratio in lines[label]))
    with (out / "generalisation.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["precoder", *(f"{size}x{size}" for size in SIZES)])
        writer.writerows([label, *ratios] for label, ratios in lines.items())
    _draw(lines, out / "generalisation.png")


def _over_wmmse(network: PrecodingNetwork | None) -> list[float]:
    """Return mean sum rates over WMMSE's at SIZES; of RZF without a network."""
    ratios = []
    for size in SIZES:
        h = rayleigh(_DRAWS, size, size, stream(0, "generalisation", size))
        streams = Streams.of(h, 1.0, POWER)
        with torch.no_grad():
            rate = rates(streams, h, None if network is None else network(streams)[-1]).sum(-1).mean()
            ratios.append(float(rate / sum_rate(h, WMMSE().precode(h, 1.0, POWER), 1.0).mean()))
    return ratios


def _draw(lines: dict[str, list[float]], path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for label, ratios in lines.items():
        axes.plot(SIZES, ratios, marker="o", ms=4, label=label)
    axes.axvspan(SIZES[0], 8, color="0.92", label="sizes of the training")
    axes.axhline(1.0, color="0.4", lw=0.8)
    axes.set(xlabel="antennas = streams", ylabel="sum rate over WMMSE's", ylim=(0, 1.08), title="Rayleigh, 10 dB")
    axes.legend(fontsize=8)
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=130)
