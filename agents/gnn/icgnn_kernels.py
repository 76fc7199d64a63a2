"""ICGNN's passes on a CPU, compiled: sixteen graphs at a time, so that all stays in the cache.

The same computation as ``agents.gnn.icgnn_network``, in single precision. Arrays end in the lanes, one number of each
graph; complex ones in [2, LANES]. Axes over streams are padded with zeros to multiples of four, over hidden units to
multiples of four too, so that numbers read once serve several sums.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numba
import numpy as np

from agents.gnn.conjugate_gradient_kernels import conjugate_gradients, two_rows_times_matrix
from ran.lanes import (
    LANES,
    choose,
    exp,
    get,
    get_complex,
    inner,
    lanes,
    larger,
    log,
    log_1_plus,
    put,
    put_complex,
    smaller,
)

# Rows of ``nodes``, numbers of every stream: whether it is there, log noise, load, log share and what weighted MMSE
# would make of it, log power (later a column's factor), signal, disturbance, 1 + SINR and its logarithm, scale S, a
# row's factor.
_HERE, _NOISE, _LOAD, _SHARE, _TARGET, _COLUMN, _SIGNAL, _DISTURBANCE, _RATIO, _WEIGHT, _SCALE, _ROW = range(12)
_NODES = 12
_LEAST, _ZERO, _HALF, _ONE = np.float32(1e-30), np.float32(0.0), np.float32(0.5), np.float32(1.0)
_LOWEST, _QUARTER, _MOST_LOG, _MOST_PART = np.float32(-1e4), np.float32(0.25), np.float32(14.0), np.float32(8.0)


@numba.njit(cache=True)
def room(size, width):
    """Return the arrays that ``coefficients`` works in, for graphs of this many streams and networks of this width."""
    padded = (size + 3) // 4 * 4
    square = np.zeros((4, padded, padded, 2, LANES), np.float32)
    parts = np.zeros((padded, padded, LANES), np.float32)
    nodes = np.zeros((_NODES, padded, LANES), np.float32)
    hidden = np.zeros((2, padded, 3 * width, LANES), np.float32)
    common = np.zeros((2, width, LANES), np.float32)
    rows = np.zeros((2, 2, padded, 2, LANES), np.float32)
    return square, parts, nodes, hidden, common, rows


@numba.njit(cache=True)
def coefficients(g, noise, present, weights, limits, size, space):
    """Return the coefficients of the last pass, [K, K, 2, lanes], for correlations g of the same shape.

    ``noise`` and ``present`` (0 or 1) are [K, lanes]; ``weights`` those of ``Pass.weights``, passes first; ``limits``
    the network's for conjugate gradients (most steps on the way, tolerance) and for log q; ``space`` is ``room``.
    """
    inner_steps, tolerance, most_log_ratio = limits
    square, parts, nodes, hidden, common, rows = space
    a, c, x, r = square[0], square[1], square[2], square[3]
    count = lanes(_ZERO)
    for k in range(size):
        count += get(present, k)
        load = lanes(-_ONE)
        for j in range(size):
            load += inner(get_complex(g, k, j), get_complex(g, k, j))
        put(get(present, k), nodes, _HERE, k)
        put(log(get(noise, k)), nodes, _NOISE, k)
        put(load, nodes, _LOAD, k)
        put(_ZERO, nodes, _SHARE, k)
    count = larger(count, _ONE)
    _log_softmax(_SHARE, nodes, size)
    passes = len(weights[0])
    for step in range(passes):
        if step == 0:
            power = count
            _receive_alone(g, parts, size)
        else:
            power = _receive(g, a, rows[0], parts, size)
        _judge(noise, power, parts, nodes, size)
        _choose(step, weights, count, parts, nodes, hidden, common, size)
        _matrix(g, most_log_ratio, size, nodes, c)
        steps = size if step + 1 == passes else min(size, inner_steps)
        conjugate_gradients(c, step > 0, steps, tolerance, size, x, r, rows[0], rows[1])
        _finish(c, x, r, rows[0], nodes, size, a)
    return a


@numba.njit(cache=True)
def _log_softmax(which, nodes, size):
    """Replace values by the logarithms of shares over the streams present, as ``Graph.log_shares``."""
    most, whole = lanes(_LOWEST), lanes(_ZERO)
    for k in range(size):
        value = choose(get(nodes, _HERE, k), _ZERO, larger(get(nodes, which, k), _LOWEST), _LOWEST)
        put(value, nodes, which, k)
        most = larger(most, value)
    for k in range(size):
        whole += exp(get(nodes, which, k) - most)
    most += log(whole)
    for k in range(size):
        put(get(nodes, which, k) - most, nodes, which, k)


@numba.njit(cache=True)
def _receive_alone(g, parts, size):
    """Fill |received amplitudes|^2 of maximum ratio, whose coefficients are the unit matrix."""
    for k in range(size):
        for j in range(size):
            put(inner(get_complex(g, k, j), get_complex(g, k, j)), parts, k, j)


@numba.njit(cache=True)
def _receive(g, a, received, parts, size):
    """Fill |received amplitudes|^2 of the coefficients ``a``, and return the power that they send."""
    power = lanes(_ZERO)
    for row in range(0, size, 2):
        two_rows_times_matrix(g, row, a, received, 0, size)
        for k in range(2):
            for j in range(size):
                amplitude = get_complex(received, k, j)
                power += inner(amplitude, get_complex(a, row + k, j))
                put(inner(amplitude, amplitude), parts, row + k, j)
    return larger(power, _LEAST)


@numba.njit(cache=True)
def _judge(noise, power, parts, nodes, size):
    """Fill signal, disturbance and log weight of every stream, and make ``parts`` fractions of what it receives."""
    scale = _ONE / power
    for k in range(size):
        signal = get(parts, k, k) * scale
        put(_ZERO, parts, k, k)
        others = lanes(_ZERO)
        for j in range(size):
            others += get(parts, k, j)
        disturbance = get(noise, k) + others * scale
        fraction = scale / (signal + disturbance)
        for j in range(size):
            put(get(parts, k, j) * fraction, parts, k, j)
        put(signal, nodes, _SIGNAL, k)
        put(disturbance, nodes, _DISTURBANCE, k)
        put(_ONE + signal / disturbance, nodes, _RATIO, k)
        put(log_1_plus(signal / disturbance), nodes, _WEIGHT, k)


@numba.njit(cache=True)
def _choose(step, weights, count, parts, nodes, hidden, common, size):
    """Fill the shares, and the columns' log powers, that one pass of the graph network chooses."""
    embed, embed_bias, turns, turns_bias, everyone, head, head_bias = weights
    width = embed.shape[2]
    log_count, share_of_one = log(count), _ONE / count
    for k in range(size):
        whole = log(get(nodes, _SIGNAL, k) + get(nodes, _DISTURBANCE, k))
        strength = log(larger(get(nodes, _SIGNAL, k), _LEAST))
        put(get(nodes, _WEIGHT, k) + strength - whole - whole + get(nodes, _NOISE, k), nodes, _TARGET, k)
    _log_softmax(_TARGET, nodes, size)
    features, now, following = hidden[1], hidden[0], hidden[1]
    _features(log_count, parts, nodes, features, embed.shape[1], size)
    for k in range(0, size, 4):
        _affine(features, k, embed[step], embed_bias[step], now)
    for k in range(size):
        for u in range(width):
            put(larger(get(now, k, u), _ZERO), now, k, u)
    for turn in range(turns.shape[1]):
        _hear(parts, now, width, size)
        _mean(now, nodes, everyone[step], share_of_one, common, size)
        for k in range(0, size, 4):
            _affine(now, k, turns[step, turn], turns_bias[step, turn], following)
        for k in range(size):
            for u in range(width):
                news = larger(get(following, k, u) + get(common, 1, u), _ZERO)
                put(get(now, k, u) + news, following, k, u)
        now, following = following, now
    for k in range(0, size, 4):
        _affine(now, k, head[step], head_bias[step], following)
    for k in range(size):
        share = get(nodes, _SHARE, k)
        pull = get(following, k, 0) * (get(nodes, _TARGET, k) - share)
        put(share + pull + get(following, k, 1), nodes, _SHARE, k)
        log_power = get(following, k, 2)
        if step > 0:
            log_power += get(nodes, _WEIGHT, k)
        put(log_power, nodes, _COLUMN, k)
    _log_softmax(_SHARE, nodes, size)


