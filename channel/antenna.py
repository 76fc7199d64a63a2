"""Antenna arrays: panels of 38.901 or isotropic elements at the cells, rows of isotropic ones at the UEs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from channel.component import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Wave = Literal["vertical", "horizontal"]
"""Field component of a wave: along growing zenith (F_theta) or along growing azimuth (F_phi)."""

_BEAMWIDTH_DEG = 65.0
_MAX_ATTENUATION_DB = 30.0
_BORESIGHT_GAIN_DBI = 8.0


class AntennaArray(Settings):
    """A rectangular panel with half-wavelength spacing (TR 38.901 clause 7.3).

    The panel lies in its own y-z plane with its boresight along its x axis. Ports are numbered down the
    rows, then along the columns; a dual-polarised panel has all its -45 degree ports first, then all its
    +45 degree ports.
    """

    rows: int = Field(default=2, ge=1, le=32, description="elements stacked vertically")
    columns: int = Field(default=2, ge=1, le=32, description="elements side by side")
    polarization: Literal["single", "dual"] = Field(
        default="dual", description="single: vertical; dual: cross-polarised pairs at +-45 degrees"
    )
    pattern: Literal["38.901", "omni"] = Field(
        default="38.901", description="element pattern: 38.901 (65 degrees, 8 dBi) or isotropic"
    )

    @property
    def num_antennas(self) -> int:
        """Number of antenna ports."""
        return self.rows * self.columns * (2 if self.polarization == "dual" else 1)

    def element_gain_db(self, zenith_rad: NDArray[np.float64], azimuth_rad: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the power gain of one element in dBi towards angles in the panel's own axes.

        A(theta, phi) = 8 - min(min(12 ((theta - 90) / 65)^2, 30) + min(12 (phi / 65)^2, 30), 30) with angles
        in degrees (TR 38.901 table 7.3-1), or 0 for ``omni``. Zenith is 0 to pi, azimuth -pi to pi from
        boresight; the result has their common shape.
        """
        import numpy as np

        if self.pattern == "omni":
            return np.zeros(np.broadcast_shapes(np.shape(zenith_rad), np.shape(azimuth_rad)))
        vertical = np.minimum(12 * ((np.degrees(zenith_rad) - 90) / _BEAMWIDTH_DEG) ** 2, _MAX_ATTENUATION_DB)
        horizontal = np.minimum(12 * (np.degrees(azimuth_rad) / _BEAMWIDTH_DEG) ** 2, _MAX_ATTENUATION_DB)
        return np.asarray(_BORESIGHT_GAIN_DBI - np.minimum(vertical + horizontal, _MAX_ATTENUATION_DB))

    def response(
        self,
        direction: NDArray[np.float64],
        azimuth_rad: NDArray[np.float64],
        downtilt_rad: float,
        received: Wave = "vertical",
    ) -> NDArray[np.complex128]:
        """Return what one isotropic antenna receives of each port by one plane wave, [..., num_antennas].

        The field of an element (polarisation model 2, TR 38.901 equations 7.3-4 and 7.3-5, rotated from panel to
        world by 7.1-11) times exp(j 2 pi d.r / lambda) for the port's place on the panel: F_theta at a vertical
        antenna, -F_phi at a horizontal one, whose azimuths grow the other way (the direct path of equation 7.5-29).

        Args:
            direction: unit vectors from the panel towards the receiver, [..., 3].
            azimuth_rad: boresight azimuth of the panel, broadcastable to [...].
            downtilt_rad: mechanical downtilt.
            received: which component of the wave the antenna takes.
        """
        import numpy as np

        rotation = panel_axes(np.asarray(azimuth_rad), downtilt_rad)  # [..., 3 world, 3 panel]
        x, y, z = np.moveaxis(np.einsum("...w,...wp->...p", direction, rotation), -1, 0)
        zenith, azimuth = np.arccos(np.clip(z, -1.0, 1.0)), np.arctan2(y, x)
        slants = np.array([0.0] if self.polarization == "single" else [-np.pi / 4, np.pi / 4])
        vertical, horizontal = _field_axes(zenith, azimuth)
        towards_zenith, towards_azimuth = _field_axes(*_angles(direction))
        axis = np.einsum("...w,...wp->...p", towards_zenith if received == "vertical" else -towards_azimuth, rotation)
        along = np.stack([np.sum(vertical * axis, -1), np.sum(horizontal * axis, -1)], -1)  # [..., 2]
        amplitude = 10 ** (self.element_gain_db(zenith, azimuth) / 20)
        field = amplitude[..., None] * (along @ np.stack([np.cos(slants), np.sin(slants)]))  # [..., slant]
        column = np.repeat(np.arange(self.columns) - (self.columns - 1) / 2, self.rows)
        row = np.tile((self.rows - 1) / 2 - np.arange(self.rows), self.columns)
        steering = np.exp(1j * np.pi * (y[..., None] * column + z[..., None] * row))  # [..., element]
        ports: NDArray[np.complex128] = field[..., :, None] * steering[..., None, :]
        return ports.reshape(*ports.shape[:-2], self.num_antennas)


