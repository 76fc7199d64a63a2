"""The air of one coherence interval as the slot loop reads it: beams, reports and rates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numba
import numpy as np

from ran.mac.csi_kernels import choose_rank, far_interference, group_rates, quantise_reports, reported_channel
from ran.phy.beams import BeamTable, Neighbours, beam_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.snapshot import ChannelSnapshot
    from ran.plan import LinkPlan, SlotPlan


@dataclass(frozen=True)
class LinkAir:
    """One direction of one coherence interval.

    Attributes:
        beams: what the air is now.
        known: what link adaptation knows of it.
        rank: layers that UEs asked for, int32 [batch, num_ues].
        reported_gain, reported_noise_w: what UEs last reported, float32 [batch, num_ues, num_rbgs].
        rate_bits: bits that a group would carry by that report, one array per slot kind,
            float32 [num_kinds][batch, num_ues, num_rbgs].
    """

    beams: BeamTable
    known: BeamTable
    rank: NDArray[np.int32]
    reported_gain: NDArray[np.float32]
    reported_noise_w: NDArray[np.float32]
    rate_bits: tuple[NDArray[np.float32], ...]

    @property
    def serving_cell(self) -> NDArray[np.int32]:
        """Cell that serves every UE, int32 [batch, num_ues]."""
        return self.beams.neighbours.serving_cell


@dataclass(frozen=True)
class Air:
    """Both directions of one coherence interval, valid in ``[valid_from_s, valid_until_s)``."""

    downlink: LinkAir
    uplink: LinkAir
    valid_from_s: float
    valid_until_s: float

    def wideband_sinr(self, plan: LinkPlan) -> NDArray[np.float64]:
        """Return every UE's downlink SINR at full load by its report, linear, mean over groups, [batch, num_ues]."""
        link = self.downlink
        ratio = link.reported_gain.astype(np.float64) / link.reported_noise_w
        power_w: float = plan.params["prb_power_w"][0]
        return power_w * ratio.mean(axis=2)


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


def beams_of(plan: SlotPlan, snapshot: ChannelSnapshot, serving_cell: NDArray[np.int32]) -> BeamTable:
    """Return the beams of a snapshot with each UE served by ``serving_cell`` [batch, num_ues]."""
    neighbours = Neighbours.of(snapshot.path_gain, serving_cell, plan.interfering_cells)
    return beam_table(snapshot, neighbours, plan.mimo.max_rank)


def prepare_air(plan: SlotPlan, now: ChannelSnapshot, beams: BeamTable, known: BeamTable) -> Air:
    """Return the air of snapshot ``now`` with its ``beams``, where link adaptation knows only ``known``."""
    return Air(
        downlink=_link_air(plan.downlink, beams, known),
        uplink=_link_air(plan.uplink, beams, known),
        valid_from_s=now.valid_from_s,
        valid_until_s=now.valid_until_s,
    )


def _link_air(plan: LinkPlan, beams: BeamTable, known: BeamTable) -> LinkAir:
    n, layers, peak = known.neighbours, known.num_layers, plan.tables.efficiency[-1]
    batch, ues, cells = n.path_gain.shape
    far_down_w, far_up_w = np.zeros((batch, ues)), np.zeros((batch, cells))
    if n.near.shape[2] < cells:
        far_interference(
            n.path_gain, n.serving_cell, n.column, n.first, plan.num_prbs, plan.params, far_down_w, far_up_w
        )
    layer_gain = np.empty((batch, ues, layers, plan.num_rbgs), np.float32)
    noise = np.empty((batch, ues, plan.num_rbgs), np.float32)
    reported_channel(
        known.cross, layers, n.serving_cell, n.near, n.heard, n.column, n.place, n.members, n.first, n.own_gain,
        far_down_w, far_up_w, plan.num_prbs, plan.noise_w, plan.params, layer_gain, noise,
    )  # fmt: skip
    rank = np.ones((batch, ues), np.int32)
    gain = np.empty_like(noise)
    where = (n.own_gain, n.serving_cell, n.first, plan.rbg_prbs, plan.num_prbs)
    choose_rank(np.ascontiguousarray(layer_gain[:, :, : plan.max_rank]), noise, *where, peak, plan.params, rank, gain)
    if plan.cqi_thresholds is not None:
        quantise_reports(gain, noise, plan.cqi_thresholds, plan.cqi_wideband, plan.params)
    rates = []
    for re in plan.re_per_prb:
        rate = np.empty_like(noise)
        group_rates(gain, noise, rank, *where, int(re), peak, plan.params, rate)
        rates.append(rate)
    return LinkAir(beams, known, rank, gain, noise, tuple(rates))
