"""Blockage model A: people and things in the way, and the hand that holds the UE (TR 38.901 clause 7.6.4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from channel.fields import SpatialFields
from channel.seeding import stream

SelfBlocking = Literal["portrait", "landscape"]

_NUM_BLOCKERS = 4
# Centre and width in azimuth and in zenith, degrees (table 7.6.4.1-1), for a UE that faces +x.
_SELF = {"portrait": (260.0, 120.0, 100.0, 80.0), "landscape": (40.0, 160.0, 110.0, 75.0)}
_SELF_LOSS_DB = 30.0


@dataclass(frozen=True)
class Blockers:
    """Four screens around every place, and the user.

    The screens' azimuths are fields over the plane, uniform at every place, with the correlation distance of table
    7.6.4.1-4; their widths and distances are those of table 7.6.4.1-2, drawn once per screen.

    Attributes:
        azimuth_field: two kinds for every screen, whose angle is the screen's azimuth, at one site.
        width_deg, height_deg: of every screen, [4].
        distance_m: of all screens.
        self_blocking: how the UE is held.
        wavelength_m: of the carrier.
    """

    azimuth_field: SpatialFields
    width_deg: NDArray[np.float64]
    height_deg: NDArray[np.float64]
    distance_m: float
    self_blocking: SelfBlocking
    wavelength_m: float

    @staticmethod
    def draw(seed: int, *, indoor_office: bool, self_blocking: SelfBlocking, wavelength_m: float) -> Blockers:
        """Draw a world's screens."""
        rng = stream(seed, "blockage")
        correlation_m = 5.0 if indoor_office else 10.0
        return Blockers(
            azimuth_field=SpatialFields.draw(seed, "blockage", 2 * _NUM_BLOCKERS * [correlation_m], 1),
            width_deg=rng.uniform(*((15.0, 45.0) if indoor_office else (5.0, 15.0)), _NUM_BLOCKERS),
            height_deg=rng.uniform(5.0, 15.0, _NUM_BLOCKERS) if indoor_office else np.full(_NUM_BLOCKERS, 5.0),
            distance_m=2.0 if indoor_office else 10.0,
            self_blocking=self_blocking,
            wavelength_m=wavelength_m,
        )

    def azimuth_deg(self, position_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the screens' azimuths at positions [n, 3], [n, 4]."""
        x, y = np.moveaxis(self.azimuth_field.at(position_m)[:, 0].reshape(len(position_m), _NUM_BLOCKERS, 2), -1, 0)
        return np.degrees(np.arctan2(y, x))

    def passed(
        self, position_m: NDArray[np.float64], aoa_deg: NDArray[np.float64], zoa_deg: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the share of power that arrives at positions [n, 3] from directions [n, m], [n, m]."""
        zenith = np.degrees(np.arccos(np.cos(np.radians(zoa_deg))))
        loss_db = _self_loss_db(self.self_blocking, aoa_deg, zenith)
        centre = self.azimuth_deg(position_m)
        for k in range(_NUM_BLOCKERS):
            loss_db = loss_db + screen_loss_db(
                _turned(aoa_deg - centre[:, k, None]), zenith - 90.0, self.width_deg[k], self.height_deg[k],
                self.distance_m, self.wavelength_m,
            )  # fmt: skip
        return np.asarray(10 ** (-loss_db / 10))

    def direct(self, position_m: NDArray[np.float64], offset_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of the direct paths' power that arrives, offsets from sites [n, m, 3], [n, m]."""
        azimuth = np.degrees(np.arctan2(offset_m[..., 1], offset_m[..., 0])) + 180.0
        zenith = 180.0 - np.degrees(np.arctan2(np.linalg.norm(offset_m[..., :2], axis=-1), offset_m[..., 2]))
        return self.passed(position_m, azimuth, zenith)


def screen_loss_db(
    azimuth_deg: NDArray[np.float64],
    zenith_deg: NDArray[np.float64],
    width_deg: float,
    height_deg: float,
    distance_m: float,
    wavelength_m: float,
) -> NDArray[np.float64]:
    """Return the loss behind one screen, -20 log10(1 - (F_A1 + F_A2)(F_Z1 + F_Z2)) (equations 7.6-22 and 7.6-23).

    Angles are away from the screen's centre, in degrees; no loss farther away than ``width_deg``, ``height_deg``.
    """

    def edges(away: NDArray[np.float64], size: float) -> NDArray[np.float64]:
        total = np.zeros_like(away)
        for side in (-1.0, 1.0):
            edge = np.radians(away + side * size / 2)
            radicand = np.pi / wavelength_m * distance_m * np.maximum(1 / np.maximum(np.cos(edge), 1e-9) - 1, 0.0)
            inside = np.where(side * away < -size / 2, -1.0, 1.0)
            total = total + np.arctan(inside * np.pi / 2 * np.sqrt(radicand)) / np.pi
        return total

    shadow = edges(azimuth_deg, width_deg) * edges(zenith_deg, height_deg)
    loss_db = -20 * np.log10(np.maximum(1 - shadow, 1e-9))
    return np.where((np.abs(azimuth_deg) < width_deg) & (np.abs(zenith_deg) < height_deg), loss_db, 0.0)


def _self_loss_db(
    self_blocking: SelfBlocking, azimuth_deg: NDArray[np.float64], zenith_deg: NDArray[np.float64]
) -> NDArray[np.float64]:
    azimuth, width, zenith, height = _SELF[self_blocking]
    inside = (np.abs(_turned(azimuth_deg - azimuth)) < width / 2) & (np.abs(zenith_deg - zenith) < height / 2)
    return np.where(inside, _SELF_LOSS_DB, 0.0)


def _turned(angle_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return angles from -180 to 180 degrees."""
    return (angle_deg + 180.0) % 360.0 - 180.0
