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

_FAST = {"contract", "reassoc", "nsz", "arcp"}
_LANES = 32
_LEAST, _TINY = np.float32(1e-30), np.float32(1.1754944e-38)
_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
_LOWEST, _QUARTER, _MOST_LOG, _MOST_PART = np.float32(-1e4), np.float32(0.25), np.float32(14.0), np.float32(8.0)


@numba.njit(cache=True, fastmath=_FAST)
def forward(
    gram, noise, present, embed, embed_bias, rounds, rounds_bias, everyone, head, head_bias,
    inner_steps, tolerance, most_log_ratio, log_count_feature, found,
):  # fmt: skip
    """Fill ``found`` with the coefficients of the last pass, float32 [batch, K, K, 2].

    Args:
        gram: correlations, float32 [batch, K, K, 2].
        noise, present: float32 [batch, K]; presence is 0 or 1.
        embed, embed_bias: [passes, width, features], [passes, width].
        rounds, rounds_bias: [passes, rounds, width, 3 width], [passes, rounds, width].
        everyone: [passes, width, width].
        head, head_bias: [passes, 3, width], [passes, 3].
        inner_steps, tolerance: of conjugate gradients.
        most_log_ratio: held uplink ratio.
        log_count_feature: whether the logarithm of the number of streams is the last feature.
        found: what is filled.
    """
    batch, size = noise.shape
    padded = (size + 3) // 4 * 4
    num_passes, width, num_features = embed.shape
    g = np.zeros((padded, padded, 2 * _LANES), np.float32)
    a, c, x, r = np.zeros_like(g), np.zeros_like(g), np.zeros_like(g), np.zeros_like(g)
    gain = np.zeros((padded, padded, _LANES), np.float32)
    nodes = np.zeros((11, padded, _LANES), np.float32)
    features = np.zeros((num_features, _LANES), np.float32)
    hidden, fresh = np.zeros((padded, width, _LANES), np.float32), np.zeros((padded, width, _LANES), np.float32)
    answer = np.zeros((3, _LANES), np.float32)
    count = np.zeros((2, _LANES), np.float32)  # and its logarithm
    here, log_noise, load, share, power, target, signal, disturbance, log_weight, scale, row = nodes
    for first in range(0, batch, _LANES):
        _load(gram, noise, present, first, size, g, here, log_noise, load, count)
        share[:size] = _ZERO
        _log_softmax(here, share, size)
        for step in range(num_passes):
            _receive(g, a, x, step == 0, count[0], log_noise, size, gain, signal, disturbance, log_weight)
            for k in range(size):
                for l in range(_LANES):
                    strength = np.float32(math.log(max(signal[k, l], _LEAST)))
                    total = np.float32(math.log(signal[k, l] + disturbance[k, l]))
                    target[k, l] = log_weight[k, l] + strength - total - total + log_noise[k, l]
            _log_softmax(here, target, size)
            for k in range(size):
                _features(k, nodes, count[1], gain, size, log_count_feature, features)
                _linear(embed[step], embed_bias[step], features, hidden[k])
            _shares_of_reception(gain, signal, disturbance, size)
            for turn in range(rounds.shape[1]):
                _exchange(
                    rounds[step, turn], rounds_bias[step, turn], everyone[step], gain, here, count[0], size, hidden, fresh
                )
                hidden, fresh = fresh, hidden
            for k in range(size):
                _affine(head[step], head_bias[step], hidden[k], answer)
                for l in range(_LANES):
                    share[k, l] += answer[0, l] * (target[k, l] - share[k, l]) + answer[1, l]
                    power[k, l] = answer[2, l] + (log_weight[k, l] if step > 0 else _ZERO)
            _log_softmax(here, share, size)
            steps = size if step + 1 == num_passes else min(size, inner_steps)
            _matrix(g, share, log_noise, here, most_log_ratio, size, c, scale, row, power)
            _conjugate_gradients(c, steps, tolerance, size, x, r)
            _coefficients(c, x, r, row, power, size, a)
        _store(a, first, size, found)


@numba.njit(cache=True, fastmath=_FAST)
def _load(gram, noise, present, first, size, g, here, log_noise, load, count):
    """Bring a block of matrices into lanes; the last lanes repeat the last matrix."""
    last = len(gram) - 1
    for l in range(_LANES):
        b = min(first + l, last)
        total = _ZERO
        for k in range(size):
            row = _ZERO
            for j in range(size):
                real, imag = gram[b, k, j, 0], gram[b, k, j, 1]
                g[k, j, l], g[k, j, _LANES + l] = real, imag
                row += real * real + imag * imag
            here[k, l], load[k, l], log_noise[k, l] = present[b, k], row - _ONE, np.float32(math.log(noise[b, k]))
            total += present[b, k]
        count[0, l] = max(total, _ONE)
        count[1, l] = np.float32(math.log(count[0, l]))


