"""Path loss between the ground and a platform in the air, by elevation angle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from channel.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Surroundings:
    """What stands on the ground (Al-Hourani, Kandeepan and Lardner, IEEE WCL 3(6), 2014).

    Attributes:
        a, b: of the probability of line of sight; b in 1/degrees.
        los_db, nlos_db: mean loss beyond free space, with line of sight and without.
    """

    a: float
    b: float
    los_db: float
    nlos_db: float


SURROUNDINGS = {
    "suburban": Surroundings(4.88, 0.43, 0.1, 21.0),
    "urban": Surroundings(9.61, 0.16, 1.0, 20.0),
    "dense_urban": Surroundings(12.08, 0.11, 1.6, 23.0),
    "highrise": Surroundings(27.23, 0.08, 2.3, 34.0),
}


def line_of_sight_probability(elevation_deg: NDArray[np.float64], around: Surroundings) -> NDArray[np.float64]:
    """Return 1 / (1 + a exp(-b (theta - a))) at elevations theta in degrees."""
    return np.asarray(1 / (1 + around.a * np.exp(-around.b * (elevation_deg - around.a))))


def mean_path_loss_db(
    ground_m: NDArray[np.float64], height_m: float, carrier_hz: float, around: Surroundings
) -> NDArray[np.float64]:
    """Return the mean path loss in dB at horizontal distances from a platform, any shape.

    20 log10(4 pi f d / c) + p eta_LoS + (1 - p) eta_NLoS, d being the distance in space and p the probability of line
    of sight. The mean is over places at one distance, in dB: no shadowing, no fading.

    Args:
        ground_m: horizontal distances.
        height_m: of the platform above the UE, above 0.
        carrier_hz: carrier frequency.
        around: what stands on the ground.
    """
    distance_m = np.hypot(ground_m, height_m)
    probability = line_of_sight_probability(np.degrees(np.arctan2(height_m, ground_m)), around)
    free_db = 20 * np.log10(4 * np.pi * carrier_hz * distance_m / SPEED_OF_LIGHT_M_S)
    return np.asarray(free_db + probability * around.los_db + (1 - probability) * around.nlos_db)
