"""The panels of a run's figures: each draws one question's answer into one pair of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ran.metrics.figure_style import (
    CATEGORIES,
    CENTRAL,
    COMPUTE,
    DOWNLINK,
    FAINT,
    INK,
    SEQUENTIAL,
    UPLINK,
    fitting,
    say_empty,
)
from ran.metrics.text import percent

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from numpy.typing import NDArray

    from ran.metrics.results import Results

NO_ROUND = "no complete round yet"
# More UEs than this in one panel cannot be told apart; the panel then shows some, and says which.
MOST_UES = 20


def accuracy_over_time(axes: Axes, results: Results) -> None:
    """Draw test accuracy over virtual time."""
    _accuracy(axes, results, results.rounds["end_s"].to_numpy(), "virtual time (s)")
    axes.set_title("Accuracy over virtual time")


def accuracy_over_energy(axes: Axes, results: Results) -> None:
    """Draw test accuracy over the energy that the mean UE has spent."""
    rounds = results.rounds
    spent_j = rounds["ue_transmit_energy_j"] + rounds["ue_receive_energy_j"] + rounds["ue_compute_energy_j"]
    per_ue_j, unit = fitting(spent_j.cumsum() / results.summary["ues"], "J")
    _accuracy(axes, results, per_ue_j, f"energy spent per UE ({unit})")
    axes.set_title("Accuracy over energy")


def _accuracy(axes: Axes, results: Results, cost: NDArray[np.float64], label: str) -> None:
    if results.rounds.empty:
        return say_empty(axes, NO_ROUND)
    summary = results.summary
    reached = 100 * np.append(summary["zero_shot_accuracy"], results.rounds["test_accuracy"])
    for key, colour, style, name in (
        ("central_accuracy", CENTRAL, "--", "central"),
        ("zero_shot_accuracy", FAINT, ":", "zero-shot"),
    ):
        if np.isfinite(summary[key]):
            axes.axhline(100 * summary[key], color=colour, linestyle=style, label=f"{name} {percent(summary[key])}")
    name = f"federated {percent(summary['final_accuracy'])}"
    axes.plot(np.append(0.0, cost), reached, color=DOWNLINK, marker=_marker(len(cost)), label=name)
    axes.set_xlabel(label)
    axes.set_ylabel("test accuracy (%)")
    axes.set_xlim(left=0.0)
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none", borderpad=0.2)


def time_per_round(axes: Axes, results: Results) -> None:
    """Draw where each round's virtual time goes."""
    axes.set_title("Where a round's time goes")
    if results.rounds.empty:
        return say_empty(axes, NO_ROUND)
    names = ("downlink", "compute", "uplink")
    parts, unit = fitting(np.stack([results.rounds[f"{name}_s"] for name in names]), "s")
    _stack_over_rounds(axes, results.rounds, parts, names, (DOWNLINK, COMPUTE, UPLINK))
    axes.set_ylabel(f"virtual time ({unit})")


def spectral_efficiency(axes: Axes, results: Results) -> None:
    """Draw delivered payload bits per second and hertz of the resource used, per round."""
    axes.set_title("Spectral efficiency of the payload")
    _two_ways(axes, results.rounds, "{}_se_bit_s_hz", 1.0)
    axes.set_ylabel("bit/s/Hz")


def block_error_rate(axes: Axes, results: Results) -> None:
    """Draw the share of first transmissions received in error, per round."""
    axes.set_title("Block error rate, first transmissions")
    _two_ways(axes, results.rounds, "{}_bler", 100.0)
    axes.set_ylabel("BLER (%)")


def bytes_per_round(axes: Axes, results: Results) -> None:
    """Draw payload, and what headers, padding and retransmissions add to it on the air, per round."""
    axes.set_title("Payload and what the air adds")
    rounds = results.rounds
    if rounds.empty:
        return say_empty(axes, NO_ROUND)
    parts = []
    for way in ("downlink", "uplink"):
        payload = rounds[f"{way}_payload_bytes"].to_numpy()
        parts += [payload, np.maximum(rounds[f"{way}_air_bits"].to_numpy() / 8 - payload, 0.0)]
    scaled, unit = fitting(np.stack(parts), "B")
    names = ("down, payload", "down, added", "up, payload", "up, added")
    _stack_over_rounds(axes, rounds, scaled, names, (DOWNLINK, "#9CC7E4", UPLINK, "#99D8C7"))
    axes.set_ylabel(f"bytes ({unit})")


def airtime_per_round(axes: Axes, results: Results) -> None:
    """Draw the time in which anything was on the air, per round."""
    axes.set_title("Air time")
    if results.rounds.empty:
        return say_empty(axes, NO_ROUND)
    names = ("downlink", "uplink")
    parts, unit = fitting(np.stack([results.rounds[f"{name}_airtime_s"] for name in names]), "s")
    _stack_over_rounds(axes, results.rounds, parts, names, (DOWNLINK, UPLINK))
    axes.set_ylabel(f"air time ({unit})")


