"""ICGNN's passes on a CPU, compiled: 32 matrices at a time, one in each lane, so that all stays in the cache.

The same computation as ``agents.gnn.icgnn_network``, in single precision. Every array's last axis is the lanes; complex
ones have the real parts of all lanes before the imaginary parts. Axes over streams are padded with zeros to multiples
of four, so that sums can be taken four at a time.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import math

import numba
import numpy as np

from agents.gnn.conjugate_gradient_kernels import FAST, LANES, conjugate_gradients, row_times_matrix

# Rows of ``nodes``: 0 presence, 1 log noise, 2 load, 3 log share, 4 column (its log power, then its factor), 5 target,
# 6 signal, 7 disturbance, 8 log weight, 9 scale S, 10 row factor.
_NODES = 11
_LEAST, _ZERO, _HALF, _ONE = np.float32(1e-30), np.float32(0.0), np.float32(0.5), np.float32(1.0)
_LOWEST, _QUARTER, _MOST_LOG, _MOST_PART = np.float32(-1e4), np.float32(0.25), np.float32(14.0), np.float32(8.0)


@numba.njit(cache=True, fastmath=FAST)
def forward(gram, noise, present, weights, inner_steps, tolerance, most_log_ratio, found):
    """Fill ``found`` [batch, K, K, 2] with the coefficients of the last pass for correlations of the same shape.

    ``noise`` and ``present`` (0 or 1) are [batch, K]; ``weights`` those of ``IcgnnNetwork.stacked``, passes first; the
    last three numbers are the network's limits of conjugate gradients and of log q. All real numbers are float32.
    """
    batch, size = noise.shape
    num_passes, width = weights[1].shape
    padded = (size + 3) // 4 * 4
    g = np.zeros((padded, padded, 2 * LANES), np.float32)
    a, c, x, r = np.zeros_like(g), np.zeros_like(g), np.zeros_like(g), np.zeros_like(g)
    gain = np.zeros((padded, padded, LANES), np.float32)
    nodes, count = np.zeros((_NODES, padded, LANES), np.float32), np.zeros((2, LANES), np.float32)
    hidden, fresh = np.zeros((padded, width, LANES), np.float32), np.zeros((padded, width, LANES), np.float32)
    for first in range(0, batch, LANES):
        _load(gram, noise, present, first, size, g, nodes, count)
        for step in range(num_passes):
            _receive(g, a, x, step == 0, count[0], size, gain, nodes)
            _choose(step, weights, count, size, gain, nodes, hidden, fresh)
            _matrix(g, most_log_ratio, size, nodes, c)
            steps = size if step + 1 == num_passes else min(size, inner_steps)
            conjugate_gradients(c, steps, tolerance, size, x, r)
            _coefficients(c, x, r, nodes, size, a)
        _store(a, first, size, found)


@numba.njit(cache=True, fastmath=FAST)
def _load(gram, noise, present, first, size, g, nodes, count):
    """Bring a block of matrices into lanes, with equal shares; the last lanes repeat the last matrix."""
    here, log_noise, load, share = nodes[0], nodes[1], nodes[2], nodes[3]
    last = len(gram) - 1
    for n in range(LANES):
        b = min(first + n, last)
        total = _ZERO
        for k in range(size):
            row = _ZERO
            for j in range(size):
                real, imag = gram[b, k, j, 0], gram[b, k, j, 1]
                g[k, j, n], g[k, j, LANES + n] = real, imag
                row += real * real + imag * imag
            here[k, n], load[k, n], log_noise[k, n] = present[b, k], row - _ONE, np.float32(math.log(noise[b, k]))
            total += present[b, k]
        count[0, n] = max(total, _ONE)
        count[1, n] = np.float32(math.log(count[0, n]))
    share[:size] = _ZERO
    _log_softmax(here, share, size)


@numba.njit(cache=True, fastmath=FAST)
def _store(a, first, size, found):
    for n in range(min(LANES, len(found) - first)):
        for k in range(size):
            for j in range(size):
                found[first + n, k, j, 0], found[first + n, k, j, 1] = a[k, j, n], a[k, j, LANES + n]


@numba.njit(cache=True, fastmath=FAST)
def _log_softmax(here, value, size):
    """Replace values by the logarithms of shares over the streams present, as ``Graph.log_shares``."""
    for n in range(LANES):
        most = _LOWEST
        for k in range(size):
            value[k, n] = max(value[k, n], _LOWEST) if here[k, n] > _ZERO else _LOWEST
            most = max(most, value[k, n])
        total = _ZERO
        for k in range(size):
            total += np.float32(math.exp(value[k, n] - most))
        total = np.float32(math.log(total)) + most
        for k in range(size):
            value[k, n] -= total


@numba.njit(cache=True, fastmath=FAST)
def _receive(g, a, work, first, count, size, gain, nodes):
    """Fill what the coefficients ``a`` do, ``gain`` without its diagonal; at first they are the unit matrix."""
    log_noise, signal, disturbance, log_weight = nodes[1], nodes[6], nodes[7], nodes[8]
    power = np.zeros(LANES, np.float32)
    for k in range(size):
        if first:
            received = g[k]
        else:
            received = work[0]
            row_times_matrix(g[k], a, received, size)
            for j in range(size):
                for n in range(LANES):
                    i = n + LANES
                    power[n] += received[j, n] * a[k, j, n] + received[j, i] * a[k, j, i]
        for j in range(size):
            for n in range(LANES):
                i = n + LANES
                gain[k, j, n] = received[j, n] * received[j, n] + received[j, i] * received[j, i]
    for n in range(LANES):
        power[n] = _ONE / (count[n] if first else max(power[n], _LEAST))
    for k in range(size):
        for n in range(LANES):
            signal[k, n] = gain[k, k, n] * power[n]
            gain[k, k, n] = _ZERO
            disturbance[k, n] = np.float32(math.exp(log_noise[k, n]))
        for j in range(size):
            for n in range(LANES):
                gain[k, j, n] *= power[n]
                disturbance[k, n] += gain[k, j, n]
        for n in range(LANES):
            log_weight[k, n] = np.float32(math.log1p(signal[k, n] / disturbance[k, n]))


@numba.njit(cache=True, fastmath=FAST)
def _choose(step, weights, count, size, gain, nodes, hidden, fresh):
    """Fill the shares, and the columns' log powers, that one pass of the graph network chooses."""
    embed, embed_bias, rounds, rounds_bias, everyone, head, head_bias = weights
    here, log_noise, share, column, target = nodes[0], nodes[1], nodes[3], nodes[4], nodes[5]
    signal, disturbance, log_weight = nodes[6], nodes[7], nodes[8]
    features, answer = np.zeros((embed.shape[2], LANES), np.float32), np.zeros((3, LANES), np.float32)
    for k in range(size):
        for n in range(LANES):
            strength = np.float32(math.log(max(signal[k, n], _LEAST)))
            total = np.float32(math.log(signal[k, n] + disturbance[k, n]))
            target[k, n] = log_weight[k, n] + strength - total - total + log_noise[k, n]
    _log_softmax(here, target, size)
    for k in range(size):
        _features(k, nodes, count[1], gain, size, features)
        _affine(embed[step], embed_bias[step], features, hidden[k])
        for u in range(hidden.shape[1]):
            for n in range(LANES):
                hidden[k, u, n] = max(hidden[k, u, n], _ZERO)
    _divide(gain, signal, disturbance, size)
    for turn in range(rounds.shape[1]):
        _exchange(
            rounds[step, turn], rounds_bias[step, turn], everyone[step], gain, here, count[0], size, hidden, fresh
        )
        hidden, fresh = fresh, hidden
    for k in range(size):
        _affine(head[step], head_bias[step], hidden[k], answer)
        for n in range(LANES):
            share[k, n] += answer[0, n] * (target[k, n] - share[k, n]) + answer[1, n]
            column[k, n] = answer[2, n] + (log_weight[k, n] if step > 0 else _ZERO)
    _log_softmax(here, share, size)


