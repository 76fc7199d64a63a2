"""Time shares that spend the least energy plus time (FEDL: Dinh et al., arXiv 1910.13067)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import lambertw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


def slot_s(bits: Values, gain: Values, noise_psd_w_hz: float, bandwidth_hz: float, joules_per_s: float) -> Values:
    """Return how long each device of a TDMA uplink should send, one after another over the whole band.

    The minimum over tau of E(tau) + kappa tau with E = tau p and p = (N0 B / h) (2^(S / (B tau)) - 1), the power that
    carries S bits in tau: with a = N0 B / h, S / (B tau) = (1 + W_0((kappa / a - 1) / e)) / ln 2.

    Args:
        bits: S.
        gain: path gain h.
        noise_psd_w_hz: N0.
        bandwidth_hz: B.
        joules_per_s: kappa, what a second is worth.
    """
    unit_w = noise_psd_w_hz * bandwidth_hz / gain
    efficiency = (1 + np.real(lambertw((joules_per_s / unit_w - 1) / np.e))) / np.log(2)
    return np.asarray(bits / (bandwidth_hz * efficiency), np.float64)


def energy_j(time_s: Values, bits: Values, gain: Values, noise_psd_w_hz: float, bandwidth_hz: float) -> Values:
    """Return tau (N0 B / h) (2^(S / (B tau)) - 1), what a device radiates that sends its bits in this time."""
    exponent = bits / (bandwidth_hz * np.asarray(time_s)) * np.log(2)
    return np.asarray(time_s * noise_psd_w_hz * bandwidth_hz / gain * np.expm1(exponent), np.float64)
