"""The air of one coherence interval as the slot loop reads it: beams, reports and rates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from ran.mac.adaptation_kernels import group_rates, reported_channel
from ran.phy.beams import BeamTable, beam_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.snapshot import ChannelSnapshot
    from ran.plan import LinkPlan, SlotPlan


@dataclass(frozen=True)
class LinkAir:
    """One direction of one coherence interval.

    Attributes:
        serving_cell: int32 [batch, num_ues].
        cross: power gains between UEs and beams now, float32 [batch, num_rbgs, num_ues, num_ues].
        path_gain: wideband gain to the serving cell, float64 [batch, num_ues].
        reported_gain, reported_noise_w: what UEs last reported, float32 [batch, num_ues, num_rbgs].
        rate_bits: bits that a group would carry by that report, one array per slot kind,
            float32 [num_kinds][batch, num_ues, num_rbgs].
    """

    serving_cell: NDArray[np.int32]
    cross: NDArray[np.float32]
    path_gain: NDArray[np.float64]
    reported_gain: NDArray[np.float32]
    reported_noise_w: NDArray[np.float32]
    rate_bits: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Air:
    """Both directions of one coherence interval, valid in ``[valid_from_s, valid_until_s)``."""

    downlink: LinkAir
    uplink: LinkAir
    valid_from_s: float
    valid_until_s: float


@contextmanager
def radio_threads(count: int) -> Iterator[None]:
    """Run the body's parallel kernels on ``count`` threads (at most what Numba was started with).

    Every thread writes resource block groups of its own, so results do not depend on the count.
    """
    before = numba.get_num_threads()
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        yield
    finally:
        numba.set_num_threads(before)


def serve_strongest(snapshot: ChannelSnapshot) -> NDArray[np.int32]:
    """Return the cell of largest wideband gain for every UE, int32 [batch, num_ues]."""
    return np.argmax(snapshot.path_gain, axis=2).astype(np.int32)


def prepare_air(
    plan: SlotPlan, now: ChannelSnapshot, reported: ChannelSnapshot, serving_cell: NDArray[np.int32]
) -> Air:
    """Return the air of snapshot ``now`` where link adaptation knows only snapshot ``reported``."""
    beams = beam_table(now, serving_cell)
    known = beams if reported is now else beam_table(reported, serving_cell)
    return Air(
        downlink=_link_air(plan.downlink, beams, known, serving_cell),
        uplink=_link_air(plan.uplink, beams, known, serving_cell),
        valid_from_s=now.valid_from_s,
        valid_until_s=now.valid_until_s,
    )


def _link_air(plan: LinkPlan, now: BeamTable, known: BeamTable, serving_cell: NDArray[np.int32]) -> LinkAir:
    batch, groups, ues, _ = now.cross.shape
    gain = np.empty((batch, ues, groups), np.float32)
    noise = np.empty((batch, ues, groups), np.float32)
    reported_channel(known.cross, serving_cell, known.path_gain, plan.num_prbs, plan.noise_w, plan.params, gain, noise)
    rates = []
    for re in plan.re_per_prb:
        rate = np.empty((batch, ues, groups), np.float32)
        group_rates(
            gain,
            noise,
            known.path_gain,
            serving_cell,
            plan.rbg_prbs,
            plan.num_prbs,
            int(re),
            plan.tables.efficiency[-1],
            plan.params,
            rate,
        )
        rates.append(rate)
    return LinkAir(serving_cell, now.cross, now.path_gain, gain, noise, tuple(rates))
