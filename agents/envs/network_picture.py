"""Where the UEs of a driven network stand and who serves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from agents.driven import Driven

COLOURS = colormaps["tab20"](np.array([*range(1, 20, 2), *range(0, 20, 2)]))[:, :3]
"""Of the UEs, light ones first."""


def draw_places(axes: Axes, driven: Driven, replica: int) -> None:
    """Draw cells, UEs in their colours, and a line to the cell that serves each, as strong as its gain."""
    network, state = driven.network, driven.state
    index = network.world.channel.interval(driven.now_s)[0]
    snapshot = network.snapshot(state, index)
    ues, cells = snapshot.ue_position_m[replica], snapshot.cell_position_m
    serving = state.serving_cell[replica]
    gain_db = 10 * np.log10(snapshot.path_gain[replica][np.arange(len(ues)), serving])
    for u, (place, cell) in enumerate(zip(ues, serving, strict=True)):
        end = cells[cell]
        axes.plot([place[0], end[0]], [place[1], end[1]], color="gray", lw=0.8, zorder=1)
        axes.scatter(place[0], place[1], s=130, color=COLOURS[u % len(COLOURS)], edgecolors="black", zorder=2)
        axes.text(place[0], place[1], str(u), ha="center", va="center", fontsize=8, zorder=3)
        axes.annotate(
            f"{gain_db[u]:.0f} dB", place[:2], xytext=(8, -9), textcoords="offset points", fontsize=7, color="dimgray"
        )
    axes.scatter(cells[:, 0], cells[:, 1], marker="^", s=110, color="black", zorder=4)
    axes.set(xlabel="x (m)", ylabel="y (m)", title="cells, UEs, path gain")
    axes.set_aspect("equal", adjustable="datalim")
