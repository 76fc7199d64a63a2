"""Compiled slicing: which slice may use which free group of a slot."""

from __future__ import annotations

import numba
import numpy as np

BLOCKED = -2
"""In ``reserved``: a group that belongs to another slice."""


# A slice that could not use its share for long is not owed more than so many slots.
_MOST_OWED = 10.0


@numba.njit(cache=True)
def split_groups(slot, serving_cell, backlog, chosen, wanted, rate, owner, shares, credit, slice_of):
    """Fill the slice of every free group, int32 [batch, num_cells, num_rbgs], -1 where nobody needs it.

    Deficit round robin: every slice with data (``wanted``) earns its share of the slot's free groups and pays for
    those it gets; the next group goes to the slice that is owed most of those that need some, by the backlogs and
    mean rates of the UEs that would send from it now (``chosen``). ``shares`` is [batch, num_cells, num_slices].
    """
    batch, cells, groups = owner.shape
    num_slices = shares.shape[2]
    need = np.empty((cells, num_slices))
    for b in range(batch):
        _groups_needed(b, serving_cell, backlog, chosen, rate, need)
        for c in range(cells):
            free = 0
            active = 0.0
            for r in range(groups):
                slice_of[b, c, r] = -1
                free += owner[b, c, r] < 0
            for k in range(num_slices):
                if wanted[b, c, k]:
                    active += shares[b, c, k]
            for k in range(num_slices):
                if wanted[b, c, k]:
                    owed = credit[b, c, k] + (free * shares[b, c, k] / active if active > 0.0 else 0.0)
                    credit[b, c, k] = min(max(owed, -_MOST_OWED * groups), _MOST_OWED * groups)
                else:
                    credit[b, c, k] = 0.0
            for i in range(groups):
                r = (i + slot) % groups
                if owner[b, c, r] >= 0:
                    continue
                best = -1
                for k in range(num_slices):
                    if need[c, k] > 0.0 and (best < 0 or credit[b, c, k] > credit[b, c, best]):
                        best = k
                if best >= 0:
                    slice_of[b, c, r] = best
                    need[c, best] -= 1.0
                    credit[b, c, best] -= 1.0


@numba.njit(cache=True)
def _groups_needed(b, serving_cell, backlog, chosen, rate, need):
    """Fill how many groups every slice's data would take in every cell, [num_cells, num_slices], rounded up."""
    groups = rate.shape[2]
    need[:] = 0.0
    for u in range(backlog.shape[1]):
        if backlog[b, u] > 0:
            mean = 0.0
            for r in range(groups):
                mean += rate[b, u, r]
            need[serving_cell[b, u], chosen[b, u]] += np.ceil(8.8 * backlog[b, u] * groups / max(mean, 1.0))


@numba.njit(cache=True)
def restrict(k, slice_of, chosen, owner, backlog, reserved, waiting):
    """Fill what slice ``k``'s scheduler sees: other slices' groups BLOCKED, other slices' UEs without backlog."""
    batch, cells, groups = owner.shape
    for b in range(batch):
        for c in range(cells):
            for r in range(groups):
                own = owner[b, c, r] >= 0 or slice_of[b, c, r] == k
                reserved[b, c, r] = owner[b, c, r] if own else BLOCKED
        for u in range(backlog.shape[1]):
            waiting[b, u] = backlog[b, u] if chosen[b, u] == k else 0


@numba.njit(cache=True)
def merge(k, slice_of, granted, owner):
    """Take over what slice ``k``'s scheduler granted of its groups."""
    batch, cells, groups = owner.shape
    for b in range(batch):
        for c in range(cells):
            for r in range(groups):
                if owner[b, c, r] < 0 and slice_of[b, c, r] == k and granted[b, c, r] >= 0:
                    owner[b, c, r] = granted[b, c, r]
