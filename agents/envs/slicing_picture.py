"""The picture of Slicing: the cells, their shares, and what waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from agents.envs.network_picture import draw_places

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from agents.envs.slicing import Slicing, SlicingState


def draw(environment: Slicing, state: SlicingState, replica: int, figure: Figure) -> None:
    """Draw one replica."""
    driven = state.driven
    parts: Any = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    place, right = parts
    draw_places(place.subplots(), driven, replica)
    above, below = right.subplots(2, 1, height_ratios=(1, 1.8))
    share = state.share[replica]
    cells = np.arange(len(share))
    above.barh(cells, share, color="tab:blue", label="learning")
    above.barh(cells, 1 - share, left=share, color="tab:orange", label="traffic")
    left = environment.round_steps - state.step[replica] % environment.round_steps
    above.set(xlim=(0, 1), yticks=cells, xlabel="guaranteed share of resource blocks", ylabel="cell")
    computing = (state.ready[replica] > environment.round_steps - left).sum()
    above.set_title(
        f"step {state.step[replica]}: {left} of {environment.round_steps} left in the round, "
        f"{state.done[replica].sum()} updates there, {environment.quorum_ues} wanted, {computing} being computed",
        fontsize=9,
    )  # fmt: skip
    above.legend(loc="lower right", fontsize=8)
    bearer = driven.state.link(environment.direction).bearer[replica]
    waiting = (bearer["enqueued"] - bearer["delivered"] - bearer["lost"]) / 1e3
    ues = np.arange(len(waiting))
    traffic = np.minimum(waiting[:, 1:].sum(axis=1), 1e4)
    late = driven.wait(environment.direction)[replica].max(axis=1) > 1
    below.bar(ues - 0.2, waiting[:, 0], 0.4, label="update", color="tab:blue")
    below.bar(ues + 0.2, traffic, 0.4, label="traffic", color="tab:orange")
    below.bar(ues + 0.2, np.where(late, traffic, 0), 0.4, label="traffic, late", color="tab:red")
    below.set(xlabel="UE", ylabel="waiting (kB)", ylim=(0, max(1.0, environment.payload_bytes * 4e-3)))
    below.legend(loc="upper right", fontsize=8)
