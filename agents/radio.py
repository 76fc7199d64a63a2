"""The air of environments: places of a scenario's cells with their path gains, and what a link carries at an SINR."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ran.phy.link_kernels import block_error_rate
from scenarios.build import build_world
from scenarios.load import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.world import World

_AT_ONCE = 500
_CURVE_PRBS = 10
_CURVE_STEP_DB = 0.25


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


@dataclass(frozen=True)
class RateCurve:
    """Information bits per resource element that a link carries at an SINR, in steps.

    Attributes:
        first_db, step_db: of the table.
        efficiency: of the highest MCS within the error target, times what of it arrives, [num_steps]; 0 below the
            lowest MCS.
    """

    first_db: float
    step_db: float
    efficiency: NDArray[np.float64]

    def at(self, sinr: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return bit per resource element at linear SINRs of any shape."""
        place = (10 * np.log10(np.maximum(sinr, 1e-30)) - self.first_db) / self.step_db
        return self.efficiency[np.clip(np.rint(place), 0, len(self.efficiency) - 1).astype(np.int64)]


@lru_cache(maxsize=8)
def rate_curve(scenario: str, overrides: tuple[str, ...] = ()) -> RateCurve:
    """Return what a link of a scenario carries: its MCS table, at its error target, by the tables of the slot loop."""
    world = build_world(load(scenario, overrides))
    tables, target = world.tables(), world.radio.link_adaptation.bler_target
    sinr_db = np.arange(-10.0, 40.0 + _CURVE_STEP_DB / 2, _CURVE_STEP_DB)
    best = np.zeros(len(sinr_db))
    kind = len(tables.re_per_prb) - 1
    for mcs in range(tables.first_mcs, len(tables.efficiency)):
        sizes = tables.code_block_bits[kind, mcs, _CURVE_PRBS], tables.num_code_blocks[kind, mcs, _CURVE_PRBS]
        for place, each_db in enumerate(sinr_db):
            error = block_error_rate(tables.bler, mcs, *sizes, 10 ** (each_db / 10))
            if error <= target:
                best[place] = max(best[place], tables.efficiency[mcs] * (1 - error))
    return RateCurve(float(sinr_db[0]), _CURVE_STEP_DB, best)
