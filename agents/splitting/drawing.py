"""Pictures of split learning: the cell, and what each UE chose and what it took."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from agents.radio import places

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from agents.envs.split_point import SplitPoint, SplitState

_COLOURS = ("tab:green", "tab:blue", "tab:purple")


def draw_split(environment: SplitPoint, state: SplitState, replica: int, figure: Figure) -> None:
    """Draw the cell on the left; time, energy and choice of every UE on the right."""
    cell, chart = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_ues(environment, state, replica, cell, chart)
    cell.set(xlabel="x (m)", ylabel="y (m)", aspect="equal")
    cell.set_title("UEs of the last round", fontsize=9)
    cell.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.32), ncols=2)
    chart.invert_yaxis()
    chart.set(xlabel="time in the last round (s)")
    chart.set_title("UE, width, quantiser; accuracy, energy", fontsize=9)
    figure.suptitle(
        f"SplitPoint, after round {state.step[replica]}: next round {state.server[replica] / 1e9:.1f} of "
        f"{environment.server_flops_per_s / 1e9:.0f} GFLOP/s of the server are free",
        fontsize=9,
    )


def _draw_ues(environment: SplitPoint, state: SplitState, replica: int, cell: Axes, chart: Axes) -> None:
    menu, spots = environment.menu(), places(environment.scenario)
    done = bool(state.step[replica])
    shown = (
        (state.last_there, state.last_place, state.last_device) if done else (state.there, state.place, state.device)
    )
    there, where, device = (each[replica] for each in shown)
    sites = np.unique(np.round(spots.world.geometry.cell_position_m[:, :2], 3), axis=0)
    cell.scatter(sites[:, 0], sites[:, 1], marker="*", s=140, color="black", label="gNB and server", zorder=3)
    serving = spots.world.geometry.cell_position_m[np.argmax(spots.path_gain, axis=1), :2]
    for cut, option in enumerate(menu.cuts):
        cell.scatter([], [], color=_COLOURS[cut], label=f"cut after layer {option.after}")
    names = []
    for ue in range(environment.ues):
        kind = environment.devices[int(device[ue])].device_class
        if not there[ue]:
            names.append(f"{ue} -")
            continue
        cut, width, quantiser = (int(each) for each in np.unravel_index(int(state.chosen[replica, ue]), menu.sizes))
        place = int(where[ue])
        (x, y), colour = spots.position_m[place, :2], _COLOURS[cut]
        cell.plot([x, serving[place, 0]], [y, serving[place, 1]], color=colour, alpha=0.5)
        cell.scatter(x, y, color=colour, zorder=2)
        cell.annotate(f"{ue} {kind}", (x, y), textcoords="offset points", xytext=(5, 5), fontsize=8)
        names.append(f"{ue} {kind}\n{menu.widths[width]:g}, {menu.quantisers[quantiser].name}")
        chart.barh(ue, state.time_s[replica, ue], color=colour)
        if done:
            quality = 100 * menu.quality[cut, width, quantiser]
            chart.annotate(
                f"{quality:.0f} %, {state.energy_j[replica, ue]:.2f} J", (0, ue), fontsize=8, va="center",
                xytext=(3, 0), textcoords="offset points",
            )  # fmt: skip
    chart.set_yticks(range(environment.ues), names, fontsize=8)
