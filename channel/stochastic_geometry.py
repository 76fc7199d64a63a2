"""Coverage of Poisson networks: by the channel and layout that scenarios use, and in closed form.

Base stations are a Poisson point process, path loss is a power law, fading Rayleigh, there is no noise, and every
cell transmits. Coverage is P(SIR > T) of the typical UE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from channel.antenna import AntennaArray
from channel.geometry import Geometry
from channel.layouts import Poisson
from channel.rayleigh import Rayleigh
from channel.seeding import stream, stream_key

Association = Literal["nearest", "strongest"]

_RADIUS_M = 12.5e3
_DENSITY_PER_KM2 = 1.0
_UES_PER_DROP = 150
# UEs keep to the inner half, so that the sites missing outside the disc would add less than 1 % of interference.
_INNER_FRACTION = 0.5


def nearest_coverage(threshold: float) -> float:
    """Return P(SIR > T) with the nearest base station serving, path-loss exponent 4.

    1 / (1 + sqrt(T) (pi/2 - atan(1 / sqrt(T)))) (Andrews, Baccelli & Ganti, IEEE T-COM 2011, equation 15).

    >>> [round(nearest_coverage(t), 3) for t in (0.1, 1.0, 10.0)]
    [0.912, 0.56, 0.2]
    """
    root = math.sqrt(threshold)
    return 1.0 / (1.0 + root * (math.pi / 2 - math.atan(1.0 / root)))


def strongest_coverage(threshold: float) -> float:
    """Return P(SIR > T) with the instantaneously strongest base station serving, exponent 4, for T >= 1.

    sinc(2 / alpha) T^(-2 / alpha) (Dhillon, Ganti, Baccelli & Andrews, IEEE JSAC 2012, corollary 1).

    >>> round(strongest_coverage(1.0), 3)
    0.637
    """
    assert threshold >= 1.0, "the closed form holds from T = 1, where at most one cell can be above the threshold"
    return 2 / math.pi / math.sqrt(threshold)


@dataclass(frozen=True)
class CoverageSamples:
    """SIR of every UE as a power ratio, by who serves it, [num_samples] each."""

    nearest: NDArray[np.float64]
    strongest: NDArray[np.float64]

    def coverage(self, association: Association, threshold: float) -> float:
        """Return the share of UEs whose SIR is above ``threshold`` (a power ratio)."""
        return float(np.mean(getattr(self, association) > threshold))


def simulate_coverage(*, drops: int = 2000, seed: int = 1) -> CoverageSamples:
    """Return the SIR of 150 UEs in each of ``drops`` Poisson networks of 491 sites on average.

    The sites come from the ``poisson`` layout, the gains from the ``rayleigh`` channel with exponent 4.
    """
    layout = Poisson(density_per_km2=_DENSITY_PER_KM2, radius_m=_RADIUS_M)
    samples = [_drop(layout, seed, drop) for drop in range(drops)]
    return CoverageSamples(*(np.concatenate(ratios) for ratios in zip(*samples, strict=True)))


def _drop(layout: Poisson, seed: int, drop: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the SIR of one network's UEs, served by the nearest and by the strongest site, [num_ues] each."""
    rng = stream(seed, "poisson network", drop)
    sites = layout.sites(rng)
    assert sites.area is not None
    ue_m = _INNER_FRACTION * sites.area.draw(_UES_PER_DROP, rng)
    geometry = Geometry(
        carrier_hz=3.5e9,
        subband_frequency_hz=np.zeros(1),
        cell_position_m=np.pad(sites.position_m, ((0, 0), (0, 1))),
        cell_azimuth_rad=sites.azimuth_rad,
        cell_downtilt_rad=0.0,
        cell_array=AntennaArray(rows=1, columns=1, polarization="single", pattern="omni"),
        ue_position_m=np.pad(ue_m, ((0, 0), (0, 1))),
        ue_velocity_m_s=np.zeros((_UES_PER_DROP, 3)),
        ue_noise_psd_w_hz=0.0,
        gnb_noise_psd_w_hz=0.0,
    )
    channel, key = Rayleigh(path_loss_exponent=4.0), stream_key(seed, "poisson fading", drop)
    snapshot, _ = channel.realise(geometry, channel.start(geometry, key), 0.0, key)
    gain = snapshot.path_gain[0]  # [num_ues, num_cells]: one antenna, one subband: the fading gain itself
    nearest = np.argmin(sites.distance_m(ue_m), axis=1)[:, None]
    total = gain.sum(axis=1)
    own, best = np.take_along_axis(gain, nearest, axis=1)[:, 0], gain.max(axis=1)
    return own / (total - own), best / (total - best)