class UeArray(Settings):
    """A horizontal row of isotropic elements, or of cross-polarised pairs of them (TR 38.901 clause 7.3).

    The row lies along +y of the world, whichever way the UE moves, its middle at the UE's position. A single element
    takes the vertical field component; of the pairs of a dual-polarised row, slanted by 0 and 90 degrees, one takes the
    vertical and one the horizontal component (equations 7.3-4 and 7.3-5). Antennas are numbered along +y, all vertical
    ones first.

    It does not model element patterns, the body that holds the UE, or how it is turned.
    """

    antennas: int = Field(default=1, ge=1, le=8, description="antennas of a UE; an even number where dual")
    spacing_wavelengths: float = Field(
        default=0.5, gt=0.0, le=10.0, description="distance between neighbouring elements or pairs, wavelengths"
    )
    polarization: Literal["single", "dual"] = Field(
        default="single", description="single: vertical; dual: cross-polarised pairs at 0 and 90 degrees"
    )

    @model_validator(mode="after")
    def _pairs_are_whole(self) -> UeArray:
        if self.antennas % len(self.waves):
            raise ValueError(
                f"{self.antennas} antennas do not make cross-polarised pairs; set antennas to an even number or "
                "polarization: single"
            )
        return self

    @property
    def waves(self) -> tuple[Wave, ...]:
        """Field component that each element of a pair takes."""
        return ("vertical",) if self.polarization == "single" else ("vertical", "horizontal")

    @property
    def num_places(self) -> int:
        """Number of single elements or of pairs."""
        return self.antennas // len(self.waves)

    def places(self) -> NDArray[np.float64]:
        """Return where the elements or pairs are from the UE's position, in wavelengths, [num_places, 3]."""
        import numpy as np

        place = np.zeros((self.num_places, 3))
        place[:, 1] = self.spacing_wavelengths * (np.arange(self.num_places) - (self.num_places - 1) / 2)
        return place

    def steering(self, arrival: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Return exp(j 2 pi r.d / lambda) at every place for waves that come from ``arrival``, [..., num_places].

        Args:
            arrival: unit vectors r from the UE to where a wave comes from, [..., 3] (TR 38.901 equation 7.5-22).
        """
        import numpy as np

        return np.asarray(np.exp(2j * np.pi * (arrival @ self.places().T)))


def panel_axes(azimuth_rad: NDArray[np.float64], downtilt_rad: float) -> NDArray[np.float64]:
    """Return the rotation whose columns are the panel's axes in the world, [..., 3, 3] (TR 38.901 eq. 7.1-4)."""
    import numpy as np

    cos_a, sin_a = np.cos(azimuth_rad), np.sin(azimuth_rad)
    cos_b, sin_b = np.cos(downtilt_rad), np.sin(downtilt_rad)
    zero = np.zeros_like(cos_a)
    rows = [
        [cos_a * cos_b, -sin_a, cos_a * sin_b],
        [sin_a * cos_b, cos_a, sin_a * sin_b],
        [zero - sin_b, zero, zero + cos_b],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def _angles(direction: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return zenith and azimuth of unit vectors, radians."""
    import numpy as np

    return np.arccos(np.clip(direction[..., 2], -1.0, 1.0)), np.arctan2(direction[..., 1], direction[..., 0])


def _field_axes(
    zenith_rad: NDArray[np.float64], azimuth_rad: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the spherical unit vectors of growing zenith and of growing azimuth, each [..., 3]."""
    import numpy as np

    cos_z, sin_z = np.cos(zenith_rad), np.sin(zenith_rad)
    cos_a, sin_a = np.cos(azimuth_rad), np.sin(azimuth_rad)
    vertical = np.stack([cos_z * cos_a, cos_z * sin_a, -sin_z], axis=-1)
    return vertical, np.stack([-sin_a, cos_a, np.zeros_like(cos_a)], axis=-1)