@numba.njit(cache=True, fastmath=_FAST)
def _store(a, first, size, found):
    for l in range(min(_LANES, len(found) - first)):
        for k in range(size):
            for j in range(size):
                found[first + l, k, j, 0], found[first + l, k, j, 1] = a[k, j, l], a[k, j, _LANES + l]


@numba.njit(cache=True, fastmath=_FAST)
def _log_softmax(here, value, size):
    """Replace values by the logarithms of shares over the streams present, as ``Graph.log_shares``."""
    for l in range(_LANES):
        most = _LOWEST
        for k in range(size):
            value[k, l] = max(value[k, l], _LOWEST) if here[k, l] > _ZERO else _LOWEST
            most = max(most, value[k, l])
        total = _ZERO
        for k in range(size):
            total += np.float32(math.exp(value[k, l] - most))
        total = np.float32(math.log(total)) + most
        for k in range(size):
            value[k, l] -= total


@numba.njit(cache=True, fastmath=_FAST)
def _row(p, c, t, size):
    """Fill t with the row p times the matrix c, complex: p and t are [K, 2 lanes], c [K, K, 2 lanes]."""
    for j in range(size):
        for l in range(2 * _LANES):
            t[j, l] = _ZERO
    for k in range(0, size, 4):
        for j in range(size):
            for l in range(_LANES):
                i = l + _LANES
                t[j, l] += (
                    p[k, l] * c[k, j, l] - p[k, i] * c[k, j, i]
                    + p[k + 1, l] * c[k + 1, j, l] - p[k + 1, i] * c[k + 1, j, i]
                    + p[k + 2, l] * c[k + 2, j, l] - p[k + 2, i] * c[k + 2, j, i]
                    + p[k + 3, l] * c[k + 3, j, l] - p[k + 3, i] * c[k + 3, j, i]
                )  # fmt: skip
                t[j, i] += (
                    p[k, l] * c[k, j, i] + p[k, i] * c[k, j, l]
                    + p[k + 1, l] * c[k + 1, j, i] + p[k + 1, i] * c[k + 1, j, l]
                    + p[k + 2, l] * c[k + 2, j, i] + p[k + 2, i] * c[k + 2, j, l]
                    + p[k + 3, l] * c[k + 3, j, i] + p[k + 3, i] * c[k + 3, j, l]
                )  # fmt: skip


@numba.njit(cache=True, fastmath=_FAST)
def _receive(g, a, work, first, count, log_noise, size, gain, signal, disturbance, log_weight):
    """Fill what the coefficients ``a`` do, without the diagonal of ``gain``; those of the first pass are the unit matrix."""
    power = np.zeros(_LANES, np.float32)
    for k in range(size):
        if first:
            received = g[k]
        else:
            received = work[0]
            _row(g[k], a, received, size)
            for j in range(size):
                for l in range(_LANES):
                    i = l + _LANES
                    power[l] += received[j, l] * a[k, j, l] + received[j, i] * a[k, j, i]
        for j in range(size):
            for l in range(_LANES):
                i = l + _LANES
                gain[k, j, l] = received[j, l] * received[j, l] + received[j, i] * received[j, i]
    for l in range(_LANES):
        power[l] = _ONE / (count[l] if first else max(power[l], _LEAST))
    for k in range(size):
        for l in range(_LANES):
            signal[k, l] = gain[k, k, l] * power[l]
            gain[k, k, l] = _ZERO
            disturbance[k, l] = np.float32(math.exp(log_noise[k, l]))
        for j in range(size):
            for l in range(_LANES):
                gain[k, j, l] *= power[l]
                disturbance[k, l] += gain[k, j, l]
        for l in range(_LANES):
            log_weight[k, l] = np.float32(math.log1p(signal[k, l] / disturbance[k, l]))


