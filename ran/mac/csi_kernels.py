"""Compiled channel state reports: rank, SINR per group, and the rates that a scheduler sees."""

from __future__ import annotations

import math

import numba
import numpy as np

from ran.mac.cqi import quantise, sinr_of_cqi
from ran.phy.link_kernels import prb_power


@numba.njit(cache=True)
def far_interference(path_gain, serving_cell, column, first, cell_prbs, params, down_w, up_w):
    """Fill the mean interference per PRB of cells that are not near, at full load, in watts.

    ``down_w`` [batch, num_ues] at UEs, ``up_w`` [batch, num_cells] at cells.
    """
    batch, ues, cells = path_gain.shape
    for b in range(batch):
        down_w[b] = 0.0
        up_w[b] = 0.0
        for u in range(ues):
            own = serving_cell[b, u]
            share = 1.0 / (first[b, own + 1] - first[b, own])
            power = prb_power(max(1.0, cell_prbs * share), path_gain[b, u, own], params)
            for c in range(cells):
                if column[b, u, c] < 0:
                    if first[b, c + 1] > first[b, c]:
                        down_w[b, u] += params[0].prb_power_w * path_gain[b, u, c]
                    up_w[b, c] += share * power * path_gain[b, u, c]


@numba.njit(cache=True, parallel=True)
def reported_channel(
    cross, layers, serving_cell, near, heard, column, place, members, first, own_gain, far_down_w, far_up_w, cell_prbs,
    noise_w, params, gain, noise,
):  # fmt: skip
    """Fill what UEs report of a beam table: own gains, and noise plus mean full-load interference, W per PRB.

    ``gain`` [batch, num_ues, num_layers, num_rbgs] and ``noise`` [batch, num_ues, num_rbgs]. Each interfering cell is
    taken to serve its UEs in turn, with one layer.
    """
    uplink = params[0].uplink
    down_power_w = params[0].prb_power_w
    batch, groups = cross.shape[:2]
    ues = serving_cell.shape[1]
    for b in range(batch):
        power = np.empty(ues)
        for v in range(ues):
            size = first[b, serving_cell[b, v] + 1] - first[b, serving_cell[b, v]]
            power[v] = prb_power(max(1.0, cell_prbs / size), own_gain[b, v], params) / size
        for r in numba.prange(groups):
            for u in range(ues):
                own = serving_cell[b, u]
                if uplink == 0:
                    total = noise_w + far_down_w[b, u]
                    for n in range(near.shape[2]):
                        c = near[b, u, n]
                        size = first[b, c + 1] - first[b, c]
                        if c != own:
                            for j in range(size):
                                total += down_power_w / size * cross[b, r, u * layers, (column[b, u, c] + j) * layers]
                else:
                    total = noise_w + far_up_w[b, own]
                    for n in range(heard[b, own, 0]):
                        c = heard[b, own, n + 1]
                        if c != own:
                            for j in range(first[b, c], first[b, c + 1]):
                                v = members[b, j]
                                if column[b, v, own] >= 0:
                                    beam = (column[b, v, own] + place[b, u]) * layers
                                    total += power[v] * cross[b, r, v * layers, beam]
                noise[b, u, r] = total
                for k in range(layers):
                    gain[b, u, k, r] = cross[b, r, u * layers + k, (column[b, u, own] + place[b, u]) * layers + k]


@numba.njit(cache=True)
def choose_rank(gain, noise, own_gain, serving_cell, first, rbg_prbs, cell_prbs, peak_efficiency, params, rank, mean):
    """Fill every UE's rank [batch, num_ues] and gain per layer [batch, num_ues, num_rbgs] at that rank.

    The rank k maximises sum_r sum_l log2(1 + P g_l / (k N)), each term capped at the table's highest efficiency; the
    gain gives the geometric mean of 1 + SINR over its layers.
    """
    batch, ues, layers, groups = gain.shape
    for b in range(batch):
        for u in range(ues):
            size = first[b, serving_cell[b, u] + 1] - first[b, serving_cell[b, u]]
            power = prb_power(max(1.0, cell_prbs / size), own_gain[b, u], params)
            best = -1.0
            for k in range(1, layers + 1):
                total = 0.0
                for r in range(groups):
                    for m in range(k):
                        bits = math.log2(1.0 + power * gain[b, u, m, r] / (k * noise[b, u, r]))
                        total += rbg_prbs[r] * min(bits, peak_efficiency)
                if total > best:
                    best = total
                    rank[b, u] = k
            k = rank[b, u]
            for r in range(groups):
                if k == 1:
                    mean[b, u, r] = gain[b, u, 0, r]
                    continue
                bits = 0.0
                for m in range(k):
                    bits += math.log2(1.0 + power * gain[b, u, m, r] / (k * noise[b, u, r]))
                mean[b, u, r] = (2.0 ** (bits / k) - 1.0) * noise[b, u, r] / power


@numba.njit(cache=True)
def quantise_reports(gain, noise, thresholds, wideband, params):
    """Replace reported gains [batch, num_ues, num_rbgs] by those of the highest CQI that each SINR meets.

    Per group, or one for the whole band by its mean spectral efficiency. Below CQI 1 a UE counts as 3 dB under it.
    """
    power = params[0].prb_power_w
    batch, ues, groups = gain.shape
    for b in range(batch):
        for u in range(ues):
            band = 0.0
            for r in range(groups):
                band += math.log2(1.0 + power * gain[b, u, r] / noise[b, u, r]) / groups
            for r in range(groups):
                sinr = 2.0**band - 1.0 if wideband else power * gain[b, u, r] / noise[b, u, r]
                index = quantise(sinr, thresholds)
                known = sinr_of_cqi(index, thresholds) if index > 0 else 0.5 * thresholds[1]
                gain[b, u, r] = known * noise[b, u, r] / power


@numba.njit(cache=True)
def group_rates(
    gain, noise, rank, own_gain, serving_cell, first, rbg_prbs, cell_prbs, re_per_prb, peak_efficiency, params, rate
):  # fmt: skip
    """Fill the bits that each group would carry for each UE, [batch, num_ues, num_rbgs]: Shannon's rate, capped."""
    batch, ues, groups = gain.shape
    for b in range(batch):
        for u in range(ues):
            sharing = first[b, serving_cell[b, u] + 1] - first[b, serving_cell[b, u]]
            power = prb_power(max(1.0, cell_prbs / sharing), own_gain[b, u], params)
            for r in range(groups):
                bits = math.log2(1.0 + power * gain[b, u, r] / noise[b, u, r])
                rate[b, u, r] = rank[b, u] * min(bits, peak_efficiency) * re_per_prb * rbg_prbs[r]
