"""A picture of UavOffload: UEs, UAVs, who serves whom, and how fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from agents.envs.uav_offload import UavOffload, UavState

_COLOURS = tuple(f"tab:{name}" for name in ("blue", "orange", "green", "red", "purple", "brown", "pink", "olive"))


def draw(environment: UavOffload, state: UavState, replica: int, figure: Figure) -> None:
    """Draw one replica: left the ground from above, right what the UAVs deliver."""
    ground, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    uav_m, server = environment.place_m(state.place[replica]), state.server[replica]
    for ue, place_m in enumerate(state.ue_m[replica]):
        colour = _colour(server[ue]) if server[ue] >= 0 else "lightgray"
        if server[ue] >= 0:
            ground.plot(*np.stack([place_m, uav_m[server[ue]]]).T, color=colour, lw=0.8, alpha=0.7)
        ground.plot(*place_m, "o", color=colour, mec="black", mew=0.5, ms=6)
    for uav, place_m in enumerate(uav_m):
        ground.plot(*place_m, "X", color=_colour(uav), mec="black", ms=14)
    far_m = environment.ground_m
    ticks = np.linspace(0, far_m, environment.side + 1)
    ground.set(
        xlim=(0, far_m), ylim=(0, far_m), xlabel="x (m)", ylabel="y (m)", aspect="equal",
        title=f"UavOffload, step {state.step[replica]} (grey: left to the cell)",
    )  # fmt: skip
    ground.set_xticks(ticks, minor=True)
    ground.set_yticks(ticks, minor=True)
    ground.grid(which="minor", lw=0.3)
    uavs = np.arange(environment.uavs)
    served = (server == uavs[:, None]).sum(axis=1)
    bars = right.bar(uavs, state.rate[replica] / 1e6, color=[_colour(uav) for uav in uavs])
    right.bar_label(bars, [f"{count} UEs" for count in served])
    right.axhspan(
        environment.adequate_bit_s / 1e6, environment.desired_bit_s / 1e6, color="tab:green", alpha=0.15, lw=0
    )
    right.set(
        xlabel="UAV (shaded: adequate to desired)", ylabel="rate of each of its UEs (Mbit/s)", xticks=uavs,
        ylim=(0, 1.2 * environment.desired_bit_s / 1e6),
    )  # fmt: skip


def _colour(uav: Any) -> str:
    return _COLOURS[int(uav) % len(_COLOURS)]
