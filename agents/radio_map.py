"""What is heard of every cell all over a scenario's ground: the radio of environments whose UEs move."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from channel.units import dbm_to_watt
from ran.numerology import SUBCARRIERS_PER_PRB
from scenarios.build import build_world
from scenarios.load import load
from scenarios.map import coverage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.world import World

Ground = tuple[float, float, float, float]
"""Least x and y, largest x and y, in metres."""


@dataclass(frozen=True)
class RadioMap:
    """SNRs on a grid, of one world or several.

    Attributes:
        cell_position_m: [num_cells, 2].
        origin_m, spacing_m: of the grid, x and y, [2].
        snr: power of each cell over the noise of the whole carrier, without interference, float32
            [num_worlds, num_y, num_x, num_cells].
        resource_elements_s: for downlink data of the whole carrier, per second, control and guard left out.
    """

    cell_position_m: NDArray[np.float64]
    origin_m: NDArray[np.float64]
    spacing_m: NDArray[np.float64]
    snr: NDArray[np.float32]
    resource_elements_s: float

    @property
    def size_m(self) -> NDArray[np.float64]:
        """Extent of the grid, x and y, [2]."""
        return self.spacing_m * (np.array(self.snr.shape[2:0:-1]) - 1)


@lru_cache(maxsize=8)
def radio_map(scenario: str, ground_m: Ground | None = None, spacing_m: float = 10.0, worlds: int = 1) -> RadioMap:
    """Return what an antenna at UE height hears of each cell, by the scenario's own channel model.

    Path loss and shadowing, and a draw of fading averaged over the carrier (``scenarios.map.coverage``). World n is
    drawn from the scenario's seed plus n. Where the model does not hold or no UE can be (nearer to a site than a model
    allows, inside a building), the nearest point's value stands.

    Args:
        scenario: a packaged name or a path.
        ground_m: what the map covers; None: what ``coverage`` chooses.
        spacing_m: of the grid; the map is interpolated linearly in power between its points.
        worlds: how many.

    Raises UserError where the scenario cannot be loaded or its channel not started.
    """
    base = load(scenario)
    maps = [
        coverage(base.model_copy(update={"seed": base.seed + each}), spacing_m, ground_m=ground_m)
        for each in range(worlds)
    ]
    world, first = build_world(base), maps[0]
    grid = world.numerology
    noise_w = world.geometry.ue_noise_psd_w_hz * grid.num_prbs * SUBCARRIERS_PER_PRB * grid.subcarrier_spacing_hz
    gain = np.stack([_filled(each.path_gain) for each in maps])
    return RadioMap(
        world.geometry.cell_position_m[:, :2],
        np.array([first.x_m[0], first.y_m[0]]),
        np.array([first.x_m[1] - first.x_m[0], first.y_m[1] - first.y_m[0]]),
        np.ascontiguousarray(
            np.moveaxis(gain, 1, -1) * (dbm_to_watt(base.sites.gnb.tx_power_dbm) / noise_w), np.float32
        ),
        downlink_resource_elements_s(world),
    )


def downlink_resource_elements_s(world: World) -> float:
    """Return the resource elements for downlink data of a whole carrier, per second."""
    kinds = world.numerology.kinds()
    per_prb = sum(kind.downlink_re for kind in kinds) / len(kinds)
    return per_prb * world.numerology.num_prbs / world.numerology.slot_s


def _filled(path_gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a map whose gaps hold what is next to them, [num_cells, num_y, num_x]."""
    from scipy.ndimage import distance_transform_edt

    gap = np.isnan(path_gain).any(axis=0)
    y, x = distance_transform_edt(gap, return_distances=False, return_indices=True)
    return path_gain[:, y, x]


def carrier_plan(position_m: NDArray[np.float64], carriers: int) -> NDArray[np.int64]:
    """Return the carrier of each cell, [num_cells]: cell after cell takes the one whose nearest user is farthest."""
    plan = np.zeros(len(position_m), np.int64)
    for cell in range(1, len(plan)):
        away_m = np.linalg.norm(position_m[:cell] - position_m[cell], axis=-1)
        nearest_m = [min(away_m[plan[:cell] == carrier], default=np.inf) for carrier in range(carriers)]
        plan[cell] = int(np.argmax(nearest_m))
    return plan
