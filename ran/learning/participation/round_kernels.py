"""Bandwidths and times of many rounds at once, compiled; ``agents/closed_forms`` holds the same in plain form."""

from __future__ import annotations

import math

import numba
import numpy as np

_LN2 = math.log(2.0)


@numba.njit(cache=True)
def lambert(x, upper):
    """Return W_0(x) (``upper``), x >= -1/e, or W_{-1}(x), -1/e <= x < 0, by Halley's method."""
    near = 2.0 * (math.e * x + 1.0)
    if near <= 0.0:
        return -1.0
    root = math.sqrt(near)
    if upper:
        if x > math.e:
            logarithm = math.log(x)
            w = logarithm - math.log(logarithm)
        elif near < 1.0:
            w = -1.0 + root - near / 3.0
        else:
            w = math.log1p(x) * (1.0 - math.log1p(math.log1p(x)) / (2.0 + math.log1p(x))) if x > 0.0 else x * (1.0 - x)
    elif near < 1.0:
        w = -1.0 - root - near / 3.0
    else:
        first = math.log(-x)
        second = math.log(-first)
        w = first - second + second / first
    for _ in range(20):
        grown = math.exp(w)
        excess = w * grown - x
        slope = grown * (w + 1.0)
        if slope == 0.0:
            break
        change = excess / (slope - excess * (w + 2.0) / (2.0 * w + 2.0))
        w -= change
        if abs(change) <= 1e-14 * (1.0 + abs(w)):
            break
    return w


@numba.njit(cache=True)
def rate(band, reach, cap):
    """Return min(b log2(1 + x / b), cap b) bit/s."""
    return min(band * math.log1p(reach / band) / _LN2, cap * band)


@numba.njit(cache=True)
def band_for(wanted, reach, cap):
    """Return the least bandwidth of a rate, and its derivative; infinite where none is enough."""
    load = wanted * _LN2 / reach
    if load >= 1.0:
        return math.inf, math.inf
    if wanted <= 0.0:
        return 0.0, 1.0 / cap
    snr = -lambert(-load * math.exp(-load), False) / load - 1.0
    band = reach / snr if snr > 0.0 else math.inf
    if wanted / cap >= band:
        return wanted / cap, 1.0 / cap
    return band, _LN2 / (math.log1p(snr) - snr / (1.0 + snr))


@numba.njit(cache=True)
def _bracket(compute_s, bits, reach, cap, total):
    """Return times before and after that at which all can finish together; 0 and 0 where nobody takes part."""
    count = 0
    low = 0.0
    high = 0.0
    for k in range(len(bits)):
        count += bits[k] > 0.0
    for k in range(len(bits)):
        if bits[k] > 0.0:
            low = max(low, compute_s[k] + bits[k] / rate(total, reach[k], cap))
            high = max(high, compute_s[k] + bits[k] / rate(total / count, reach[k], cap))
    return low, high


@numba.njit(cache=True)
def _needed(time, compute_s, bits, reach, cap):
    """Return the bandwidth with which all finish by ``time``, and its derivative."""
    needed = 0.0
    slope = 0.0
    for k in range(len(bits)):
        if bits[k] > 0.0:
            left = time - compute_s[k]
            each, by_rate = band_for(bits[k] / left, reach[k], cap)
            needed += each
            slope -= by_rate * bits[k] / (left * left)
    return needed, slope


@numba.njit(cache=True)
def together(compute_s, bits, reach, cap, total, band):
    """Fill ``band`` so that all finish together, and return when (Shi et al.); no ``bits``: not taking part.

    Newton's method on 1 / sum of bandwidths, which is nearly linear in time, within a bracket.
    """
    band[:] = 0.0
    low, high = _bracket(compute_s, bits, reach, cap, total)
    if high == 0.0:
        return 0.0
    time = low
    for _ in range(60):
        needed, slope = _needed(time, compute_s, bits, reach, cap)
        if needed > total:
            low = time
        else:
            high = time
        if abs(needed - total) <= 1e-12 * total or high - low <= 1e-15 * high:
            break
        # d(1 / needed)/dT = -slope / needed^2.
        following = time + (1.0 / total - 1.0 / needed) * needed * needed / -slope if needed < math.inf else math.inf
        time = following if low < following < high else (low + high) / 2.0
    total_found = 0.0
    for k in range(len(bits)):
        if bits[k] > 0.0:
            band[k] = band_for(bits[k] / (time - compute_s[k]), reach[k], cap)[0]
            total_found += band[k]
    for k in range(len(bits)):
        band[k] *= total / total_found
    return time


@numba.njit(cache=True)
def carry_out(compute_s, bits, reach, cap, total, lean_db, band, send_s):
    """Fill bandwidths and sending times, [batch, num_ues] each, and return how long the rounds take, [batch].

    ``lean_db`` is what the agent adds to the bandwidths with which all would finish together, before they are made to
    fill the band again.
    """
    taken = np.zeros(len(bits))
    for b in range(len(bits)):
        together(compute_s[b], bits[b], reach[b], cap, total, band[b])
        whole = 0.0
        for k in range(bits.shape[1]):
            band[b, k] *= 10.0 ** (lean_db[b, k] / 10.0)
            whole += band[b, k]
        for k in range(bits.shape[1]):
            send_s[b, k] = 0.0
            if bits[b, k] > 0.0:
                band[b, k] *= total / whole
                send_s[b, k] = bits[b, k] / rate(band[b, k], reach[b, k], cap)
                taken[b] = max(taken[b], compute_s[b, k] + send_s[b, k])
    return taken
