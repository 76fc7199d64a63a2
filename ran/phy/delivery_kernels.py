"""Compiled delivery: whether transport blocks survive the SINRs that they meet, and what that changes."""

from __future__ import annotations

import math

import numba
import numpy as np

from ran.phy.harq_combining import combined_sinr, mother_rate
from ran.phy.link_kernels import MAX_SINR, block_error_rate, effective_sinr, uniform


@numba.njit(cache=True)
def decide_fate(
    slot, keys, owned, sinr, rbg_prbs, harq, params, code_rate, beta, bler, cb_bits, num_cb, re_per_prb, block
):  # fmt: skip
    """Fill effective SINR, error rate and acknowledgement of every block from its SINRs.

    ``sinr`` is [batch, num_ues, num_rbgs, num_layers] at the places that ``owned`` lists. Each attempt is drawn
    afresh at the error rate of everything combined so far. A block whose code rate exceeds Shannon's bound at its
    combined SINR fails, whatever an interpolated curve says.
    """
    p = params[0]
    batch, ues = block.shape
    values = np.empty(sinr.shape[2] * sinr.shape[3])
    weight = np.empty(len(values))
    for b in range(batch):
        for u in range(ues):
            out = block[b, u]
            if out.prbs == 0:
                continue
            count = 0
            left = out.prbs
            group = 0
            while left > 0:
                prbs = rbg_prbs[owned[b, u, group]]
                for m in range(out.rank):
                    values[count] = sinr[b, u, group, m]
                    weight[count] = prbs
                    count += 1
                left -= prbs
                group += 1
            proc = harq[b, u, out.process]
            out.sinr = effective_sinr(values, weight, count, beta[out.mcs])
            total = min(proc.sinr + out.sinr, MAX_SINR)
            mother = mother_rate(proc.tb_bits, code_rate[proc.mcs])
            combined = combined_sinr(total, out.attempt, code_rate[proc.mcs], mother, p.combining)
            out.combined_sinr = min(combined, MAX_SINR)
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
def account(slot, symbols, serving_cell, owner, rbg_prbs, bearer, harq, block, tally, cell, params, slices):
    """Write the outcome of the slot's blocks into HARQ processes, bearers and tallies."""
    p = params[0]
    batch, ues = block.shape
    for b in range(batch):
        for u in range(ues):
            out = block[b, u]
            out.delivered = 0
            out.lost = 0
            for k in range(bearer.shape[2]):
                bearer[b, u, k].served_bits = 0
            if out.prbs == 0:
                continue
            proc = harq[b, u, out.process]
            proc.attempts += 1
            proc.sinr = min(proc.sinr + out.sinr, MAX_SINR)
            proc.ack = out.ack
            proc.status = 1
            proc.due_slot = slot + p.feedback_slots
            stream = bearer[b, u, out.bearer]
            if out.ack:
                out.delivered = out.payload
                stream.delivered += out.payload
                stream.served_bits = out.tb_bits
            elif slices[out.bearer].unacknowledged and proc.attempts >= p.max_attempts:
                out.lost = out.payload
                stream.lost += out.payload
            cell[b, serving_cell[b, u]].delivered_bytes += out.delivered
            _count(symbols, out, tally[b, u, out.bearer])
        for c in range(owner.shape[1]):
            prbs = 0
            for r in range(owner.shape[2]):
                for s in range(owner.shape[3]):
                    if owner[b, c, r, s] >= 0 and block[b, owner[b, c, r, s]].prbs > 0:
                        prbs += rbg_prbs[r]
                        break
            cell[b, c].prb_slots += prbs
            cell[b, c].active_symbols += symbols if prbs > 0 else 0


@numba.njit(cache=True)
def _count(symbols, out, row):
    row.air_bits += out.tb_bits
    row.delivered_bytes += out.delivered
    row.lost_bytes += out.lost
    row.prb_slots += out.prbs
    row.attempts += 1
    row.prb_symbols += out.prbs * symbols
    row.active_symbols += symbols
    row.radiated_w_symbols += out.prb_power_w * out.prbs * symbols
    if out.attempt == 1:
        row.blocks += 1
        row.first_errors += 1 - out.ack
        row.mcs_sum += out.mcs
        row.rank_sum += out.rank
        row.sinr_db_sum += 10.0 * math.log10(out.sinr)
        row.header_bytes += out.header
        if out.again:
            row.rlc_bytes += out.payload