@numba.njit(cache=True, fastmath=_FAST)
def _features(k, nodes, log_count, gain, size, log_count_feature, features):
    """Fill what node k knows, [features, lanes], as ``icgnn_network._features``."""
    here, log_noise, load, share, _, target, signal, disturbance, log_weight, _, _ = nodes
    for l in range(_LANES):
        strength = np.float32(math.log(max(signal[k, l], _LEAST)))
        features[0, l] = -(log_noise[k, l] + log_count[l])
        features[1, l] = share[k, l] + log_count[l]
        features[2, l] = target[k, l] + log_count[l]
        features[3, l] = strength - log_noise[k, l]
        features[4, l] = strength + log_count[l]
        features[5, l] = log_weight[k, l]
        features[6, l] = _ONE - np.float32(math.exp(log_noise[k, l])) / disturbance[k, l]
        features[7, l] = _ZERO
        features[8, l] = load[k, l]
        if log_count_feature:
            features[9, l] = log_count[l]
    for j in range(size):
        for l in range(_LANES):
            features[7, l] += gain[j, k, l] / disturbance[j, l]
    for l in range(_LANES):
        for f in range(5):
            features[f, l] = min(max(features[f, l], -_MOST_LOG), _MOST_LOG) * _QUARTER * here[k, l]
        for f in range(5, 9):
            features[f, l] = min(features[f, l], _MOST_PART) * here[k, l]


@numba.njit(cache=True, fastmath=_FAST)
def _shares_of_reception(gain, signal, disturbance, size):
    """Divide every row of ``gain`` by all that its node receives."""
    for k in range(size):
        for j in range(size):
            for l in range(_LANES):
                gain[k, j, l] /= signal[k, l] + disturbance[k, l]


@numba.njit(cache=True, fastmath=_FAST)
def _affine(weight, bias, inputs, out):
    """Fill out [u, lanes] with weight [u, v] times inputs [v, lanes] and the bias [u]."""
    whole = len(inputs) // 4 * 4
    for u in range(len(out)):
        for l in range(_LANES):
            out[u, l] = bias[u]
        for v in range(0, whole, 4):
            w0, w1, w2, w3 = weight[u, v], weight[u, v + 1], weight[u, v + 2], weight[u, v + 3]
            for l in range(_LANES):
                out[u, l] += (
                    w0 * inputs[v, l] + w1 * inputs[v + 1, l] + w2 * inputs[v + 2, l] + w3 * inputs[v + 3, l]
                )
        for v in range(whole, len(inputs)):
            for l in range(_LANES):
                out[u, l] += weight[u, v] * inputs[v, l]


@numba.njit(cache=True, fastmath=_FAST)
def _linear(weight, bias, inputs, out):
    """``_affine`` and a rectifier."""
    _affine(weight, bias, inputs, out)
    for u in range(len(out)):
        for l in range(_LANES):
            out[u, l] = max(out[u, l], _ZERO)


@numba.njit(cache=True, fastmath=_FAST)
def _exchange(weight, bias, everyone, parts, here, count, size, hidden, fresh):
    """Fill ``fresh`` with the hidden states after one round of messages along ``parts`` [K, K, lanes]."""
    width = hidden.shape[1]
    inputs = np.zeros((3 * width, _LANES), np.float32)
    mean, common, out = np.zeros((width, _LANES), np.float32), np.zeros((width, _LANES), np.float32), fresh[0]
    for k in range(size):
        for u in range(width):
            for l in range(_LANES):
                mean[u, l] += hidden[k, u, l] * (here[k, l] / count[l])
    _affine(everyone, np.zeros(width, np.float32), mean, common)
    for k in range(size):
        out = fresh[k]
        inputs[width:] = _ZERO
        for j in range(0, size, 4):
            for u in range(width):
                for l in range(_LANES):
                    h0, h1, h2, h3 = hidden[j, u, l], hidden[j + 1, u, l], hidden[j + 2, u, l], hidden[j + 3, u, l]
                    inputs[width + u, l] += (
                        parts[k, j, l] * h0 + parts[k, j + 1, l] * h1 + parts[k, j + 2, l] * h2 + parts[k, j + 3, l] * h3
                    )
                    inputs[2 * width + u, l] += (
                        parts[j, k, l] * h0 + parts[j + 1, k, l] * h1 + parts[j + 2, k, l] * h2 + parts[j + 3, k, l] * h3
                    )
        inputs[:width] = hidden[k]
        _affine(weight, bias, inputs, out)
        for u in range(width):
            for l in range(_LANES):
                out[u, l] = hidden[k, u, l] + max(out[u, l] + common[u, l], _ZERO)


