"""Pictures of rounds: the cell with its links, who computed and sent when, and what the round came to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.radio import places
from ran.learning.participation.levels import LEVELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agents.envs.round_allocation import RoundAllocation, RoundState

_MARKERS = {"phone": "o", "laptop": "s", "vehicle": "^", "sensor": "v"}


def draw_round(environment: RoundAllocation, state: RoundState, replica: int, figure: Figure) -> None:
    """Draw the cell on the left, and the last round in time on the right."""
    cell, chart = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_cell(environment, state, replica, cell)
    _draw_time(environment, state, replica, chart)
    gain, latency, energy = state.spent[replica]
    level = LEVELS[int(state.level[replica])]
    figure.suptitle(
        f"RoundAllocation, after round {state.step[replica]}: accuracy {100 * state.accuracy[replica]:.1f} % "
        f"({100 * gain:+.1f}), {1e3 * latency:.0f} ms, {1e3 * energy:.3g} mJ, {level.compressor.name} "
        f"({level.bits:.3g} bit a parameter)",
        fontsize=9,
    )


def _draw_cell(environment: RoundAllocation, state: RoundState, replica: int, axes: Axes) -> None:
    spots = places(environment.scenario)
    sites = np.unique(np.round(spots.world.geometry.cell_position_m[:, :2], 3), axis=0)
    axes.scatter(sites[:, 0], sites[:, 1], marker="*", s=140, color="black", label="gNB", zorder=3)
    serving = spots.world.geometry.cell_position_m[np.argmax(spots.path_gain, axis=1), :2]
    for ue in np.flatnonzero(state.there[replica]).tolist():
        place = int(state.place[replica, ue])
        x, y = spots.position_m[place, :2]
        if state.chosen[replica, ue]:
            share = state.band_hz[replica, ue] / environment.bandwidth_hz
            axes.plot([x, serving[place, 0]], [y, serving[place, 1]], color="tab:blue", lw=1 + 6 * share, alpha=0.6)
        kind = environment.devices[int(state.device[replica, ue])].device_class
        colour = "tab:blue" if state.chosen[replica, ue] else "gray"
        axes.scatter(x, y, marker=_MARKERS[kind], s=25 + state.samples[replica, ue] / 4, color=colour, zorder=2)
        axes.annotate(str(ue), (x, y), textcoords="offset points", xytext=(6, 6), fontsize=8)
    for kind in dict.fromkeys(each.device_class for each in environment.devices):
        axes.scatter([], [], marker=_MARKERS[kind], color="gray", label=kind)
    axes.set(xlabel="x (m)", ylabel="y (m)", aspect="equal")
    axes.set_title("UEs: size by samples, link by bandwidth", fontsize=9)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)


def _draw_time(environment: RoundAllocation, state: RoundState, replica: int, axes: Axes) -> None:
    ues = np.arange(environment.ues)
    compute_ms, send_ms = (1e3 * each[replica] for each in (state.compute_s, state.send_s))
    axes.barh(ues, compute_ms, color="tab:orange", label="training")
    axes.barh(ues, send_ms, left=compute_ms, color="tab:blue", label="sending")
    for ue in np.flatnonzero(state.chosen[replica]).tolist():
        axes.annotate(
            f"{state.band_hz[replica, ue] / 1e3:.0f} kHz", (compute_ms[ue] + send_ms[ue], ue), fontsize=7, va="center",
            xytext=(3, 0), textcoords="offset points",
        )  # fmt: skip
    names = [
        f"{ue} {environment.devices[int(state.device[replica, ue])].device_class}, {state.samples[replica, ue]:.0f}"
        if state.there[replica, ue]
        else f"{ue} -"
        for ue in ues.tolist()
    ]
    axes.set_yticks(ues, names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, max(1.0, 1.2 * float((compute_ms + send_ms).max())))
    axes.set(xlabel="time in the last round (ms)")
    axes.set_title("UE, device, samples", fontsize=9)
    axes.legend(fontsize=7, loc="lower right")
