"""The air of environments: places of a scenario's cells with their path gains, and what a link carries at an SINR."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ran.phy.rate_curve import RateCurve
from scenarios.build import build_world
from scenarios.load import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.world import World

_AT_ONCE = 500


@dataclass(frozen=True)
class Places:
    """Many places where UEs of a scenario can stand, and what they hear there.

    Attributes:
        world: the scenario's world.
        position_m: [num_places, 3].
        path_gain: received over transmitted power, mean over antennas and subbands: path loss and shadowing of the
            scenario's own channel model, and a draw of its fading; [num_places, num_cells].
    """

    world: World
    position_m: NDArray[np.float64]
    path_gain: NDArray[np.float64]


@lru_cache(maxsize=8)
def places(scenario: str, overrides: tuple[str, ...] = (), count: int = 2000) -> Places:
    """Return ``count`` places in a scenario, drawn by its own placement and channel model.

    All places are in one world: their shadowing is correlated as places near each other are.

    Args:
        scenario: a packaged name or a path.
        overrides: ``a.b=value`` texts, as for ``airtune run --set``.
        count: places.

    Raises UserError where the scenario cannot be loaded.
    """
    loaded = load(scenario, overrides)
    # Not through the loader: so many UEs stand here one after another, and learn nothing together.
    crowd = loaded.model_copy(update={"ues": loaded.ues.model_copy(update={"count": count})})
    world = build_world(crowd)
    geometry, seed = world.geometry, world.seeds[0]
    one = geometry.cell_array.model_copy(update={"rows": 1, "columns": 1})
    gains = []
    for start in range(0, count, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        standing = replace(
            geometry, ue_position_m=geometry.ue_position_m[part], ue_velocity_m_s=0 * geometry.ue_position_m[part],
            trajectory=None, cell_array=one,
        )  # fmt: skip
        state = world.channel.start(standing, seed)
        gains.append(world.channel.realise(standing, state, 0.0, seed)[0].path_gain[0])
    return Places(build_world(loaded), geometry.ue_position_m, np.concatenate(gains))


@lru_cache(maxsize=8)
def rate_curve(scenario: str, overrides: tuple[str, ...] = ()) -> RateCurve:
    """Return what a link of a scenario carries: its MCS table, at its error target, by the tables of the slot loop."""
    world = build_world(load(scenario, overrides))
    return RateCurve.of(world.tables(), world.radio.link_adaptation.bler_target)
