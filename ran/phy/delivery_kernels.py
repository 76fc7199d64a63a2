"""Compiled delivery: the SINR that transport blocks really meet, and whether they survive it."""

from __future__ import annotations

import math

import numba
import numpy as np

from ran.phy.link_kernels import MAX_SINR, block_error_rate, effective_sinr, uniform


@numba.njit(cache=True)
def receive_blocks(
    slot,
    keys,
    serving_cell,
    owner,
    owned,
    cross,
    noise_w,
    rbg_prbs,
    harq,
    params,
    beta,
    bler,
    cb_bits,
    num_cb,
    re_per_prb,
    block,
):
    """Fill SINR, error rate and acknowledgement of every block, under the interference of all other cells.

    Each attempt is drawn afresh at the error rate of everything combined so far. A block whose code rate exceeds
    Shannon's bound at its combined SINR fails, whatever an interpolated curve says.
    """
    p = params[0]
    batch, ues = block.shape
    cells = owner.shape[1]
    groups = len(rbg_prbs)
    sinr = np.empty(groups)
    weight = np.empty(groups)
    for b in range(batch):
        for u in range(ues):
            out = block[b, u]
            if out.prbs == 0:
                continue
            cell = serving_cell[b, u]
            count = 0
            left = out.prbs
            while left > 0:
                r = owned[b, u, count]
                disturbance = noise_w
                for c in range(cells):
                    v = owner[b, c, r]
                    if c != cell and v >= 0 and block[b, v].prbs > 0:
                        if p.uplink == 0:
                            disturbance += p.prb_power_w * cross[b, r, u, v]
                        else:
                            disturbance += block[b, v].prb_power_w * cross[b, r, v, u]
                sinr[count] = out.prb_power_w * cross[b, r, u, u] / disturbance
                weight[count] = rbg_prbs[r]
                left -= rbg_prbs[r]
                count += 1
            proc = harq[b, u, out.process]
            out.sinr = effective_sinr(sinr, weight, count, beta[out.mcs])
            out.combined_sinr = min(proc.sinr + out.sinr, MAX_SINR)
            error = block_error_rate(
                bler,
                out.mcs,
                cb_bits[proc.kind, proc.mcs, proc.prbs],
                num_cb[proc.kind, proc.mcs, proc.prbs],
                out.combined_sinr,
            )
            bits_per_re = proc.tb_bits / (re_per_prb[proc.kind] * proc.prbs)
            if bits_per_re > math.log2(1.0 + out.combined_sinr):
                error = 1.0
            out.error_rate = error
            out.ack = 0 if uniform(keys[b], slot, u, out.attempt) < error else 1


@numba.njit(cache=True)
def account(slot, symbols, flow, harq, block, tally, params):
    """Write the outcome of the slot's blocks into HARQ processes, flows and tallies."""
    p = params[0]
    batch, ues = block.shape
    for b in range(batch):
        for u in range(ues):
            out = block[b, u]
            flow[b, u].served_bits = 0
            if out.prbs == 0:
                out.delivered = 0
                continue
            proc = harq[b, u, out.process]
            proc.attempts += 1
            proc.sinr = out.combined_sinr
            proc.ack = out.ack
            proc.status = 1
            proc.due_slot = slot + p.feedback_slots
            out.delivered = out.payload if out.ack else 0
            flow[b, u].delivered += out.delivered
            flow[b, u].served_bits = out.tb_bits if out.ack else 0
            row = tally[b, u]
            row.air_bits += out.tb_bits
            row.delivered_bytes += out.delivered
            row.prb_slots += out.prbs
            row.attempts += 1
            row.prb_symbols += out.prbs * symbols
            row.active_symbols += symbols
            row.radiated_w_symbols += out.prb_power_w * out.prbs * symbols
            if out.attempt == 1:
                row.blocks += 1
                row.first_errors += 1 - out.ack
                row.mcs_sum += out.mcs
                row.sinr_db_sum += 10.0 * math.log10(out.sinr)
                row.header_bytes += out.header
                if out.again:
                    row.rlc_bytes += out.payload
