"""A picture of Handover: ground, cells, UEs, links, rates and loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agents.envs.handover import Handover, HandoverState

_COLOURS = tuple(f"tab:{name}" for name in ("blue", "orange", "green", "red", "purple", "brown", "pink", "olive"))


def draw(environment: Handover, state: HandoverState, replica: int, figure: Figure) -> None:
    """Draw one replica: left the ground, right what UEs got and cells had to do."""
    ground, right = figure.subplots(1, 2, width_ratios=(1.1, 1))
    _ground(environment, state, replica, ground)
    grid = right.get_subplotspec().subgridspec(2, 1)
    right.remove()
    _rates(environment, state, replica, figure.add_subplot(grid[0]))
    _loads(environment, state, replica, figure.add_subplot(grid[1]))


def _colour(environment: Handover, cell: int) -> str:
    return _COLOURS[int(environment.air().carrier[cell]) % len(_COLOURS)]


def _ground(environment: Handover, state: HandoverState, replica: int, axes: Axes) -> None:
    around = environment.air()
    heard = around.map
    best_db = 10 * np.log10(np.maximum(heard.snr[state.world[replica]].max(axis=-1), 1e-9))
    low, high = heard.origin_m - heard.spacing_m / 2, heard.origin_m + heard.size_m + heard.spacing_m / 2
    image = axes.imshow(
        best_db, origin="lower", extent=(low[0], high[0], low[1], high[1]), cmap="Greys_r", alpha=0.5, vmin=0, vmax=80
    )
    axes.figure.colorbar(image, ax=axes, label="SNR of the strongest cell (dB)")
    position_m = state.position_m[replica]
    for ue in np.flatnonzero(state.there[replica]):
        cell = int(state.cell[replica, ue])
        ends = np.stack([position_m[ue], heard.cell_position_m[cell]])
        axes.plot(*ends.T, color=_colour(environment, cell), lw=1.2, zorder=2)
        axes.plot(*position_m[ue], "o", color="white", mec="black", ms=9, zorder=3)
        axes.text(position_m[ue, 0], position_m[ue, 1], str(ue), ha="center", va="center", fontsize=6, zorder=4)
    for cell, place_m in enumerate(heard.cell_position_m):
        axes.plot(*place_m, "^", color=_colour(environment, cell), mec="black", ms=11, zorder=3)
        axes.annotate(f"{cell + 1}", place_m, (6, 6), textcoords="offset points", fontsize=8, weight="bold")
    axes.set(xlabel="x (m)", ylabel="y (m)", title=f"Handover, step {state.step[replica]} (colour: carrier)")


def _rates(environment: Handover, state: HandoverState, replica: int, axes: Axes) -> None:
    ues = np.arange(environment.ues)
    axes.bar(ues, state.rate[replica] / 1e6, color=[_colour(environment, int(cell)) for cell in state.cell[replica]])
    axes.axhspan(environment.adequate_bit_s / 1e6, environment.desired_bit_s / 1e6, color="tab:green", alpha=0.15, lw=0)
    axes.set(
        yscale="log", ylim=(0.05, 100), xlim=(-0.6, environment.ues - 0.4), xlabel="UE (shaded: adequate to desired)",
        ylabel="rate (Mbit/s)",
    )  # fmt: skip


def _loads(environment: Handover, state: HandoverState, replica: int, axes: Axes) -> None:
    cells = np.arange(environment.num_cells)
    axes.bar(cells + 1, state.load[replica], color=[_colour(environment, int(cell)) for cell in cells])
    axes.set(xlabel="cell", ylabel="UEs served", ylim=(0, environment.ues), xticks=cells + 1)