@numba.njit(cache=True, fastmath=FAST)
def _features(k, nodes, log_count, gain, size, features):
    """Fill what node k knows, [features, lanes], as ``icgnn_network._features``; a tenth is the log of the count."""
    here, log_noise, load, share, target = nodes[0], nodes[1], nodes[2], nodes[3], nodes[5]
    signal, disturbance, log_weight = nodes[6], nodes[7], nodes[8]
    for n in range(LANES):
        strength = np.float32(math.log(max(signal[k, n], _LEAST)))
        features[0, n] = -(log_noise[k, n] + log_count[n])
        features[1, n] = share[k, n] + log_count[n]
        features[2, n] = target[k, n] + log_count[n]
        features[3, n] = strength - log_noise[k, n]
        features[4, n] = strength + log_count[n]
        features[5, n] = log_weight[k, n]
        features[6, n] = _ONE - np.float32(math.exp(log_noise[k, n])) / disturbance[k, n]
        features[7, n] = _ZERO
        features[8, n] = load[k, n]
        if len(features) > 9:
            features[9, n] = log_count[n]
    for j in range(size):
        for n in range(LANES):
            features[7, n] += gain[j, k, n] / disturbance[j, n]
    for n in range(LANES):
        for f in range(5):
            features[f, n] = min(max(features[f, n], -_MOST_LOG), _MOST_LOG) * _QUARTER * here[k, n]
        for f in range(5, 9):
            features[f, n] = min(features[f, n], _MOST_PART) * here[k, n]


