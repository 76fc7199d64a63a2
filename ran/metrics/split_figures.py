"""The panels of a run whose model is cut: what happened when, and where a batch's time and bytes go."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ran.metrics.figure_style import CATEGORIES, CENTRAL, COMPUTE, DOWNLINK, FAINT, UPLINK, fitting, say_empty
from ran.metrics.figures import MOST_UES, NO_ROUND

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from ran.metrics.results import Results

MOST_BATCHES = 6
"""Batches of each UE that the timeline shows; more cannot be told apart."""

_BACKHAUL = CATEGORIES[0]
_LANES = {"uplink": (-0.29, UPLINK), "ue": (0.0, COMPUTE), "downlink": (0.29, DOWNLINK)}
_PHASES = {
    "UE": ("ue_compute_s", COMPUTE), "uplink": ("uplink_s", UPLINK), "server": ("server_compute_s", CENTRAL),
    "backhaul": ("backhaul_s", _BACKHAUL), "downlink": ("downlink_s", DOWNLINK), "waiting": ("waiting_s", FAINT),
}  # fmt: skip


def batch_timeline(axes: Axes, results: Results) -> None:
    """Draw the first batches of the last round: a row for every UE with its two links, and one for every server."""
    if results.timeline.empty:
        axes.set_title("One round, batch by batch")
        return say_empty(axes, NO_ROUND)
    last = int(results.rounds["round"].iloc[-1])
    rows = results.timeline[results.timeline["round"] == last]
    ues = sorted(rows["ue"].unique())[:MOST_UES]
    begun_s = float(results.rounds["start_s"].iloc[-1])
    shown = rows[rows["ue"].isin(ues) & rows["batch"].between(0, MOST_BATCHES - 1)]
    until_s = float(shown["end_s"].max()) if len(shown) else float(rows["end_s"].max())
    shown = rows[rows["ue"].isin(ues) & (rows["start_s"] < until_s)]
    few = "" if rows["batch"].max() < MOST_BATCHES else f", first {MOST_BATCHES} batches"
    axes.set_title(f"Round {last}, batch by batch{few}")
    (scale, *_), unit = fitting([until_s - begun_s], "s")
    per_s = scale / (until_s - begun_s)
    servers = [place for place in ("gnb", "cloud") if (shown["place"] == place).any()]
    names = {"uplink": "uplink, with its wait", "ue": "UE computes", "downlink": "downlink, with its wait"}
    for place, (offset, colour) in _LANES.items():
        part = shown[shown["place"] == place]
        _bars(axes, part, [ues.index(ue) + offset for ue in part["ue"]], 0.27, colour, begun_s, per_s, names[place])
    for number, place in enumerate(servers):
        part = shown[shown["place"] == place]
        label = "server computes" if not number else ""
        _bars(axes, part, [len(ues) + number] * len(part), 0.7, CENTRAL, begun_s, per_s, label)
    labels = [*(f"UE {ue}" for ue in ues), *({"gnb": "gNB", "cloud": "cloud"}[place] for place in servers)]
    axes.set_yticks(range(len(labels)), labels)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set_xlim(0.0, scale)
    axes.set_xlabel(f"virtual time since the round began ({unit})")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _bars(
    axes: Axes, rows: pd.DataFrame, places: list[float], height: float, colour: str, begun_s: float, per_s: float,
    label: str,
) -> None:  # fmt: skip
    """Draw activities at their places; an outline keeps even the shortest visible."""
    begin, end = (per_s * (rows[column].to_numpy() - begun_s) for column in ("start_s", "end_s"))
    # White between bars of one lane, unless they are too short to spare it.
    wide = end - begin > 0.01 * per_s * (rows["end_s"].max() - begun_s) if len(rows) else begin
    edges = np.where(wide, "white", colour)
    axes.barh(places, end - begin, left=begin, height=height, color=colour, edgecolor=edges, linewidth=0.6, label=label)


def time_per_batch(axes: Axes, results: Results) -> None:
    """Draw where the mean batch of every UE spends its time, over the whole run."""
    axes.set_title("Where a batch's time goes")
    back = results.batches[results.batches["is_back"].astype(bool)]
    if back.empty:
        return say_empty(axes, NO_ROUND)
    names = [name for name, (column, _) in _PHASES.items() if back[column].any()]
    mean = back.groupby("ue")[[_PHASES[name][0] for name in names]].mean().head(MOST_UES)
    parts, unit = fitting(mean.to_numpy().T, "s")  # [num_phases, num_ues]
    _stacked(axes, mean.index, parts, names, [_PHASES[name][1] for name in names])
    axes.set_ylabel(f"mean time of a batch ({unit})")


def bytes_per_batch(axes: Axes, results: Results) -> None:
    """Draw what the mean batch of every UE sends up and gets down: tensors' numbers, and all that goes with them."""
    axes.set_title("Bytes of a batch, up and down")
    if results.batches.empty:
        return say_empty(axes, NO_ROUND)
    columns = [f"{way}_{kind}_bytes" for way in ("uplink", "downlink") for kind in ("value", "payload")]
    mean = results.batches.groupby("ue")[columns].mean().head(MOST_UES)
    up, up_all, down, down_all = mean.to_numpy().T
    parts, unit = fitting(np.stack([up, up_all - up, down, down_all - down]), "B")
    names = ["up, numbers", "up, rest", "down, numbers", "down, rest"]
    _stacked(axes, mean.index, parts, names, [UPLINK, "#99D8C7", DOWNLINK, "#9CC7E4"])
    axes.set_ylabel(f"mean payload of a batch ({unit})")


def server_utilisation(axes: Axes, results: Results) -> None:
    """Draw the share of every round in which the servers computed."""
    from matplotlib.ticker import MaxNLocator

    axes.set_title("Servers at work")
    rounds = results.rounds
    if rounds.empty:
        return say_empty(axes, NO_ROUND)
    for name, colour, text in (("gnb", CENTRAL, "gNB"), ("cloud", _BACKHAUL, "cloud")):
        busy = 100 * rounds[f"{name}_utilisation"]
        if busy.notna().any():
            axes.plot(rounds["round"], busy, color=colour, marker="o" if len(rounds) <= 40 else "", label=text)
    top = rounds[["gnb_utilisation", "cloud_utilisation"]].max().max()
    axes.set_ylim(0.0, 125 * top if top > 0 else 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.set_xlabel("round")
    axes.set_ylabel("time at work (%)")
    axes.legend(loc="best")


def _stacked(axes: Axes, ues: pd.Index, parts: np.ndarray, names: list[str], colours: list[str]) -> None:
    place, base = np.arange(len(ues)), np.zeros(len(ues))
    for values, name, colour in zip(parts, names, colours, strict=True):
        axes.bar(place, values, bottom=base, width=0.75, color=colour, label=name)
        base = base + values
    axes.set_xticks(place, [str(ue) for ue in ues])
    axes.grid(axis="x", visible=False)
    axes.set_xlabel("UE")
    columns = min(3, len(names))
    axes.set_ylim(0.0, (1.08 + 0.13 * -(-len(names) // columns)) * float(base.max()) or 1.0)
    axes.legend(loc="upper left", ncols=columns, columnspacing=1.0, borderaxespad=0.1)