@numba.njit(cache=True)
def _features(log_count, parts, nodes, features, known, size):
    """Fill what nodes know, [K, features, lanes], as ``icgnn_network._features``; a tenth is the log of the count."""
    for k in range(size):
        here, noise = get(nodes, _HERE, k), get(nodes, _NOISE, k)
        strength = log(larger(get(nodes, _SIGNAL, k), _LEAST))
        share, target = get(nodes, _SHARE, k), get(nodes, _TARGET, k)
        put(_held(-_ONE * (noise + log_count)) * here, features, k, 0)
        put(_held(share + log_count) * here, features, k, 1)
        put(_held(target + log_count) * here, features, k, 2)
        put(_held(strength - noise) * here, features, k, 3)
        put(_held(strength + log_count) * here, features, k, 4)
        price = lanes(_ZERO)
        for j in range(size):
            price += get(parts, j, k) * get(nodes, _RATIO, j)
        put(smaller(get(nodes, _WEIGHT, k), _MOST_PART) * here, features, k, 5)
        put(smaller(_ONE - exp(noise) / get(nodes, _DISTURBANCE, k), _MOST_PART) * here, features, k, 6)
        put(smaller(price, _MOST_PART) * here, features, k, 7)
        put(smaller(get(nodes, _LOAD, k), _MOST_PART) * here, features, k, 8)
        if known > 9:
            put(log_count, features, k, 9)


