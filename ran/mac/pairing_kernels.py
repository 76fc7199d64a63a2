"""Compiled MU-MIMO user pairing: who shares a resource block group with the UE that the scheduler chose."""

from __future__ import annotations

import math

import numba
import numpy as np


@numba.njit(cache=True)
def pair_users(  # type: ignore[no-untyped-def]
    owner,
    h,
    members,
    need_bits,
    pending,
    weight,
    noise_w,
    power_w,
    correlation_limit,
    rbg_prbs,
    re_per_prb,
    peak_efficiency,
):
    """Fill streams 1.. of every group that has an owner with UEs that raise the weighted sum rate, in place.

    Greedy semi-orthogonal user selection (Yoo & Goldsmith, IEEE JSAC 2006): while it grows, add the UE that maximises

        sum_i weight_i min(log2(1 + (power / k) g_i / noise_i), peak_efficiency),

    k the number of streams and g_i the squared norm of h_i projected orthogonally to the other streams' channels,
    which is the gain of zero-forcing. A candidate waits for bits, has no block to retransmit, and its normalised
    correlation |h_i h_j^H| / (||h_i|| ||h_j||) with every stream j of the group is below ``correlation_limit``. Ties go
    to the UE listed first. Groups are filled in ascending order; a full group takes what it carries for the UEs added
    here from ``need_bits``.

    Args:
        owner: int32 [batch, cells, groups, streams]; stream 0 is a UE or -1, streams 1.. are overwritten.
        h: effective channel of every UE to its serving cell, complex64 [batch, groups, num_ues, num_tx_ant].
        members: int32 [batch, cells, num_ues + 1]: the number of candidates, then their indices.
        need_bits: bits wanted, float64 [batch, num_ues]; reduced in place.
        pending: HARQ process to send again, -2 where it waits, or -1 for none, int64 [batch, num_ues].
        weight: price of a bit, such as 1 / mean rate, float64 [batch, num_ues].
        noise_w: noise and inter-cell interference per PRB, W, float32 [batch, num_ues, groups].
        power_w: transmit power of a cell per PRB, W.
        correlation_limit: 0..1.
        rbg_prbs: PRBs of each group, int64 [groups].
        re_per_prb: resource elements of a PRB that carry data in the slot.
        peak_efficiency: bit/s/Hz of the highest MCS.
    """
    batch, cells, groups, streams = owner.shape
    most = members.shape[2] - 1
    norm = np.empty(most)
    projection = np.empty((most, streams), np.complex128)  # h_i h_j^H of every candidate i and stream j
    open_to = np.empty(most, np.bool_)
    inverse = np.empty((streams, streams), np.complex128)  # of the Gram matrix of the streams' channels
    spread = np.empty(streams, np.complex128)
    best_spread = np.empty(streams, np.complex128)
    chosen = np.empty(streams, np.int64)
    for b in range(batch):
        for c in range(cells):
            count = members[b, c, 0]
            for r in range(groups):
                owner[b, c, r, 1:] = -1
                first = owner[b, c, r, 0]
                own = 0.0 if first < 0 else squared_norm(h[b, r, first])
                if own == 0.0:
                    continue
                for i in range(count):
                    u = members[b, c, i + 1]
                    norm[i] = squared_norm(h[b, r, u])
                    open_to[i] = need_bits[b, u] > 0.0 and pending[b, u] == -1 and u != first and norm[i] > 0.0
                chosen[0] = first
                inverse[0, 0] = 1.0 / own
                size = 1
                latest = own
                value = weight[b, first] * efficiency(own, power_w / noise_w[b, first, r], peak_efficiency)
                while size < streams:
                    best = -1
                    best_value = value
                    best_gain = 0.0
                    for i in range(count):
                        if not open_to[i]:
                            continue
                        u = members[b, c, i + 1]
                        inner = inner_product(h[b, r, u], h[b, r, chosen[size - 1]])
                        bound = correlation_limit * correlation_limit * norm[i] * latest
                        if inner.real * inner.real + inner.imag * inner.imag >= bound:
                            open_to[i] = False
                            continue
                        projection[i, size - 1] = inner
                        gain = orthogonal_gain(inverse, projection[i], norm[i], size, spread)
                        if gain <= 1e-6 * norm[i]:
                            continue
                        share = power_w / (size + 1)
                        total = weight[b, u] * efficiency(gain, share / noise_w[b, u, r], peak_efficiency)
                        for j in range(size):
                            v = chosen[j]
                            left = stream_gain(inverse, spread, gain, j)
                            total += weight[b, v] * efficiency(left, share / noise_w[b, v, r], peak_efficiency)
                        if total > best_value:
                            best, best_value, best_gain = i, total, gain
                            best_spread[:size] = spread[:size]
                    if best < 0:
                        break
                    extend(inverse, best_spread, best_gain, size)
                    chosen[size] = members[b, c, best + 1]
                    owner[b, c, r, size] = chosen[size]
                    open_to[best] = False
                    latest = norm[best]
                    value = best_value
                    size += 1
                for j in range(1, size):
                    v = chosen[j]
                    snr = power_w / size / noise_w[b, v, r]
                    bits = efficiency(1.0 / inverse[j, j].real, snr, peak_efficiency)
                    need_bits[b, v] -= bits * re_per_prb * rbg_prbs[r]


@numba.njit(cache=True, inline="always")
def efficiency(gain, snr, peak):  # type: ignore[no-untyped-def]
    """Return Shannon's rate of one stream, capped, bit/s/Hz."""
    return min(math.log2(1.0 + snr * gain), peak)


@numba.njit(cache=True)
def squared_norm(x):  # type: ignore[no-untyped-def]
    """Return ||x||^2 in double precision."""
    total = 0.0
    for m in range(len(x)):
        real, imag = float(x[m].real), float(x[m].imag)
        total += real * real + imag * imag
    return total


@numba.njit(cache=True)
def inner_product(x, y):  # type: ignore[no-untyped-def]
    """Return x y^H in double precision."""
    real = 0.0
    imag = 0.0
    for m in range(len(x)):
        a, b, c, d = float(x[m].real), float(x[m].imag), float(y[m].real), float(y[m].imag)
        real += a * c + b * d
        imag += b * c - a * d
    return complex(real, imag)


@numba.njit(cache=True)
def orthogonal_gain(inverse, projection, norm, size, spread):  # type: ignore[no-untyped-def]
    """Return the squared norm of a channel orthogonal to ``size`` others; fill its coefficients on them, ``spread``."""
    gain = norm
    for j in range(size):
        total = 0j
        for i in range(size):
            total += projection[i] * inverse[i, j]
        spread[j] = total
        gain -= (total * projection[j].conjugate()).real
    return gain


@numba.njit(cache=True, inline="always")
def stream_gain(inverse, spread, gain, j):  # type: ignore[no-untyped-def]
    """Return what zero-forcing leaves of stream j once a channel with this ``spread`` and ``gain`` is added."""
    a = spread[j]
    return 1.0 / (inverse[j, j].real + (a.real * a.real + a.imag * a.imag) / gain)


@numba.njit(cache=True)
def extend(inverse, spread, gain, size):  # type: ignore[no-untyped-def]
    """Extend the inverse of a Gram matrix G_ij = h_i h_j^H by one channel (Schur complement), in place."""
    for i in range(size):
        for j in range(size):
            inverse[i, j] += spread[i].conjugate() * spread[j] / gain
        inverse[i, size] = -spread[i].conjugate() / gain
        inverse[size, i] = -spread[i] / gain
    inverse[size, size] = 1.0 / gain