@numba.njit(cache=True, fastmath=FAST)
def _divide(gain, signal, disturbance, size):
    """Divide every row of ``gain`` by all that its node receives."""
    for k in range(size):
        for j in range(size):
            for n in range(LANES):
                gain[k, j, n] /= signal[k, n] + disturbance[k, n]


@numba.njit(cache=True, fastmath=FAST)
def _affine(weight, bias, inputs, out):
    """Fill out [u, lanes] with weight [u, v] times inputs [v, lanes] and the bias [u]."""
    whole = len(inputs) // 8 * 8
    for u in range(len(out)):
        w = weight[u]
        for n in range(LANES):
            out[u, n] = bias[u]
        for v in range(0, whole, 8):
            w0, w1, w2, w3 = w[v], w[v + 1], w[v + 2], w[v + 3]
            w4, w5, w6, w7 = w[v + 4], w[v + 5], w[v + 6], w[v + 7]
            for n in range(LANES):
                out[u, n] += (
                    w0 * inputs[v, n] + w1 * inputs[v + 1, n] + w2 * inputs[v + 2, n] + w3 * inputs[v + 3, n]
                    + w4 * inputs[v + 4, n] + w5 * inputs[v + 5, n] + w6 * inputs[v + 6, n] + w7 * inputs[v + 7, n]
                )  # fmt: skip
        for v in range(whole, len(inputs)):
            for n in range(LANES):
                out[u, n] += w[v] * inputs[v, n]


