"""Outdoor to indoor: what it costs to go through a wall (TR 38.901 clause 7.4.3)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

O2iModel = Literal["low", "high", "legacy"]
SpecVersion = Literal["19.2", "16.1"]

LOSS_PER_METRE_DB = 0.5
"""Loss inside the building, dB per metre of horizontal distance."""

DEVIATION_DB = {"low": 4.4, "high": 6.5, "legacy": 0.0}
"""Standard deviation of the penetration loss between buildings (table 7.4.3-2)."""

_LEGACY_WALL_DB = 20.0


def wall_loss_db(model: O2iModel, carrier_hz: float, spec_version: SpecVersion) -> float:
    """Return the loss PL_tw of the outer wall in dB.

    PL_tw = 5 - 10 log10 sum_i p_i 10^(-L_i / 10) over the wall's materials with shares p_i (equation 7.4-23 and
    table 7.4.3-1; f in GHz): glass 2 + 0.2 f, concrete 5 + 4 f; coated (IRR) glass 23 + 0.3 f in version 16.1 and
    25.4 + 0.11 f in version 19.2. ``low``: 30 % glass, 70 % concrete; ``high``: 70 % coated glass, 30 % concrete;
    ``legacy``: 20 dB, the model for single frequencies below 6 GHz (table 7.4.3-3).

    >>> round(wall_loss_db("low", 3.5e9, "19.2"), 2)
    12.7
    """
    if model == "legacy":
        return _LEGACY_WALL_DB
    f = carrier_hz / 1e9
    concrete = 5.0 + 4.0 * f
    coated = 23.0 + 0.3 * f if spec_version == "16.1" else 25.4 + 0.11 * f
    materials = {"low": ((0.3, 2.0 + 0.2 * f), (0.7, concrete)), "high": ((0.7, coated), (0.3, concrete))}[model]
    return float(5.0 - 10.0 * np.log10(sum(share * 10 ** (-loss / 10) for share, loss in materials)))


def penetration_loss_db(
    model: O2iModel,
    carrier_hz: float,
    spec_version: SpecVersion,
    indoor_distance_m: NDArray[np.float64],
    building: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return wall, inside and building-to-building loss PL_tw + 0.5 d_in + sigma x in dB, same shape.

    ``indoor_distance_m`` is the horizontal distance from the outer wall, ``building`` x, standard normal; for the
    others see ``wall_loss_db``.
    """
    wall = wall_loss_db(model, carrier_hz, spec_version)
    return wall + LOSS_PER_METRE_DB * indoor_distance_m + DEVIATION_DB[model] * building