@numba.njit(cache=True)
def _held(value):
    return smaller(larger(value, -_MOST_LOG), _MOST_LOG) * _QUARTER


@numba.njit(cache=True)
def _affine(inputs, k, weight, bias, out):
    """Fill out [k to k + 3, u] with weight [v, u] times inputs [k to k + 3, v] and the bias [u]."""
    size, units = weight.shape
    for u in range(0, units, 4):
        b0, b1, b2, b3 = lanes(bias[u]), lanes(bias[u + 1]), lanes(bias[u + 2]), lanes(bias[u + 3])
        a0, a1, a2, a3 = b0, b1, b2, b3
        c0, c1, c2, c3 = b0, b1, b2, b3
        d0, d1, d2, d3 = b0, b1, b2, b3
        for v in range(size):
            w0, w1, w2, w3 = weight[v, u], weight[v, u + 1], weight[v, u + 2], weight[v, u + 3]
            x = get(inputs, k, v)
            a0, a1, a2, a3 = a0 + w0 * x, a1 + w1 * x, a2 + w2 * x, a3 + w3 * x
            x = get(inputs, k + 1, v)
            b0, b1, b2, b3 = b0 + w0 * x, b1 + w1 * x, b2 + w2 * x, b3 + w3 * x
            x = get(inputs, k + 2, v)
            c0, c1, c2, c3 = c0 + w0 * x, c1 + w1 * x, c2 + w2 * x, c3 + w3 * x
            x = get(inputs, k + 3, v)
            d0, d1, d2, d3 = d0 + w0 * x, d1 + w1 * x, d2 + w2 * x, d3 + w3 * x
        _put_four((a0, a1, a2, a3), out, k, u)
        _put_four((b0, b1, b2, b3), out, k + 1, u)
        _put_four((c0, c1, c2, c3), out, k + 2, u)
        _put_four((d0, d1, d2, d3), out, k + 3, u)


@numba.njit(cache=True)
def _put_four(values, out, k, u):
    put(values[0], out, k, u)
    put(values[1], out, k, u + 1)
    put(values[2], out, k, u + 2)
    put(values[3], out, k, u + 3)


@numba.njit(cache=True)
def _mean(now, nodes, everyone, share_of_one, common, size):
    """Fill common [1, u] with what all nodes say to all, ``everyone`` [v, u] times the mean of the streams present."""
    width = len(everyone)
    for u in range(width):
        mean = lanes(_ZERO)
        for k in range(size):
            mean += get(nodes, _HERE, k) * get(now, k, u)
        put(mean * share_of_one, common, 0, u)
    for u in range(width):
        said = lanes(_ZERO)
        for v in range(width):
            said += everyone[v, u] * get(common, 0, v)
        put(said, common, 1, u)


