"""Bandwidth with which all devices of a federated round finish together (Shi et al., arXiv 2007.07174)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq
from scipy.special import lambertw

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]


def bandwidth_hz(left_s: Values, bits: Values, reach_hz: Values, cap: float = np.inf) -> Values:
    """Return the least bandwidth with which each device sends its bits in the time left to it.

    b = -S ln 2 / (t (W_{-1}(-G e^{-G}) + G)) with G = S ln 2 / (t x): the root of b log2(1 + x / b) = S / t. Where a
    hertz carries no more than ``cap`` bit/s, rate min(b log2(1 + x / b), cap b), the root is max(b, S / (t cap)).

    Args:
        left_s: time to send in, t.
        bits: to send, S.
        reach_hz: x = p h / N0, the bandwidth at which the SNR is 1.
        cap: spectral efficiency of the highest MCS, bit/s/Hz.

    Returns:
        Infinite where no bandwidth is enough: x / ln 2, the rate of infinite bandwidth, is below S / t.
    """
    wanted = np.divide(bits, left_s, out=np.full(np.shape(left_s), np.inf), where=np.asarray(left_s) > 0)
    load = wanted * np.log(2) / reach_hz
    within = load < 1
    safe, sent = np.where(within, load, 0.5), np.where(within, wanted, 0.0)
    root = np.real(lambertw(-safe * np.exp(-safe), -1))
    return np.where(within, np.maximum(-sent * np.log(2) / (root + safe), sent / cap), np.inf)


def finish_together(
    compute_s: Values, bits: Values, reach_hz: Values, total_hz: float, cap: float = np.inf
) -> tuple[float, Values]:
    """Return the least time of a round, and the bandwidths, [num_devices], with which all finish at it.

    The sum of ``bandwidth_hz(T - compute_s, ...)`` falls in T; the round takes the T where it is ``total_hz``.

    Args:
        compute_s: local training of each device.
        bits: of each device; it and the next as ``bandwidth_hz`` takes them.
        reach_hz: of each device.
        total_hz: shared by all.
        cap: spectral efficiency of the highest MCS, bit/s/Hz.
    """
    own = bits / _rate(np.full(len(bits), total_hz), reach_hz, cap)
    low = float(np.max(compute_s + own))
    if len(bits) == 1:
        return low, np.array([total_hz])
    share = np.full(len(bits), total_hz / len(bits))
    high = float(np.max(compute_s + bits / _rate(share, reach_hz, cap)))

    def excess(time_s: float) -> float:
        return float(np.sum(bandwidth_hz(time_s - compute_s, bits, reach_hz, cap))) - total_hz

    # The slowest may need nearly everything just then: rounding decides the sign.
    time_s = low if excess(low) <= 0 else high if excess(high) >= 0 else brentq(excess, low, high, xtol=1e-15)
    shares = bandwidth_hz(time_s - compute_s, bits, reach_hz, cap)
    return time_s, shares * (total_hz / shares.sum())


def _rate(band_hz: Values, reach_hz: Values, cap: float) -> Values:
    return np.minimum(band_hz * np.log2(1 + reach_hz / band_hz), cap * band_hz)
