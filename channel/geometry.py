"""Where cells and UEs are and what antennas they carry: all that a channel model needs to know of a world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.trajectory import Trajectory

from channel.antenna import AntennaArray, UeArray


@dataclass(frozen=True)
class Geometry:
    """Positions, motion, antennas and frequencies of one world.

    Attributes:
        carrier_hz: carrier frequency in Hz.
        subband_frequency_hz: subband centres relative to the carrier in Hz, [num_subbands].
        cell_position_m: antenna positions of the cells, [num_cells, 3]; co-sited sectors share one.
        cell_azimuth_rad: boresight azimuths, counter-clockwise from +x, [num_cells].
        cell_downtilt_rad: mechanical downtilt of every cell in radians.
        cell_array: antenna array of every cell.
        ue_position_m: UE positions at time 0, [num_ues, 3].
        ue_velocity_m_s: UE velocities at time 0, [num_ues, 3].
        ue_noise_psd_w_hz, gnb_noise_psd_w_hz: noise densities k T F in W/Hz.
        trajectory: how the UEs move from there; None: straight on at ``ue_velocity_m_s``.
        wraparound_m: the two horizontal translations in metres under which the cells repeat themselves, [2, 2];
            None: they do not.
        ue_array: antennas of every UE.
    """

    carrier_hz: float
    subband_frequency_hz: NDArray[np.float64]
    cell_position_m: NDArray[np.float64]
    cell_azimuth_rad: NDArray[np.float64]
    cell_downtilt_rad: float
    cell_array: AntennaArray
    ue_position_m: NDArray[np.float64]
    ue_velocity_m_s: NDArray[np.float64]
    ue_noise_psd_w_hz: float
    gnb_noise_psd_w_hz: float
    trajectory: Trajectory | None = None
    wraparound_m: NDArray[np.float64] | None = None
    ue_array: UeArray = field(default_factory=UeArray)

    @property
    def num_cells(self) -> int:
        """Number of cells (sectors)."""
        return len(self.cell_position_m)

    @property
    def num_ues(self) -> int:
        """Number of UEs."""
        return len(self.ue_position_m)

    @property
    def site_of_cell(self) -> NDArray[np.int64]:
        """Index of the site on which each cell stands, [num_cells]."""
        return site_indices(self.cell_position_m)

    def ue_position_at(self, time_s: float) -> NDArray[np.float64]:
        """Return UE positions at ``time_s`` in metres, [num_ues, 3]."""
        if self.trajectory is not None:
            return self.trajectory.position_at(time_s)
        return self.ue_position_m + self.ue_velocity_m_s * time_s

    def ue_velocity_at(self, time_s: float) -> NDArray[np.float64]:
        """Return UE velocities at ``time_s`` in m/s, [num_ues, 3]."""
        return self.ue_velocity_m_s if self.trajectory is None else self.trajectory.velocity_at(time_s)

    def offset_at(self, time_s: float) -> NDArray[np.float64]:
        """Return the vectors from every cell to every UE at ``time_s`` in metres, [num_ues, num_cells, 3].

        With wraparound they start at the cell's image that is nearest to the UE.
        """
        offset_m = self.ue_position_at(time_s)[:, None, :] - self.cell_position_m
        if self.wraparound_m is not None:
            offset_m[..., :2] = nearest_image(offset_m[..., :2], self.wraparound_m)
        return offset_m

    def cell_virtual_position(self, time_s: float = 0.0) -> NDArray[np.float64]:
        """Return where every UE sees every cell at ``time_s`` in metres, [num_ues, num_cells, 3].

        The cell's own position, or with wraparound that of its image nearest to the UE.
        """
        return self.ue_position_at(time_s)[:, None, :] - self.offset_at(time_s)


def nearest_image(offset_m: NDArray[np.float64], period_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shortest vectors that differ from ``offset_m`` [..., 2] by whole translations.

    Args:
        offset_m: horizontal vectors in metres.
        period_m: the two translations in metres, [2, 2], at 60 to 90 degrees and of equal length, which makes the
            nine images around the rounded one enough.

    >>> import numpy as np
    >>> nearest_image(np.array([[9.0, -1.0]]), np.array([[10.0, 0.0], [0.0, 10.0]])).tolist()
    [[-1.0, -1.0]]
    """
    import numpy as np

    rounded = offset_m - np.rint(offset_m @ np.linalg.inv(period_m)) @ period_m
    steps = np.array([(a, b) for a in (0, -1, 1) for b in (0, -1, 1)]) @ period_m  # [9, 2], none first
    images = rounded[..., None, :] + steps
    nearest = np.argmin(np.sum(images**2, axis=-1), axis=-1)
    return np.take_along_axis(images, nearest[..., None, None], axis=-2)[..., 0, :]


def site_indices(position_m: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return which cells share a site, numbered by first appearance, [num_cells].

    Cells within 1 mm of each other in every coordinate of ``position_m`` ([num_cells, 2 or 3], metres)
    stand on one site.

    >>> import numpy as np
    >>> site_indices(np.array([[0.0, 9.0], [5.0, 5.0], [0.0, 9.0]])).tolist()
    [0, 1, 0]
    """
    import numpy as np

    same = np.all(np.abs(position_m[:, None] - position_m[None]) < 1e-3, axis=-1)  # [num_cells, num_cells]
    return np.unique(same.argmax(axis=1), return_inverse=True)[1]