@numba.njit(cache=True)
def _hear(parts, now, width, size):
    """Fill the second and third ``width`` of now [K, 3 width] with messages along suffered and caused interference."""
    for k in range(size):
        for u in range(0, width, 4):
            nothing = lanes(_ZERO)
            s0, s1, s2, s3 = nothing, nothing, nothing, nothing
            c0, c1, c2, c3 = nothing, nothing, nothing, nothing
            for j in range(size):
                suffered, caused = get(parts, k, j), get(parts, j, k)
                x0, x1, x2, x3 = get(now, j, u), get(now, j, u + 1), get(now, j, u + 2), get(now, j, u + 3)
                s0, s1, s2, s3 = s0 + suffered * x0, s1 + suffered * x1, s2 + suffered * x2, s3 + suffered * x3
                c0, c1, c2, c3 = c0 + caused * x0, c1 + caused * x1, c2 + caused * x2, c3 + caused * x3
            _put_four((s0, s1, s2, s3), now, k, width + u)
            _put_four((c0, c1, c2, c3), now, k, 2 * width + u)


@numba.njit(cache=True)
def _matrix(g, most_log_ratio, size, nodes, c):
    """Fill C = I + S (G - I) S, and the factors of the coefficients' rows and columns."""
    most_row, most_column = lanes(_LOWEST * -_LOWEST), lanes(_LOWEST * -_LOWEST)
    for k in range(size):
        here, log_q = get(nodes, _HERE, k), get(nodes, _SHARE, k) - get(nodes, _NOISE, k)
        row = _HALF * _log_sigmoid(smaller(log_q, most_log_ratio))
        column = _HALF * (get(nodes, _COLUMN, k) + _log_sigmoid(_ZERO - log_q))  # 1 / (1 + q)
        put(exp(row) * here, nodes, _SCALE, k)
        put(row, nodes, _ROW, k)
        put(column, nodes, _COLUMN, k)
        most_row = choose(here, _ZERO, larger(most_row, row), most_row)
        most_column = choose(here, _ZERO, larger(most_column, column), most_column)
    for k in range(size):
        here, scale = get(nodes, _HERE, k), get(nodes, _SCALE, k)
        put(choose(here, _ZERO, exp(get(nodes, _ROW, k) - most_row), _ZERO), nodes, _ROW, k)
        put(choose(here, _ZERO, exp(get(nodes, _COLUMN, k) - most_column), _ZERO), nodes, _COLUMN, k)
        for j in range(size):
            factor, correlation = scale * get(nodes, _SCALE, j), get_complex(g, k, j)
            put_complex((factor * correlation[0], factor * correlation[1]), c, k, j)
        put_complex((lanes(_ONE), lanes(_ZERO)), c, k, k)


@numba.njit(cache=True)
def _log_sigmoid(x):
    """Return -log(1 + e^-x)."""
    return smaller(x, _ZERO) - log_1_plus(exp(smaller(x, _ZERO - x)))


@numba.njit(cache=True)
def _finish(c, x, r, product, nodes, size, a):
    """Fill A = diag(row) (X + R X^H) diag(column), whose middle is Hermitian; ``c`` is overwritten."""
    for k in range(size):
        for j in range(size):
            value = get_complex(x, k, j)
            put_complex((value[0], _ZERO - value[1]), c, j, k)
    for row in range(0, size, 2):
        two_rows_times_matrix(r, row, c, product, row, size)
        for k in range(row, min(row + 2, size)):
            for j in range(k, size):
                plain, more = get_complex(x, k, j), get_complex(product, k - row, j)
                real, imag = plain[0] + more[0], plain[1] + more[1]
                put_complex((real, imag), x, k, j)  # the next inverse starts from this one
                put_complex((real, _ZERO - imag), x, j, k)
                upper = get(nodes, _ROW, k) * get(nodes, _COLUMN, j)
                lower = get(nodes, _ROW, j) * get(nodes, _COLUMN, k)
                put_complex((upper * real, upper * imag), a, k, j)
                put_complex((lower * real, _ZERO - lower * imag), a, j, k)