@numba.njit(cache=True, fastmath=_FAST)
def _matrix(g, share, log_noise, here, most_log_ratio, size, c, scale, row, column):
    """Fill the matrix of unit diagonal, its scale S, and factors of rows and, from log powers, of columns."""
    most = np.full((2, _LANES), _LOWEST - _LOWEST * _LOWEST, np.float32)
    for k in range(size):
        for l in range(_LANES):
            log_q = share[k, l] - log_noise[k, l]
            held = min(log_q, most_log_ratio)
            log_scale = _HALF * (min(held, _ZERO) - np.float32(math.log1p(math.exp(-abs(held)))))
            log_rest = -max(log_q, _ZERO) - np.float32(math.log1p(math.exp(-abs(log_q))))  # of 1 / (1 + q)
            scale[k, l] = np.float32(math.exp(log_scale)) * here[k, l]
            row[k, l], column[k, l] = log_scale, _HALF * (column[k, l] + log_rest)
            if here[k, l] > _ZERO:
                most[0, l], most[1, l] = max(most[0, l], row[k, l]), max(most[1, l], column[k, l])
    for k in range(size):
        for l in range(_LANES):
            if here[k, l] > _ZERO:
                row[k, l] = np.float32(math.exp(row[k, l] - most[0, l]))
                column[k, l] = np.float32(math.exp(column[k, l] - most[1, l]))
            else:
                row[k, l], column[k, l] = _ZERO, _ZERO
        for j in range(size):
            for l in range(_LANES):
                factor = scale[k, l] * scale[j, l]
                c[k, j, l] = factor * g[k, j, l]
                c[k, j, l + _LANES] = factor * g[k, j, l + _LANES]
        for l in range(_LANES):
            c[k, k, l], c[k, k, l + _LANES] = _ONE, _ZERO


@numba.njit(cache=True, fastmath=_FAST)
def _conjugate_gradients(c, steps, tolerance, size, solution, residual):
    """Fill the rows of the inverse and their residuals, as ``inverse_by_conjugate_gradients`` before its last product."""
    p, turned = np.zeros_like(c[0]), np.zeros_like(c[0])
    curvature, norm, length = np.zeros(_LANES, np.float32), np.zeros(_LANES, np.float32), np.zeros(_LANES, np.float32)
    enough = np.float32(tolerance * tolerance)
    for row in range(size):
        x, r = solution[row], residual[row]
        x[:], r[:], p[:] = _ZERO, _ZERO, _ZERO
        r[row, :_LANES], p[row, :_LANES], norm[:] = _ONE, _ONE, _ONE
        for step in range(steps):
            if step == 0:
                turned[:] = c[row]
            else:
                _row(p, c, turned, size)
            curvature[:] = _ZERO
            for j in range(size):
                for l in range(_LANES):
                    curvature[l] += p[j, l] * turned[j, l] + p[j, l + _LANES] * turned[j, l + _LANES]
            for l in range(_LANES):
                going = curvature[l] > _TINY and norm[l] > enough
                length[l] = norm[l] / max(curvature[l], _TINY) if going else _ZERO
            curvature[:] = _ZERO  # from here on the next norm
            for j in range(size):
                for l in range(_LANES):
                    i = l + _LANES
                    x[j, l] += length[l] * p[j, l]
                    x[j, i] += length[l] * p[j, i]
                    r[j, l] -= length[l] * turned[j, l]
                    r[j, i] -= length[l] * turned[j, i]
                    curvature[l] += r[j, l] * r[j, l] + r[j, i] * r[j, i]
            most = _ZERO
            for l in range(_LANES):
                length[l] = curvature[l] / max(norm[l], _TINY)
                norm[l] = curvature[l]
                most = max(most, norm[l])
            if most <= enough:
                break
            for j in range(size):
                for l in range(_LANES):
                    p[j, l] = r[j, l] + length[l] * p[j, l]
                    p[j, l + _LANES] = r[j, l + _LANES] + length[l] * p[j, l + _LANES]


@numba.njit(cache=True, fastmath=_FAST)
def _coefficients(c, x, r, row, column, size, a):
    """Fill A = S (X + R X^H) diag(column); ``c`` is overwritten."""
    for k in range(size):
        for j in range(size):
            for l in range(_LANES):
                c[j, k, l], c[j, k, l + _LANES] = x[k, j, l], -x[k, j, l + _LANES]
    for k in range(size):
        _row(r[k], c, a[k], size)
        for j in range(size):
            for l in range(_LANES):
                factor = row[k, l] * column[j, l]
                a[k, j, l] = factor * (a[k, j, l] + x[k, j, l])
                a[k, j, l + _LANES] = factor * (a[k, j, l + _LANES] + x[k, j, l + _LANES])
