"""Compiled HARQ: feedback that arrives, and room reserved for blocks that must be sent again."""

from __future__ import annotations

import numba

from ran.state import IDLE, NACK_CAPACITY, PENDING, WAITING


@numba.njit(cache=True)
def collect_feedback(slot, flow, harq, nack, tally, params, backlog, pending):
    """Act on acknowledgements due by ``slot``; fill each UE's backlog (bytes) and oldest pending process (or -1).

    Backlog is what may start a new block now: zero while every process is busy.
    """
    p = params[0]
    batch, ues, processes = harq.shape
    for b in range(batch):
        for u in range(ues):
            oldest = -1
            idle = False
            for k in range(processes):
                proc = harq[b, u, k]
                if proc.status == WAITING and proc.due_slot <= slot:
                    if proc.attempts == 1:
                        step = p.olla_step_db
                        offset = flow[b, u].olla_db
                        offset += p.olla_up_db if proc.ack else -step
                        flow[b, u].olla_db = min(max(offset, -p.olla_range_db), p.olla_range_db)
                    if proc.ack:
                        proc.status = IDLE
                    elif proc.attempts < p.max_attempts or flow[b, u].nack_count == NACK_CAPACITY:
                        proc.status = PENDING
                    else:
                        n = flow[b, u].nack_count
                        nack[b, u, n].start = proc.start
                        nack[b, u, n].payload = proc.payload
                        nack[b, u, n].ready_slot = slot + p.status_slots
                        flow[b, u].nack_count = n + 1
                        tally[b, u].failures += 1
                        proc.status = IDLE
                if proc.status == IDLE:
                    idle = True
                elif proc.status == PENDING and (oldest < 0 or proc.first_slot < harq[b, u, oldest].first_slot):
                    oldest = k
            pending[b, u] = oldest
            waiting = flow[b, u].enqueued - flow[b, u].sent
            for n in range(flow[b, u].nack_count):
                if nack[b, u, n].ready_slot <= slot:
                    waiting += nack[b, u, n].payload
            backlog[b, u] = waiting if idle and oldest < 0 else 0


@numba.njit(cache=True)
def reserve_retransmissions(slot, harq, pending, serving_cell, rate, rbg_prbs, owner):
    """Give pending blocks the groups that suit their UE best, before anyone else is scheduled.

    ``owner`` [batch, num_cells, num_rbgs] is set to -1 or the UE. A block is sent again only where at least the
    PRBs of its first attempt are free; else it stays pending and ``pending`` becomes -2.
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
                pending[b, u] = -2
                continue
            while need > 0:
                best = -1
                for r in range(groups):
                    if owner[b, c, r] < 0 and (best < 0 or rate[b, u, r] > rate[b, u, best]):
                        best = r
                owner[b, c, best] = u
                need -= rbg_prbs[best]
