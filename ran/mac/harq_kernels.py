"""Compiled HARQ: feedback that arrives, room for blocks that must be sent again, and what a handover flushes."""

from __future__ import annotations

import numba

from ran.rlc_kernels import add_range
from ran.state import IDLE, PENDING, WAITING

WAITS = -2
"""In ``pending``: a block waits for room, or for the end of an interruption."""


@numba.njit(cache=True)
def collect_feedback(
    slot, serving_cell, ue, bearer, harq, nack, tally, credit, params, slices, backlog, pending, chosen, wanted
):
    """Act on acknowledgements due by ``slot``; fill what every UE may send.

    ``pending`` is the oldest process to be sent again, or -1. ``chosen`` is the bearer that the UE would send from:
    that of ``pending``, or of those with data the one whose slice is owed most. ``backlog`` is what may start a new
    block from it now, in bytes: zero while every process is busy or a handover interrupts. ``wanted``
    [batch, num_cells, num_slices] tells which slices have such data, whichever bearers were chosen.
    """
    p = params[0]
    batch, ues, processes = harq.shape
    wanted[:] = False
    for b in range(batch):
        for u in range(ues):
            row = ue[b, u]
            oldest = -1
            idle = False
            for n in range(processes):
                proc = harq[b, u, n]
                if proc.status == WAITING and proc.due_slot <= slot:
                    if proc.attempts == 1:
                        offset = row.olla_db + (p.olla_up_db if proc.ack else -p.olla_step_db)
                        row.olla_db = min(max(offset, -p.olla_range_db), p.olla_range_db)
                    _settle(slot, ue, harq, nack, tally, params, slices, b, u, n)
                if proc.status == IDLE:
                    idle = True
                elif proc.status == PENDING and (oldest < 0 or proc.first_slot < harq[b, u, oldest].first_slot):
                    oldest = n
            pending[b, u] = oldest
            backlog[b, u] = 0
            chosen[b, u] = harq[b, u, oldest].bearer if oldest >= 0 else 0
            if slot < row.resume_slot:
                pending[b, u] = WAITS if oldest >= 0 else -1
            elif idle and oldest < 0:
                _choose_bearer(slot, serving_cell[b, u], ue, bearer, nack, credit, b, u, backlog, chosen, wanted)


@numba.njit(cache=True)
def _settle(slot, ue, harq, nack, tally, params, slices, b, u, n):
    """Decide what becomes of a process whose feedback has arrived."""
    proc = harq[b, u, n]
    if proc.ack:
        proc.status = IDLE
    elif proc.attempts < params[0].max_attempts:
        proc.status = PENDING
    elif slices[proc.bearer].unacknowledged or add_range(
        ue, nack, b, u, proc.bearer, proc.start, proc.payload, slot + params[0].status_slots
    ):
        tally[b, u, proc.bearer].failures += 1
        proc.status = IDLE
    else:
        proc.status = PENDING


@numba.njit(cache=True)
def _choose_bearer(slot, cell, ue, bearer, nack, credit, b, u, backlog, chosen, wanted):
    best = -1
    for k in range(bearer.shape[2]):
        waiting = bearer[b, u, k].enqueued - bearer[b, u, k].sent
        for n in range(ue[b, u].nack_count):
            if nack[b, u, n].bearer == k and nack[b, u, n].ready_slot <= slot:
                waiting += nack[b, u, n].payload
        if waiting <= 0:
            continue
        wanted[b, cell, k] = True
        if best < 0 or credit[b, cell, k] > credit[b, cell, best]:
            best = k
            backlog[b, u] = waiting
            chosen[b, u] = k


@numba.njit(cache=True)
def reserve_retransmissions(slot, harq, pending, serving_cell, rate, rbg_prbs, owner):
    """Give pending blocks the groups that suit their UE best, before anyone else is scheduled.

    ``owner`` [batch, num_cells, num_rbgs] is set to -1 or the UE. A block is sent again only where at least the
    PRBs of its first attempt are free; else it stays pending and ``pending`` becomes WAITS.
    """
    batch, ues, _ = harq.shape
    groups = len(rbg_prbs)
    for b in range(batch):
        for c in range(owner.shape[1]):
            for r in range(groups):
                owner[b, c, r] = -1
        for i in range(ues):
            u = (i + slot) % ues
            k = pending[b, u]
            if k < 0:
                continue
            c = serving_cell[b, u]
            free = 0
            for r in range(groups):
                if owner[b, c, r] < 0:
                    free += rbg_prbs[r]
            need = harq[b, u, k].prbs
            if free < need:
                pending[b, u] = WAITS
                continue
            while need > 0:
                best = -1
                for r in range(groups):
                    if owner[b, c, r] < 0 and (best < 0 or rate[b, u, r] > rate[b, u, best]):
                        best = r
                owner[b, c, best] = u
                need -= rbg_prbs[best]


@numba.njit(cache=True)
def flush_processes(slot, ue, bearer, harq, nack, params, slices, b, u, lost):
    """Empty a UE's HARQ buffers at a change of cell; return how many rows of ``lost`` were filled.

    Blocks that have not arrived go back to RLC to be sent in the new cell (AM: data forwarding), or are lost (UM):
    rows (bearer, start, bytes) of ``lost`` [processes, 3]. Where RLC has no room for another range, the process
    sends its block again from the first attempt.
    """
    count = 0
    for n in range(harq.shape[2]):
        proc = harq[b, u, n]
        if proc.status == IDLE:
            continue
        gone = proc.ack == 0 or proc.status == PENDING
        proc.status = IDLE
        if not gone:
            continue
        k = proc.bearer
        if slices[k].unacknowledged:
            if proc.attempts < params[0].max_attempts:  # else the loss is already counted
                bearer[b, u, k].lost += proc.payload
                lost[count, 0] = k
                lost[count, 1] = proc.start
                lost[count, 2] = proc.payload
                count += 1
        elif not add_range(ue, nack, b, u, k, proc.start, proc.payload, slot):
            proc.status = PENDING
            proc.attempts = 0
            proc.sinr = 0.0
    return count
