"""From observations to grants: slices, schedulers, pairing, and grants that come from outside."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numba
import numpy as np

from ran.mac.pairing_kernels import pair_users
from ran.mac.slicing_kernels import merge, restrict, split_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.mac.scheduler import Observation
    from ran.phy.mimo import Mimo
    from ran.plan import LinkPlan
    from ran.state import LinkState


def schedule(
    link: LinkPlan, state: LinkState, seen: Observation, chosen: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """Return who holds every group by the schedulers of all slices, int32 [batch, num_cells, num_rbgs, num_streams].

    ``chosen`` [batch, num_ues] is the slice that every UE would send from, ``wanted`` [batch, num_cells, num_slices]
    tells which slices have data at all. Of the streams only the first is given away.
    """
    if link.schedulers[0].across_slices and len(set(link.schedulers)) == 1:
        view = of_chosen(seen, state, chosen)
        owner, state.scheduler[0] = link.schedulers[0].decide(view, state.scheduler[0])
        return _with_streams(owner, link.streams)
    if len(link.schedulers) == 1:
        owner, state.scheduler[0] = link.schedulers[0].decide(seen, state.scheduler[0])
        return _with_streams(owner, link.streams)
    owner = seen.reserved
    slice_of, reserved = np.empty_like(owner), np.empty_like(owner)
    split_groups(
        seen.slot, seen.serving_cell, seen.backlog_bytes, chosen, wanted, seen.rate_bits, owner, state.share,
        state.credit, slice_of,
    )  # fmt: skip
    for k, scheduler in enumerate(link.schedulers):
        waiting = np.empty_like(seen.backlog_bytes)
        restrict(k, slice_of, chosen, seen.reserved, seen.backlog_bytes, reserved, waiting)
        part = _slice_view(replace(seen, backlog_bytes=waiting, reserved=reserved), state, k)
        granted, state.scheduler[k] = scheduler.decide(part, state.scheduler[k])
        merge(k, slice_of, granted, owner)
    return _with_streams(owner, link.streams)


def _slice_view(seen: Observation, state: LinkState, k: int) -> Observation:
    bearer = state.bearer[..., k]
    return replace(seen, bearer=bearer, served_bits=bearer["served_bits"])


def of_chosen(seen: Observation, state: LinkState, chosen: NDArray[np.int64]) -> Observation:
    """Return what is seen when all slices are one: each UE by the bearer that it would send from."""
    bearer = np.take_along_axis(state.bearer, chosen[..., None], axis=2)[..., 0]
    return replace(seen, bearer=bearer, served_bits=state.bearer["served_bits"].sum(axis=2))


def follow(grant: NDArray[np.int32], seen: Observation, streams: int) -> NDArray[np.int32]:
    """Return ``grant`` [batch, num_cells, num_rbgs(, num_streams)] where its UEs wait and HARQ left the group free.

    A UE that is named twice in a group gets one stream of it.
    """
    owner = _with_streams(grant, streams) if grant.ndim == 3 else grant
    assert owner.shape == (*seen.reserved.shape, streams), f"a grant of shape {grant.shape}"
    batch = np.arange(len(owner))[:, None, None, None]
    waits = (owner >= 0) & (seen.backlog_bytes[batch, np.maximum(owner, 0)] > 0)
    for s in range(1, streams):
        waits[..., s] &= (owner[..., s, None] != owner[..., :s]).all(axis=-1)
    free = seen.reserved[..., None] < 0
    kept = np.where(free & waits, owner, -1).astype(np.int32)
    kept[..., 0] = np.where(free[..., 0], kept[..., 0], seen.reserved)
    return kept


def _with_streams(owner: NDArray[np.int32], streams: int) -> NDArray[np.int32]:
    """Return ``owner`` with a last axis of streams, of which it holds the first."""
    if streams == 1:
        return owner[..., None]
    shared = np.full((*owner.shape, streams), -1, np.int32)
    shared[..., 0] = owner
    return shared


def pair_streams(
    link: LinkPlan,
    mimo: Mimo,
    state: LinkState,
    seen: Observation,
    chosen: NDArray[np.int64],
    pending: NDArray[np.int64],
    rows: NDArray[np.complex64],
    noise_w: NDArray[np.float32],
    kind: int,
    streams: NDArray[np.int32],
) -> None:
    """Add UEs to the further streams of every group, in place, as long as the schedulers' weighted rate grows.

    A UE counts with the weight of the scheduler of the slice that it sends from.
    """
    members, need_bits = seen.waiting()
    spend_granted(streams, seen.rate_bits, need_bits)
    weight = np.empty(need_bits.shape)
    for k, scheduler in enumerate(link.schedulers):
        view = seen if len(link.schedulers) == 1 else _slice_view(seen, state, k)
        mine = chosen == k
        weight[mine] = scheduler.weight(view, state.scheduler[k])[mine]
    pair_users(
        streams, rows, members, need_bits, pending, weight, noise_w, float(link.params["prb_power_w"][0]),
        mimo.correlation_limit, link.rbg_prbs, int(link.re_per_prb[kind]), float(link.tables.efficiency[-1]),
    )  # fmt: skip


@numba.njit(cache=True)
def spend_granted(streams, rate, need_bits):  # type: ignore[no-untyped-def]
    """Take the bits of the groups that the first streams hold off what their UEs still need."""
    batch, cells, groups, _ = streams.shape
    for b in range(batch):
        for c in range(cells):
            for r in range(groups):
                if streams[b, c, r, 0] >= 0:
                    need_bits[b, streams[b, c, r, 0]] -= rate[b, streams[b, c, r, 0], r]
