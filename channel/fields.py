"""Correlated Gaussian fields over the plane: standard normal everywhere, correlated as exp(-d / d_corr)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from channel.compiled import compiled
from channel.seeding import stream

NUM_WAVES = 256
"""Plane waves per field: enough for normal marginals, and for a single walk's autocorrelation within 0.05."""

SMOOTHEST_SHARE = 0.09
"""Share of the spectrum's power, its tail, that is put at one wavenumber: the field is then differentiable.

exp(-d / d_corr) has a corner at d = 0: such a field has no gradient, and a step of 1 cm would change a shadowing of
8 dB by 0.3 dB. With this share moved, the autocorrelation stays within 0.05 (0.047) and the gradient's standard
deviation is 3.2 / d_corr, near the least that 0.05 allows (3 / d_corr).
"""


@dataclass(frozen=True)
class SpatialFields:
    """Independent fields, several kinds at several sites, as sums of plane waves: any place, in any order.

    f(x) = sqrt(2 / N) sum_n cos(k_n . x + phi_n). The radial wavenumbers are the middle quantiles of the
    two-dimensional spectrum of exp(-d / d_corr), density proportional to (1 + (k d_corr)^2)^(-3/2), the directions
    a golden-ratio sequence, the phases uniform. The sites share the waves of a kind but not their phases.

    Attributes:
        wave_rad_m: wave vectors, [num_kinds, NUM_WAVES, 2].
        cosine, sine: of the phases, scaled by sqrt(2 / N), [num_kinds, NUM_WAVES, num_sites].
    """

    wave_rad_m: NDArray[np.float64]
    cosine: NDArray[np.float64]
    sine: NDArray[np.float64]

    @staticmethod
    def draw(seed: int, name: str, correlation_m: Sequence[float], num_sites: int) -> SpatialFields:
        """Return the fields of one named stream, a kind for each correlation distance."""
        index = np.arange(NUM_WAVES)
        quantile = np.maximum((index + 0.5) / NUM_WAVES, SMOOTHEST_SHARE)
        radius = np.sqrt(quantile**-2 - 1)
        wave, phase = [], []
        for kind, distance_m in enumerate(correlation_m):
            rng = stream(seed, name, kind)
            turn = 2 * np.pi * (index * (np.sqrt(5) - 1) / 2 + rng.random())
            wave.append(radius[:, None] / distance_m * np.stack([np.cos(turn), np.sin(turn)], axis=-1))
            phase.append(rng.uniform(0.0, 2 * np.pi, (num_sites, NUM_WAVES)).T)
        scale = np.sqrt(2 / NUM_WAVES)
        return SpatialFields(np.array(wave), scale * np.cos(phase), scale * np.sin(phase))

    def at(self, position_m: NDArray[np.float64], kinds: Sequence[int] | None = None) -> NDArray[np.float64]:
        """Return the fields at horizontal positions [num_points, >= 2], [num_points, num_sites, num kinds asked for].

        Every value depends on its own position only, to the last bit.
        """
        which = np.arange(len(self.wave_rad_m)) if kinds is None else np.array(kinds, np.int64)
        values = np.zeros((len(position_m), self.cosine.shape[2], len(which)))
        place = np.ascontiguousarray(position_m[:, :2], np.float64)
        _sum_waves(place, which, self.wave_rad_m, self.cosine, self.sine, values)
        return values


@compiled
def _sum_waves(
    position_m: NDArray[np.float64],
    kinds: NDArray[np.int64],
    wave_rad_m: NDArray[np.float64],
    cosine: NDArray[np.float64],
    sine: NDArray[np.float64],
    values: NDArray[np.float64],
) -> None:
    """Add every field to ``values`` [num_points, num_sites, num_kinds]."""
    for point in range(len(position_m)):
        x, y = position_m[point, 0], position_m[point, 1]
        for j in range(len(kinds)):
            kind = kinds[j]
            for n in range(wave_rad_m.shape[1]):
                phase = wave_rad_m[kind, n, 0] * x + wave_rad_m[kind, n, 1] * y
                cos, sin = np.cos(phase), np.sin(phase)
                for site in range(cosine.shape[2]):
                    values[point, site, j] += cosine[kind, n, site] * cos - sine[kind, n, site] * sin
