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
    snr = np.empty(h.shape[2])  # of a channel of norm 1 with all power, by UE
    norm = np.empty(most)
    projection = np.empty((most, streams), np.complex128)  # h_i h_j^H of every candidate i and stream j
    eligible = np.empty(most, np.bool_)
    inverse = np.empty((streams, streams), np.complex128)  # of the Gram matrix of the streams' channels
    spread = np.empty((2, streams), np.complex128)  # of the candidate at hand, and of the best
    for b in range(batch):
        for c in range(cells):
            listed = members[b, c, 1 : members[b, c, 0] + 1]
            for r in range(groups):
                group = owner[b, c, r]
                group[1:] = -1
                first = group[0]
                own = 0.0 if first < 0 else squared_norm(h[b, r, first])
                if own == 0.0:
                    continue
                for i in range(len(listed)):
                    u = listed[i]
                    norm[i] = squared_norm(h[b, r, u])
                    eligible[i] = need_bits[b, u] > 0.0 and pending[b, u] == -1 and u != first and norm[i] > 0.0
                    snr[u] = power_w / noise_w[b, u, r]
                snr[first] = power_w / noise_w[b, first, r]
                inverse[0, 0] = 1.0 / own
                work = (norm, projection, eligible, inverse, spread)
                size = fill_group(group, listed, h[b, r], weight[b], snr, correlation_limit, peak_efficiency, own, work)
                for j in range(1, size):
                    v = group[j]
                    bits = efficiency(1.0 / inverse[j, j].real, snr[v] / size, peak_efficiency)
                    need_bits[b, v] -= bits * re_per_prb * rbg_prbs[r]


@numba.njit(cache=True)
def fill_group(group, listed, h, weight, snr, correlation_limit, peak_efficiency, own, work):  # type: ignore[no-untyped-def]
    """Add streams to one group while its value grows; return their number. ``own`` is ||h||^2 of stream 0."""
    norm, _, _, inverse, spread = work
    value = weight[group[0]] * efficiency(own, snr[group[0]], peak_efficiency)
    bound = correlation_limit * correlation_limit * own
    size = 1
    while size < len(group):
        best, value, gain = best_partner(group[:size], listed, h, weight, snr, bound, peak_efficiency, value, work)
        if best < 0:
            break
        extend(inverse, spread[1], gain, size)
        group[size] = listed[best]
        bound = correlation_limit * correlation_limit * norm[best]
        size += 1
    return size


@numba.njit(cache=True)
def best_partner(group, listed, h, weight, snr, bound, peak_efficiency, value, work):  # type: ignore[no-untyped-def]
    """Return the position in ``listed`` of the UE that raises ``value`` most, or -1, the new value and the UE's gain.

    Candidates whose squared inner product with the last stream reaches ``bound`` times their squared norm drop out;
    that includes the last stream itself.
    """
    norm, projection, eligible, inverse, spread = work
    size = len(group)
    best = -1
    best_gain = 0.0
    for i in range(len(listed)):
        if not eligible[i]:
            continue
        u = listed[i]
        inner = inner_product(h[u], h[group[size - 1]])
        if inner.real * inner.real + inner.imag * inner.imag >= bound * norm[i]:
            eligible[i] = False
            continue
        projection[i, size - 1] = inner
        gain = orthogonal_gain(inverse, projection[i], norm[i], size, spread[0])
        if gain <= 1e-6 * norm[i]:
            continue
        total = weight[u] * efficiency(gain, snr[u] / (size + 1), peak_efficiency)
        for j in range(size):
            v = group[j]
            left = stream_gain(inverse, spread[0], gain, j)
            total += weight[v] * efficiency(left, snr[v] / (size + 1), peak_efficiency)
        if total > value:
            best, value, best_gain = i, total, gain
            spread[1, :size] = spread[0, :size]
    return best, value, best_gain


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