def map_of_ues(axes: Axes, results: Results) -> None:
    """Draw cells and the UEs' walks, coloured by downlink SINR."""
    from matplotlib.patheffects import withStroke

    axes.set_title("UE walks, SINR (dB)")
    ues = results.ues
    cells_m = np.reshape(np.asarray(results.start.get("cells_m", []), dtype=np.float64), (-1, 2))
    if ues.empty:
        return say_empty(axes, NO_ROUND)
    axes.scatter(
        cells_m[:, 0], cells_m[:, 1], marker="^", s=90, color=CENTRAL, edgecolor="white", zorder=4, label="gNB"
    )
    sinr_db = ues["downlink_sinr_db"].to_numpy()
    known = np.isfinite(sinr_db)
    dots = axes.scatter(
        ues["x_m"][known], ues["y_m"][known], c=sinr_db[known], cmap=SEQUENTIAL, s=16, linewidth=0, zorder=3
    )
    halo = withStroke(linewidth=2.5, foreground="white")
    for ue, walk in ues.groupby("ue"):
        axes.plot(walk["x_m"], walk["y_m"], color="#CFCFCF", linewidth=1.0, zorder=2)
        if ues["ue"].nunique() <= MOST_UES:
            end_m = (walk["x_m"].iloc[-1], walk["y_m"].iloc[-1])
            label = axes.annotate(str(ue), end_m, xytext=(4, 4), textcoords="offset points", fontsize=9, color=INK)
            label.set_path_effects([halo])
    if known.any():
        _colour_bar(axes, dots)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.12)
    axes.set_xlabel("east (m)")
    axes.set_ylabel("north (m)")
    if len(cells_m):
        axes.legend(loc="best")


def timeline(axes: Axes, results: Results) -> None:
    """Draw what each UE does during the last round: download, training, upload with its wait for the air."""
    if results.rounds.empty:
        axes.set_title("One round, UE by UE")
        return say_empty(axes, NO_ROUND)
    last = results.rounds.iloc[-1]
    rows = results.ues[results.ues["round"] == last["round"]].sort_values("uplink_done_s", kind="stable")
    shown = rows.tail(MOST_UES)
    axes.set_title(f"Round {int(last['round'])}, UE by UE{_selection(len(shown), len(rows), 'slowest')}")
    moments = np.stack(
        [
            np.full(len(shown), last["start_s"]),
            shown["downlink_done_s"],
            shown["compute_done_s"],
            shown["uplink_done_s"],
        ]
    )  # [4, num_ues]
    moments, unit = fitting(moments - last["start_s"], "s")
    place = np.arange(len(shown))
    for part, (name, colour) in enumerate((("download", DOWNLINK), ("training", COMPUTE), ("upload", UPLINK))):
        known = np.isfinite(moments[part + 1])
        begin, end = moments[part][known], moments[part + 1][known]
        axes.barh(place[known], end - begin, left=begin, height=0.7, color=colour, label=name)
    axes.set_yticks(place, shown["ue"].astype(str), fontsize=_label_size(len(shown)))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(f"virtual time since the round began ({unit})")
    axes.set_ylabel("UE")
    _legend_above(axes, 3)


def energy_per_ue(axes: Axes, results: Results) -> None:
    """Draw each UE's energy over the whole run."""
    if results.ues.empty:
        axes.set_title("Energy per UE")
        return say_empty(axes, NO_ROUND)
    names = ("transmit", "receive", "compute")
    spent = results.ues.groupby("ue")[[f"{name}_energy_j" for name in names]].sum()
    shown = spent.loc[spent.sum(axis=1).sort_values(kind="stable").index[-MOST_UES:]].sort_index()
    axes.set_title(f"Energy per UE{_selection(len(shown), len(spent), 'largest')}")
    parts, unit = fitting(shown.to_numpy().T, "J")
    _stack_over_ues(axes, list(shown.index), parts, names, (UPLINK, DOWNLINK, COMPUTE))
    axes.set_ylabel(f"energy ({unit})")


def partition(axes: Axes, results: Results) -> None:
    """Draw how many samples of each label every UE holds; of data without labels, how many at all."""
    counts = np.asarray(results.start.get("partition", []), dtype=np.float64)
    if counts.ndim != 2 or not counts.size:
        axes.set_title("Training samples")
        return say_empty(axes, "partition not recorded")
    num_ues, num_labels = counts.shape
    labels = [str(name) for name in results.start.get("class_names", range(num_labels))] or [""]
    by_label = "" if num_labels == 1 else " by label" if num_labels <= len(CATEGORIES) else f", {num_labels} labels"
    axes.set_title(f"Training samples{by_label}")
    # Names with an underscore stay out of matplotlib's legend: more labels than colours cannot be told apart anyway.
    names = labels if by_label == " by label" else [f"_{name}" for name in labels]
    colours = _categories(num_labels) if num_labels > 1 else [DOWNLINK]
    if num_ues <= MOST_UES:
        _stack_over_ues(axes, range(num_ues), counts.T, names, colours)
    else:
        _stack_sorted(axes, counts.T, names, colours)
    axes.set_ylabel("samples")


