"""Compiled link adaptation: from granted groups to transport blocks filled with bytes."""

from __future__ import annotations

import math

import numba
import numpy as np

from ran.phy.link_kernels import choose_mcs
from ran.rlc_kernels import fill_block, next_range, take_range
from ran.state import IDLE


@numba.njit(cache=True)
def list_groups(owner, serving_cell, block, owned):
    """Write each UE's groups into ``owned`` [batch, num_ues, num_rbgs], their number into ``block.prbs``."""
    batch, cells, groups = owner.shape
    for b in range(batch):
        for u in range(block.shape[1]):
            block[b, u].prbs = 0
        for c in range(cells):
            for r in range(groups):
                u = owner[b, c, r]
                if u >= 0:
                    assert serving_cell[b, u] == c
                    owned[b, u, block[b, u].prbs] = r
                    block[b, u].prbs += 1


@numba.njit(cache=True)
def prb_power(prbs, path_gain, params):
    """Return transmit power per PRB in watts: constant down; TS 38.213 clause 7.1.1 up."""
    p = params[0]
    if p.uplink == 0:
        return p.prb_power_w
    return min(p.max_power_w / prbs, p.p0_w * path_gain ** (-p.alpha))


@numba.njit(cache=True)
def build_blocks(
    slot,
    kind,
    flow,
    harq,
    nack,
    pending,
    owned,
    csi_gain,
    csi_noise,
    path_gain,
    rbg_prbs,
    params,
    efficiency,
    beta,
    bler,
    tb_bits,
    cb_bits,
    num_cb,
    block,
):
    """Turn every UE's groups into one transport block: a pending one again, or a new one filled from RLC.

    On entry ``block.prbs`` counts the groups of ``owned``; on return it is PRBs, zero where nothing is sent.
    """
    p = params[0]
    batch, ues, _ = harq.shape
    groups = len(rbg_prbs)
    sinr = np.empty(groups)
    weight = np.empty(groups)
    for b in range(batch):
        for u in range(ues):
            out = block[b, u]
            count = out.prbs
            if count == 0:
                continue
            prbs = 0
            for i in range(count):
                prbs += rbg_prbs[owned[b, u, i]]
            power = prb_power(prbs, path_gain[b, u], params)
            k = pending[b, u]
            out.again = 0
            if k < 0:
                scale = power * 10.0 ** (flow[b, u].olla_db / 10.0)
                for i in range(count):
                    r = owned[b, u, i]
                    sinr[i] = max(scale * csi_gain[b, u, r] / csi_noise[b, u, r], 1e-9)
                    weight[i] = rbg_prbs[r]
                mcs = choose_mcs(
                    sinr,
                    weight,
                    count,
                    prbs,
                    flow[b, u].last_mcs,
                    p.bler_target,
                    kind,
                    efficiency,
                    beta,
                    bler,
                    cb_bits,
                    num_cb,
                    p.first_mcs,
                )
                start, available, index = next_range(slot, flow, nack, b, u)
                payload, header = fill_block(tb_bits[kind, mcs, prbs] // 8, start, available, p.sdu_bytes)
                if payload == 0:
                    out.prbs = 0
                    continue
                take_range(flow, nack, b, u, index, payload)
                k = 0
                while harq[b, u, k].status != IDLE:
                    k += 1
                proc = harq[b, u, k]
                proc.start = start
                proc.payload = payload
                proc.first_slot = slot
                proc.sinr = 0.0
                proc.tb_bits = tb_bits[kind, mcs, prbs]
                proc.prbs = prbs
                proc.mcs = mcs
                proc.kind = kind
                proc.attempts = 0
                flow[b, u].last_mcs = mcs
                out.header = header
                out.again = 1 if index >= 0 else 0
            proc = harq[b, u, k]
            out.start = proc.start
            out.payload = proc.payload
            out.tb_bits = proc.tb_bits
            out.mcs = proc.mcs
            out.process = k
            out.attempt = proc.attempts + 1
            out.prbs = prbs
            out.prb_power_w = power


@numba.njit(cache=True, parallel=True)
def reported_channel(cross, serving_cell, path_gain, cell_prbs, noise_w, params, gain, noise):
    """Fill what UEs report of a beam table: own gain, and noise plus mean full-load interference, W per PRB.

    ``gain`` and ``noise`` are [batch, num_ues, num_rbgs]. Each interfering cell is taken to serve its UEs in turn.
    """
    uplink = params[0].uplink
    down_power_w = params[0].prb_power_w
    batch, groups, ues, _ = cross.shape
    cells = 0
    for b in range(batch):
        for u in range(ues):
            cells = max(cells, serving_cell[b, u] + 1)
    per_cell = np.zeros(cells)
    for b in range(batch):
        per_cell[:] = 0.0
        for u in range(ues):
            per_cell[serving_cell[b, u]] += 1.0
        for r in numba.prange(groups):
            for u in range(ues):
                total = noise_w
                for v in range(ues):
                    if serving_cell[b, v] != serving_cell[b, u]:
                        share = 1.0 / per_cell[serving_cell[b, v]]
                        if uplink == 0:
                            total += share * down_power_w * cross[b, r, u, v]
                        else:
                            power = prb_power(max(1.0, cell_prbs * share), path_gain[b, v], params)
                            total += share * power * cross[b, r, v, u]
                gain[b, u, r] = cross[b, r, u, u]
                noise[b, u, r] = total


@numba.njit(cache=True)
def group_rates(gain, noise, path_gain, serving_cell, rbg_prbs, cell_prbs, re_per_prb, peak_efficiency, params, rate):
    """Fill the bits that each group would carry for each UE, [batch, num_ues, num_rbgs]: Shannon's rate, capped."""
    batch, ues, groups = gain.shape
    for b in range(batch):
        for u in range(ues):
            sharing = 0
            for v in range(ues):
                if serving_cell[b, v] == serving_cell[b, u]:
                    sharing += 1
            power = prb_power(max(1.0, cell_prbs / sharing), path_gain[b, u], params)
            for r in range(groups):
                bits = math.log2(1.0 + power * gain[b, u, r] / noise[b, u, r])
                rate[b, u, r] = min(bits, peak_efficiency) * re_per_prb * rbg_prbs[r]
