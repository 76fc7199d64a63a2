"""The picture of SlotScheduling: the cells, who holds which group, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.envs.network_picture import COLOURS, draw_places

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from agents.envs.slot_scheduling import SlotScheduling, SlotState


def draw(environment: SlotScheduling, state: SlotState, replica: int, figure: Figure) -> None:
    """Draw one replica."""
    driven = state.driven
    parts: Any = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    place, right = parts
    draw_places(place.subplots(), driven, replica)
    above, below = right.subplots(2, 1, height_ratios=(1, 1.4))
    owner = state.owner[replica]
    ues = state.mean.shape[1]
    shades = np.array([COLOURS[u % len(COLOURS)] for u in range(ues)] + [(0.93, 0.93, 0.93)])
    above.imshow(shades[np.where(owner < 0, ues, owner)], aspect="auto", interpolation="nearest")
    if owner.size <= 64:
        for cell, group in np.argwhere(owner >= 0):
            above.text(group, cell, str(owner[cell, group]), ha="center", va="center", fontsize=8)
    above.set(xlabel="resource block group", ylabel="cell", yticks=np.arange(len(owner)))
    above.set_title(
        f"UEs served in the last {environment.direction} slot (step {state.step[replica]}, "
        f"{1e3 * driven.now_s:.1f} ms)", fontsize=9,
    )  # fmt: skip
    bearer = driven.state.link(environment.direction).bearer[replica]
    left = (bearer["enqueued"] - bearer["delivered"] - bearer["lost"]) / 1e3
    every = np.arange(ues)
    below.bar(every - 0.2, left[:, 0], 0.4, label="update", color="tab:blue")
    below.bar(every + 0.2, np.minimum(left[:, 1:].sum(axis=1), 1e4), 0.4, label="traffic", color="tab:orange")
    below.set(xlabel="UE", ylabel="waiting (kB)", ylim=(0, max(1.0, environment.payload_bytes * 2e-3)))
    below.legend(loc="upper right", fontsize=8)