def _categories(number: int) -> Sequence[object]:
    if number <= len(CATEGORIES):
        return CATEGORIES[:number]
    from matplotlib import colormaps

    return list(colormaps[SEQUENTIAL](np.linspace(0.0, 1.0, number)))


def _two_ways(axes: Axes, rounds: pd.DataFrame, column: str, scale: float) -> None:
    if rounds.empty:
        return say_empty(axes, NO_ROUND)
    for way, colour in (("downlink", DOWNLINK), ("uplink", UPLINK)):
        values = scale * rounds[column.format(way)]
        axes.plot(rounds["round"], values, color=colour, marker=_marker(len(rounds)), label=way)
    axes.set_ylim(bottom=0.0)
    _round_axis(axes, rounds)
    _legend_above(axes, 2)


def _stack_over_rounds(
    axes: Axes, rounds: pd.DataFrame, parts: NDArray[np.float64], names: Sequence[str], colours: Sequence[object]
) -> None:
    """Stack parts [num_parts, num_rounds]; steps, not bars, so that a thousand rounds draw as fast as ten."""
    edges = np.append(rounds["round"] - 0.5, rounds["round"].iloc[-1] + 0.5)
    base = np.zeros(len(rounds))
    for values, name, colour in zip(parts, names, colours, strict=True):
        axes.stairs(base + values, edges, baseline=base, fill=True, color=colour, label=name)
        base = base + values
    _round_axis(axes, rounds)
    _legend_above(axes, len(names))


def _stack_over_ues(
    axes: Axes, ues: Sequence[int], parts: NDArray[np.float64], names: Sequence[str], colours: Sequence[object]
) -> None:
    """Stack parts [num_parts, num_ues], one bar per UE."""
    place = np.arange(len(ues))
    base = np.zeros(len(ues))
    for values, name, colour in zip(parts, names, colours, strict=True):
        axes.bar(place, values, bottom=base, width=0.75, color=colour, label=name)
        base = base + values
    axes.set_xticks(place, [str(ue) for ue in ues], fontsize=_label_size(len(ues)))
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("UE")
    _legend_above(axes, min(len(names), 5))


def _stack_sorted(axes: Axes, parts: NDArray[np.float64], names: Sequence[str], colours: Sequence[object]) -> None:
    """Stack parts [num_parts, num_ues] as steps, the largest UE first, so that ten thousand draw as fast as ten."""
    order = np.lexsort((parts.argmax(axis=0), -parts.sum(axis=0)))
    edges = np.arange(len(order) + 1) + 0.5
    base = np.zeros(len(order))
    for values, name, colour in zip(parts[:, order], names, colours, strict=True):
        axes.stairs(base + values, edges, baseline=base, fill=True, color=colour, label=name)
        base = base + values
    axes.set_xlim(edges[0], edges[-1])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel(f"all {len(order)} UEs, the largest first")
    _legend_above(axes, min(len(names), 5))


def _round_axis(axes: Axes, rounds: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(rounds["round"].iloc[0] - 0.5, rounds["round"].iloc[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel("round")


def _colour_bar(axes: Axes, drawn: ScalarMappable) -> None:
    """Put a slim colour bar beside the title, which names its quantity, so that it takes no room from the panel."""
    bar = axes.figure.colorbar(drawn, cax=axes.inset_axes((0.55, 1.03, 0.45, 0.025)), orientation="horizontal")
    bar.ax.xaxis.set_ticks_position("top")
    bar.ax.tick_params(labelsize=8, length=2, pad=1)
    bar.outline.set_visible(False)


def _legend_above(axes: Axes, columns: int) -> None:
    """Put the legend on top of the data, with room made for it, so that it hides nothing."""
    names = axes.get_legend_handles_labels()[1]
    if not names:
        return
    axes.legend(loc="upper left", ncols=columns, columnspacing=1.0, borderaxespad=0.1)
    low, high = axes.get_ylim()
    rows = -(-len(names) // columns)
    axes.set_ylim(low, high + 0.13 * rows * (high - low))


def _selection(shown: int, total: int, which: str) -> str:
    return "" if shown == total else f" ({which} {shown} of {total})"


def _label_size(ues: int) -> float:
    return 10.0 if ues <= 12 else 7.0


def _marker(points: int) -> str:
    return "o" if points <= 40 else ""
