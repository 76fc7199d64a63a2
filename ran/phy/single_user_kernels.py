"""Compiled single-user MIMO: the SINR that every layer really meets."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def layer_sinrs(
    uplink, serving_cell, owner, owned, cross, layers, near, heard, column, place, path_gain, rbg_prbs, noise_w, block,
    sinr,
):  # fmt: skip
    """Fill the SINRs of all blocks under the interference of what all other cells send, group by group.

    ``sinr`` is [batch, num_ues, num_rbgs, num_layers], at the places that ``owned`` lists. A block spreads its power
    evenly over its layers. Cells that are not near add the mean of what they send, spread over the carrier.
    """
    batch, ues = block.shape
    cells = owner.shape[1]
    limited = near.shape[2] < cells
    far_w = np.zeros(ues)
    for b in range(batch):
        if limited:
            _far_interference(uplink, b, serving_cell, owner, column, path_gain, rbg_prbs, block, far_w)
        for u in range(ues):
            if block[b, u].prbs == 0:
                continue
            own = serving_cell[b, u]
            rank = block[b, u].rank
            layer_w = block[b, u].prb_power_w / rank
            left = block[b, u].prbs
            i = 0
            while left > 0:
                r = owned[b, u, i]
                left -= rbg_prbs[r]
                for m in range(rank):
                    total = noise_w + far_w[u]
                    beam = (column[b, u, own] + place[b, u]) * layers
                    for k in range(rank):
                        if k != m:
                            total += layer_w * cross[b, r, u * layers + m, beam + k]
                    if uplink == 0:
                        for n in range(near.shape[2]):
                            c = near[b, u, n]
                            v = owner[b, c, r, 0]
                            if c != own and v >= 0 and block[b, v].prbs > 0:
                                place_v = (column[b, u, c] + place[b, v]) * layers
                                for k in range(block[b, v].rank):
                                    gain = cross[b, r, u * layers + m, place_v + k]
                                    total += block[b, v].prb_power_w / block[b, v].rank * gain
                    else:
                        for n in range(heard[b, own, 0]):
                            c = heard[b, own, n + 1]
                            v = owner[b, c, r, 0]
                            if c != own and v >= 0 and block[b, v].prbs > 0 and column[b, v, own] >= 0:
                                place_u = (column[b, v, own] + place[b, u]) * layers + m
                                for k in range(block[b, v].rank):
                                    gain = cross[b, r, v * layers + k, place_u]
                                    total += block[b, v].prb_power_w / block[b, v].rank * gain
                    sinr[b, u, i, m] = layer_w * cross[b, r, u * layers + m, beam + m] / total
                i += 1


@numba.njit(cache=True)
def _far_interference(uplink, b, serving_cell, owner, column, path_gain, rbg_prbs, block, far_w):
    """Fill the interference per PRB that every scheduled UE's link meets from cells not near, watts [num_ues]."""
    ues = block.shape[1]
    cells = owner.shape[1]
    total_prbs = rbg_prbs.sum()
    sent_w = np.zeros(cells)  # mean power per PRB of every cell (downlink)
    heard_w = np.zeros(cells)  # at every cell (uplink)
    for v in range(ues):
        if block[b, v].prbs == 0:
            continue
        mean_w = block[b, v].prb_power_w * block[b, v].prbs / total_prbs
        sent_w[serving_cell[b, v]] += mean_w
        if uplink == 1:
            for c in range(cells):
                if column[b, v, c] < 0:
                    heard_w[c] += mean_w * path_gain[b, v, c]
    for u in range(ues):
        far_w[u] = 0.0
        if block[b, u].prbs == 0:
            continue
        if uplink == 1:
            far_w[u] = heard_w[serving_cell[b, u]]
            continue
        for c in range(cells):
            if column[b, u, c] < 0:
                far_w[u] += sent_w[c] * path_gain[b, u, c]
