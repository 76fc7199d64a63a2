"""Compiled link adaptation: from granted groups to transport blocks filled with bytes."""

from __future__ import annotations

import numba
import numpy as np

from ran.phy.link_kernels import choose_mcs, prb_power
from ran.rlc_kernels import fill_block, next_range, take_range
from ran.state import IDLE


@numba.njit(cache=True)
def list_groups(owner, serving_cell, block, owned):
    """Write each UE's groups into ``owned`` [batch, num_ues, num_rbgs], their number into ``block.prbs``.

    ``owner`` is [batch, num_cells, num_rbgs, num_streams].
    """
    batch, cells, groups, streams = owner.shape
    for b in range(batch):
        for u in range(block.shape[1]):
            block[b, u].prbs = 0
        for c in range(cells):
            for r in range(groups):
                for s in range(streams):
                    u = owner[b, c, r, s]
                    if u >= 0:
                        assert serving_cell[b, u] == c
                        owned[b, u, block[b, u].prbs] = r
                        block[b, u].prbs += 1


@numba.njit(cache=True)
def build_blocks(
    slot,
    kind,
    max_rank,
    ue,
    bearer,
    harq,
    nack,
    pending,
    chosen,
    owned,
    csi_gain,
    csi_noise,
    rank,
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
    """Turn every UE's groups into one transport block: a pending one again, or a new one filled from a bearer.

    A new block takes ``rank`` layers and the highest MCS that the reported channel lets meet the target. On entry
    ``block.prbs`` counts the groups of ``owned``; on return it is PRBs, zero where nothing is sent.
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
            n = pending[b, u]
            backoff_db = bearer[b, u, chosen[b, u] if n < 0 else harq[b, u, n].bearer].backoff_db
            if backoff_db > 0.0 and p.uplink == 1:
                power = min(power, p.max_power_w * 10.0 ** (-backoff_db / 10.0) / prbs)
            out.again = 0
            out.header = 0
            if n < 0:
                scale = power * 10.0 ** (ue[b, u].olla_db / 10.0)
                for i in range(count):
                    r = owned[b, u, i]
                    sinr[i] = max(scale * csi_gain[b, u, r] / csi_noise[b, u, r], 1e-9)
                    weight[i] = rbg_prbs[r]
                sized = kind * max_rank + rank[b, u] - 1
                mcs = choose_mcs(
                    sinr,
                    weight,
                    count,
                    prbs,
                    ue[b, u].last_mcs,
                    p.bler_target,
                    sized,
                    efficiency,
                    beta,
                    bler,
                    cb_bits,
                    num_cb,
                    p.first_mcs,
                )
                k = chosen[b, u]
                start, available, index = next_range(slot, ue, bearer, nack, b, u, k)
                payload, header = fill_block(tb_bits[sized, mcs, prbs] // 8, start, available, p.sdu_bytes)
                if payload == 0:
                    out.prbs = 0
                    continue
                take_range(ue, bearer, nack, b, u, k, index, payload)
                n = 0
                while harq[b, u, n].status != IDLE:
                    n += 1
                proc = harq[b, u, n]
                proc.bearer = k
                proc.start = start
                proc.payload = payload
                proc.first_slot = slot
                proc.sinr = 0.0
                proc.tb_bits = tb_bits[sized, mcs, prbs]
                proc.prbs = prbs
                proc.mcs = mcs
                proc.rank = rank[b, u]
                proc.kind = sized
                proc.attempts = 0
                ue[b, u].last_mcs = mcs
                out.header = header
                out.again = 1 if index >= 0 else 0
            proc = harq[b, u, n]
            out.bearer = proc.bearer
            out.start = proc.start
            out.payload = proc.payload
            out.tb_bits = proc.tb_bits
            out.mcs = proc.mcs
            out.rank = proc.rank
            out.process = n
            out.attempt = proc.attempts + 1
            out.prbs = prbs
            out.prb_power_w = power
