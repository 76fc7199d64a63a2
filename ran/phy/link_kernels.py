"""Compiled parts of the link abstraction: EESM, block error rates and MCS choice."""

from __future__ import annotations

import math

import numba
import numpy as np

# Sionna's interpolation grid (PHYAbstraction defaults) and the range its EESM clips to.
_SNR_START_DB, _SNR_STEP_DB = -5.0, 0.1
_CBS_START, _CBS_STEP = 24.0, 100.0
MIN_SINR, MAX_SINR = 1e-3, 1e3


@numba.njit(cache=True, inline="never")
def effective_sinr(sinr, weight, count, beta):
    """Return the EESM effective SINR (linear) of ``count`` SINRs weighted by PRBs.

    ``-beta ln(sum w exp(-sinr/beta) / sum w)``, computed around the smallest SINR so that nothing underflows.
    """
    smallest = sinr[0]
    for i in range(1, count):
        smallest = min(smallest, sinr[i])
    total = 0.0
    mass = 0.0
    for i in range(count):
        total += weight[i] * math.exp(-(sinr[i] - smallest) / beta)
        mass += weight[i]
    value = smallest - beta * math.log(total / mass)
    return min(max(value, MIN_SINR), MAX_SINR)


@numba.njit(cache=True, inline="never")
def block_error_rate(bler, mcs, code_block_bits, num_code_blocks, sinr):
    """Return the transport block error rate at an effective SINR (linear), by Sionna's nearest grid point."""
    num_cbs = bler.shape[1]
    num_snr = bler.shape[2]
    cbs_index = int(np.rint((code_block_bits - _CBS_START) / _CBS_STEP))
    snr_index = int(np.rint((10.0 * math.log10(sinr) - _SNR_START_DB) / _SNR_STEP_DB))
    cbs_index = min(max(cbs_index, 0), num_cbs - 1)
    snr_index = min(max(snr_index, 0), num_snr - 1)
    error = bler[mcs, cbs_index, snr_index]
    return 1.0 - (1.0 - error) ** num_code_blocks


@numba.njit(cache=True, inline="never")
def choose_mcs(
    sinr, weight, count, prbs, start, target, tables_kind, efficiency, beta, bler, cb_bits, num_cb, first_mcs
):
    """Return the highest MCS whose error rate at these SINRs stays at or below ``target``.

    Climbs or descends from ``start`` (the last choice), so that a slow channel costs two or three evaluations.
    """
    num_mcs = len(efficiency)
    mcs = min(max(start, first_mcs), num_mcs - 1)
    value = effective_sinr(sinr, weight, count, beta[mcs])
    error = block_error_rate(bler, mcs, cb_bits[tables_kind, mcs, prbs], num_cb[tables_kind, mcs, prbs], value)
    if error <= target:
        while mcs + 1 < num_mcs:
            up = mcs + 1
            value = effective_sinr(sinr, weight, count, beta[up])
            error = block_error_rate(bler, up, cb_bits[tables_kind, up, prbs], num_cb[tables_kind, up, prbs], value)
            if error > target:
                break
            mcs = up
        return mcs
    while mcs > first_mcs:
        mcs -= 1
        value = effective_sinr(sinr, weight, count, beta[mcs])
        error = block_error_rate(bler, mcs, cb_bits[tables_kind, mcs, prbs], num_cb[tables_kind, mcs, prbs], value)
        if error <= target:
            break
    return mcs


@numba.njit(cache=True)
def prb_power(prbs, path_gain, params):
    """Return transmit power per PRB in watts: constant down; TS 38.213 clause 7.1.1 up."""
    p = params[0]
    if p.uplink == 0:
        return p.prb_power_w
    return min(p.max_power_w / prbs, p.p0_w * path_gain ** (-p.alpha))


@numba.njit(cache=True)
def _mix(state, word):
    state = (state + np.uint64(word) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@numba.njit(cache=True)
def uniform(key, a, b, c):
    """Return a number in [0, 1) that depends on nothing but its arguments (SplitMix64 finaliser, Steele et al. 2014).

    A counter-based draw: any slot of any replica can be replayed alone.
    """
    state = _mix(_mix(_mix(np.uint64(key), a), b), c)
    return float(state >> np.uint64(11)) * (1.0 / 9007199254740992.0)
