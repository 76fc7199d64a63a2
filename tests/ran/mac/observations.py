"""Hand-made slots of one cell for schedulers, without a radio: what is granted arrives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ran.mac.scheduler import Observation, Scheduler
from ran.state import BEARER_DTYPE, DEFAULT_BUDGET_S, DEFAULT_PRIORITY

FULL_BUFFER_BYTES = 1 << 40


def idle_bearers(*shape: int) -> NDArray[np.void]:
    """Return bearers of which nothing is known, BEARER_DTYPE [*shape]."""
    bearer = np.zeros(shape, BEARER_DTYPE)
    bearer["head_s"], bearer["deadline_s"] = np.nan, np.inf
    bearer["budget_s"], bearer["priority"] = DEFAULT_BUDGET_S, DEFAULT_PRIORITY
    return bearer


def one_cell(
    rate_bits: NDArray[np.floating],
    *,
    backlog_bytes: NDArray[np.integer] | int = FULL_BUFFER_BYTES,
    served_bits: NDArray[np.integer] | int = 0,
    bearer: NDArray[np.void] | None = None,
    now_s: float = 0.0,
) -> Observation:
    """Return a slot of one cell in which every group is free; ``rate_bits`` is [num_ues, num_rbgs]."""
    ues, groups = rate_bits.shape
    backlog = np.broadcast_to(backlog_bytes, (1, ues)).astype(np.int64)
    if bearer is None:
        bearer = idle_bearers(1, ues)
        bearer["enqueued"] = backlog
    return Observation(
        backlog_bytes=backlog,
        rate_bits=rate_bits[None].astype(np.float32),
        served_bits=np.broadcast_to(served_bits, (1, ues)).astype(np.int64),
        serving_cell=np.zeros((1, ues), np.int32),
        reserved=np.full((1, 1, groups), -1, np.int32),
        slot=0,
        now_s=now_s,
        bearer=bearer,
    )


def bits_of(owner: NDArray[np.int32], rate_bits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return what each UE gets by ``owner`` [num_rbgs], bits [num_ues]."""
    bits = np.zeros(len(rate_bits))
    held = np.flatnonzero(owner >= 0)
    np.add.at(bits, owner[held], rate_bits[owner[held], held])
    return bits


def serve_full_buffer(
    scheduler: Scheduler, rate_bits: NDArray[np.floating], *, warm_up: int = 1000, slots: int = 10_000
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean bits per slot of every UE [num_ues] and its share of every group [num_ues, num_rbgs].

    ``rate_bits`` [num_ues, num_rbgs] stays the same in every slot; averages are over ``slots`` after ``warm_up``.
    """
    ues, groups = rate_bits.shape
    state = scheduler.start(1, 1, ues)
    held = np.zeros((ues, groups))
    served = np.zeros(ues)
    for slot in range(warm_up + slots):
        owner, state = scheduler.decide(one_cell(rate_bits, served_bits=served), state)
        served = np.rint(bits_of(owner[0, 0], rate_bits)).astype(np.int64)
        if slot >= warm_up:
            held[owner[0, 0], np.arange(groups)] += 1
    share = held / slots
    return (share * rate_bits).sum(axis=1), share


def faded_rates(seed: int, *, ues: int, groups: int, spread_db: float = 20.0) -> NDArray[np.float64]:
    """Return whole bits per group of UEs up to ``spread_db`` apart, each Rayleigh faded over groups."""
    rng = np.random.default_rng(seed)
    snr = 10.0 ** (rng.uniform(0.0, spread_db, (ues, 1)) / 10.0) * rng.exponential(1.0, (ues, groups))
    return np.rint(500.0 * np.log2(1.0 + snr)) + 1.0
