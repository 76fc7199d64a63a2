"""Pictures of a network's indicators, each into one pair of axes, from its files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ran.metrics.figure_style import CATEGORIES, CENTRAL, DOWNLINK, FAINT, SEQUENTIAL, UPLINK, fitting, say_empty
from ran.metrics.kpis import CELL_EDGE_PERCENT, cumulative

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ran.metrics.kpis import Direction, Kpis, NetworkKpis

_COLOUR = {"downlink": DOWNLINK, "uplink": UPLINK}
_LEAST_RATE_BIT_S = 1e3
_PLACE = ["x_m", "y_m", "cell_x_m", "cell_y_m"]


def draw_network(network: NetworkKpis, ues: pd.DataFrame, title: str) -> Figure:
    """Return the figure of a network: SE, delay, load of the cells, and where which rate was had.

    Args:
        network: the indicators.
        ues: rows of ``network_ues.parquet``.
        title: its headline.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 7.6))
    figure.set_layout_engine("constrained", rect=(0.0, 0.0, 1.0, 0.95))
    figure.text(0.012, 0.965, title, fontsize=13, fontweight="bold")
    axes = figure.subplots(2, 3)
    user_se_cdf(axes[0, 0], *network.directions)
    delay_cdf(axes[0, 1], *network.directions)
    rate_map(axes[0, 2], network, ues, "downlink")
    cell_se_bars(axes[1, 0], *network.directions)
    prb_bars(axes[1, 1], *network.directions)
    rate_map(axes[1, 2], network, ues, "uplink")
    return figure


def user_se_cdf(axes: Axes, *directions: Kpis) -> None:
    """Draw the distribution of spectral efficiency over UEs, its 5th percentile marked."""
    axes.set_title("User spectral efficiency")
    for kpis in directions:
        values = np.sort(kpis.user_se_bit_s_hz)
        share = 100.0 * np.arange(1, len(values) + 1) / len(values)
        edge, colour = kpis.cell_edge_se_bit_s_hz, _COLOUR[kpis.direction]
        label = f"{kpis.direction}, 5th percentile {edge:.4f} bit/s/Hz"
        axes.step(values, share, where="post", color=colour, label=label)
        axes.plot([edge], [CELL_EDGE_PERCENT], "o", color=colour)
    axes.axhline(CELL_EDGE_PERCENT, color=FAINT, linestyle=":", linewidth=1.0)
    axes.set_xlim(left=0.0)
    axes.set_ylim(0.0, 100.0)
    axes.set_xlabel("spectral efficiency (bit/s/Hz)")
    axes.set_ylabel("UEs at or below (%)")
    axes.legend(loc="lower right")


def delay_cdf(axes: Axes, *directions: Kpis) -> None:
    """Draw the distribution of packet delay of every slice that delivered packets; uplinks are dashed."""
    axes.set_title("Packet delay")
    shown = [(way, place, part) for way in directions for place, part in enumerate(way.slices) if part.delivered]
    if not shown:
        return say_empty(axes, "no packet delivered")
    for way, place, part in shown:
        edges, reached = cumulative(part.histogram, part.delay_max_s)
        first, last = np.flatnonzero(part.histogram)[[0, -1]]
        # A logarithmic axis has no 0, so delays below 0.1 ms are drawn at 0.1 ms.
        x_ms = 1e3 * np.maximum(np.minimum(edges[first : last + 2], part.delay_max_s), edges[1])
        axes.plot(
            x_ms,
            100.0 * reached[first : last + 2] / reached[-1],
            color=CATEGORIES[place % len(CATEGORIES)],
            linestyle="-" if way.direction == "downlink" else "--",
            label=part.name if len(directions) == 1 else f"{part.name}, {way.direction}",
        )
    axes.set_xscale("log")
    axes.set_ylim(0.0, 100.0)
    axes.set_xlabel("delay from arrival to delivery (ms)")
    axes.set_ylabel("packets at or below (%)")
    axes.legend(loc="lower right")


def cell_se_bars(axes: Axes, *directions: Kpis) -> None:
    """Draw every cell's spectral efficiency and its mean over cells."""
    axes.set_title("Cell spectral efficiency")
    _bars(axes, [(kpis, kpis.cell_se_bit_s_hz) for kpis in directions], "{:.3f} bit/s/Hz")
    axes.set_ylabel("spectral efficiency (bit/s/Hz)")


def prb_bars(axes: Axes, *directions: Kpis) -> None:
    """Draw the share of every cell's PRBs that was used, and its mean over cells."""
    axes.set_title("PRB utilisation")
    _bars(axes, [(kpis, 100.0 * kpis.prb_utilisation) for kpis in directions], "{:.1f} %")
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("PRBs used (%)")


def _bars(axes: Axes, series: list[tuple[Kpis, np.ndarray]], text: str) -> None:
    from matplotlib.ticker import MaxNLocator

    width = 0.8 / len(series)
    for place, (kpis, values) in enumerate(series):
        centre = np.arange(len(values)) + width * (place - (len(series) - 1) / 2)
        axes.bar(centre, values, width=width, color=_COLOUR[kpis.direction])
        label = f"{kpis.direction}, mean {text.format(values.mean())}"
        axes.axhline(values.mean(), color=_COLOUR[kpis.direction], linestyle="--", linewidth=1.2, label=label)
    axes.set_xlim(-0.7, len(series[0][1]) - 0.3)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis="x", visible=False)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.13 * len(series) * (high - low))
    axes.set_xlabel("cell")
    axes.legend(loc="upper left")


def rate_map(axes: Axes, network: NetworkKpis, ues: pd.DataFrame, direction: Direction) -> None:
    """Draw cells and UEs at the end, with lines to the cells that serve them, coloured by rate (all slices)."""
    from matplotlib.collections import LineCollection
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_title(f"{direction.capitalize()} rate")
    rows = ues[ues["direction"] == direction]
    if rows.empty:
        return say_empty(axes, f"no {direction} traffic")
    seen = rows.groupby("ue").agg(dict.fromkeys(_PLACE, "first") | {"rate_bit_s": "sum"})
    links_m = seen[_PLACE].to_numpy().reshape(-1, 2, 2)  # [num_ues, UE and cell, x and y]
    axes.add_collection(LineCollection(list(links_m), colors="#D9D9D9", linewidths=0.7, zorder=1))
    largest = max(float(seen["rate_bit_s"].max()), 10 * _LEAST_RATE_BIT_S)
    rate, unit = fitting(np.append(seen["rate_bit_s"].clip(lower=_LEAST_RATE_BIT_S), largest), "bit/s")
    norm = LogNorm(rate[:-1].min(), max(rate[-1], 1.01 * rate[:-1].min()))
    dots = axes.scatter(
        links_m[:, 0, 0], links_m[:, 0, 1], c=rate[:-1], cmap=SEQUENTIAL, norm=norm, s=14, linewidth=0, zorder=3
    )
    axes.scatter(
        network.cells_m[:, 0],
        network.cells_m[:, 1],
        marker="^",
        s=60,
        color=CENTRAL,
        edgecolor="white",
        zorder=4,
        label="gNB",
    )
    bar = axes.figure.colorbar(dots, ax=axes, pad=0.01)
    bar.set_label(f"rate ({unit})")
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.05)
    axes.set_xlabel("east (m)")
    axes.set_ylabel("north (m)")
    axes.legend(loc="upper right")