@numba.njit(cache=True, fastmath=FAST)
def _exchange(weight, bias, everyone, parts, here, count, size, hidden, fresh):
    """Fill ``fresh`` with the hidden states after one round of messages along ``parts`` [K, K, lanes]."""
    width = hidden.shape[1]
    inputs = np.zeros((3 * width, LANES), np.float32)
    mean, common = np.zeros((width, LANES), np.float32), np.zeros((width, LANES), np.float32)
    for k in range(size):
        for u in range(width):
            for n in range(LANES):
                mean[u, n] += hidden[k, u, n] * (here[k, n] / count[n])
    _affine(everyone, np.zeros(width, np.float32), mean, common)
    for k in range(size):
        out = fresh[k]
        inputs[width:] = _ZERO
        for j in range(0, size, 4):
            for u in range(width):
                for n in range(LANES):
                    h0, h1, h2, h3 = hidden[j, u, n], hidden[j + 1, u, n], hidden[j + 2, u, n], hidden[j + 3, u, n]
                    inputs[width + u, n] += (
                        parts[k, j, n] * h0 + parts[k, j + 1, n] * h1
                        + parts[k, j + 2, n] * h2 + parts[k, j + 3, n] * h3
                    )  # fmt: skip
                    inputs[2 * width + u, n] += (
                        parts[j, k, n] * h0 + parts[j + 1, k, n] * h1
                        + parts[j + 2, k, n] * h2 + parts[j + 3, k, n] * h3
                    )  # fmt: skip
        for u in range(width):
            for n in range(LANES):
                inputs[u, n] = hidden[k, u, n]
        _affine(weight, bias, inputs, out)
        for u in range(width):
            for n in range(LANES):
                out[u, n] = hidden[k, u, n] + max(out[u, n] + common[u, n], _ZERO)


@numba.njit(cache=True, fastmath=FAST)
def _matrix(g, most_log_ratio, size, nodes, c):
    """Fill C = I + S (G - I) S, and the factors of the coefficients' rows and columns."""
    here, log_noise, share, column, scale, row = nodes[0], nodes[1], nodes[3], nodes[4], nodes[9], nodes[10]
    most = np.full((2, LANES), _LOWEST - _LOWEST * _LOWEST, np.float32)
    for k in range(size):
        for n in range(LANES):
            log_q = share[k, n] - log_noise[k, n]
            held = min(log_q, most_log_ratio)
            log_scale = _HALF * (min(held, _ZERO) - np.float32(math.log1p(math.exp(-abs(held)))))
            log_rest = -max(log_q, _ZERO) - np.float32(math.log1p(math.exp(-abs(log_q))))  # of 1 / (1 + q)
            scale[k, n] = np.float32(math.exp(log_scale)) * here[k, n]
            row[k, n], column[k, n] = log_scale, _HALF * (column[k, n] + log_rest)
            if here[k, n] > _ZERO:
                most[0, n], most[1, n] = max(most[0, n], row[k, n]), max(most[1, n], column[k, n])
    for k in range(size):
        for n in range(LANES):
            if here[k, n] > _ZERO:
                row[k, n] = np.float32(math.exp(row[k, n] - most[0, n]))
                column[k, n] = np.float32(math.exp(column[k, n] - most[1, n]))
            else:
                row[k, n], column[k, n] = _ZERO, _ZERO
        for j in range(size):
            for n in range(LANES):
                factor = scale[k, n] * scale[j, n]
                c[k, j, n] = factor * g[k, j, n]
                c[k, j, n + LANES] = factor * g[k, j, n + LANES]
        for n in range(LANES):
            c[k, k, n], c[k, k, n + LANES] = _ONE, _ZERO


@numba.njit(cache=True, fastmath=FAST)
def _coefficients(c, x, r, nodes, size, a):
    """Fill A = diag(row) (X + R X^H) diag(column); ``c`` is overwritten."""
    column, row = nodes[4], nodes[10]
    for k in range(size):
        for j in range(size):
            for n in range(LANES):
                c[j, k, n], c[j, k, n + LANES] = x[k, j, n], -x[k, j, n + LANES]
    for k in range(size):
        row_times_matrix(r[k], c, a[k], size)
        for j in range(size):
            for n in range(LANES):
                factor = row[k, n] * column[j, n]
                a[k, j, n] = factor * (a[k, j, n] + x[k, j, n])
                a[k, j, n + LANES] = factor * (a[k, j, n + LANES] + x[k, j, n + LANES])
