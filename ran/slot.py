"""One slot: observe -> schedule -> adapt -> deliver -> measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.mac.adaptation_kernels import build_blocks, list_groups
from ran.mac.grants import follow, pair_streams, schedule
from ran.mac.harq_kernels import collect_feedback, reserve_retransmissions
from ran.mac.scheduler import Observation
from ran.phy.delivery_kernels import account, decide_fate
from ran.phy.multi_user import expected_channel, far_streams, leave_silent, precode_streams, stream_sinrs
from ran.phy.single_user_kernels import layer_sinrs
from ran.state import BLOCK_DTYPE, LinkState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.air import Air, LinkAir
    from ran.plan import LinkPlan, SlotPlan


@dataclass(frozen=True)
class SlotReport:
    """What one direction did in one slot.

    Attributes:
        owner: who held every group, int32 [batch, num_cells, num_rbgs, num_streams], -1 where nobody.
        block: what every UE sent or received, BLOCK_DTYPE [batch, num_ues]; ``prbs`` is zero where nothing.
    """

    owner: NDArray[np.int32]
    block: NDArray[Any]


def run_slot(
    plan: SlotPlan,
    slot: int,
    air: Air,
    downlink: LinkState | None,
    uplink: LinkState | None,
    grant: NDArray[np.int32] | None = None,
) -> tuple[SlotReport | None, SlotReport | None]:
    """Run slot number ``slot`` in the directions that the duplex pattern gives it; return (downlink, uplink) reports.

    The states are updated in place (copy them first to keep them); None leaves a direction silent. ``grant``
    replaces the scheduler's decision: int32 [batch, num_cells, num_rbgs], the owner UE or -1 of every group, or with
    a last axis of streams; HARQ retransmissions keep precedence.
    """
    kind = plan.kinds[slot % len(plan.kinds)]
    down = up = None
    if kind.downlink >= 0 and downlink is not None:
        down = run_link(plan, plan.downlink, slot, kind.downlink, kind.downlink_symbols, air.downlink, downlink, grant)
    if kind.uplink >= 0 and uplink is not None:
        up = run_link(plan, plan.uplink, slot, kind.uplink, kind.uplink_symbols, air.uplink, uplink, grant)
    return down, up


@dataclass(frozen=True)
class View:
    """What a slot of one direction begins with.

    Attributes:
        seen: what a scheduler may know.
        chosen: bearer that every UE would send from, int64 [batch, num_ues].
        wanted: which slices have data, bool [batch, num_cells, num_slices].
        pending: oldest HARQ process of every UE to be sent again, or negative, int64 [batch, num_ues].
    """

    seen: Observation
    chosen: NDArray[np.int64]
    wanted: NDArray[np.bool_]
    pending: NDArray[np.int64]


def observe(plan: SlotPlan, link: LinkPlan, slot: int, kind: int, air: LinkAir, state: LinkState) -> View:
    """Take in the feedback that arrives in a slot; return what its scheduler sees. Twice is as good as once."""
    batch, num_ues = state.ue.shape
    rate, serving_cell = air.rate_bits[kind], air.serving_cell
    backlog, pending = np.empty((2, batch, num_ues), np.int64)
    chosen = np.empty((batch, num_ues), np.int64)
    wanted = np.empty((batch, link.num_cells, link.num_slices), np.bool_)
    owner = np.empty((batch, link.num_cells, link.num_rbgs), np.int32)
    collect_feedback(
        slot, serving_cell, state.ue, state.bearer, state.harq, state.nack, state.tally, state.credit, link.params,
        link.slices, backlog, pending, chosen, wanted,
    )  # fmt: skip
    reserve_retransmissions(slot, state.harq, pending, serving_cell, rate, link.rbg_prbs, owner)
    seen = Observation(
        backlog, rate, state.bearer["served_bits"][..., 0], serving_cell, owner, slot, slot * plan.slot_s,
        state.bearer[..., 0],
    )  # fmt: skip
    return View(seen, chosen, wanted, pending)


def run_link(
    plan: SlotPlan,
    link: LinkPlan,
    slot: int,
    kind: int,
    symbols: int,
    air: LinkAir,
    state: LinkState,
    grant: NDArray[np.int32] | None,
) -> SlotReport:
    """Run one direction of one slot; ``kind`` indexes ``link.re_per_prb``, ``symbols`` are on the air."""
    batch, num_ues = state.ue.shape
    tables, serving_cell = link.tables, air.serving_cell
    owned = np.empty((batch, num_ues, link.num_rbgs), np.int32)
    block = np.zeros((batch, num_ues), BLOCK_DTYPE)
    sinr = np.empty((batch, num_ues, link.num_rbgs, link.layers))

    # Observe: acknowledgements that arrive now, bytes that wait, blocks to be sent again.
    view = observe(plan, link, slot, kind, air, state)
    seen, chosen, wanted, pending = view.seen, view.chosen, view.wanted, view.pending

    # Schedule: one UE per group, then with multi-user MIMO the UEs that share it.
    streams = schedule(link, state, seen, chosen, wanted) if grant is None else follow(grant, seen, link.streams)
    gain, noise = air.reported_gain, air.reported_noise_w
    if link.streams > 1:
        assert plan.precoder is not None
        power_w = float(link.params["prb_power_w"][0])
        rows = air.known.own_rows
        if grant is None:
            pair_streams(link, plan.mimo, state, seen, chosen, pending, rows, noise, kind, streams)
        beams = precode_streams(plan.precoder, streams, rows, noise, power_w, plan.device, plan.threads)
        leave_silent(streams, beams, pending, power_w)
        gain, noise = np.zeros_like(gain), np.ones_like(noise)
        expected_channel(streams, rows, beams, air.reported_noise_w, power_w, gain, noise)

    # Adapt: modulation and coding, then bytes.
    n = air.beams.neighbours
    list_groups(streams, serving_cell, block, owned)
    build_blocks(
        slot, kind, link.layers, state.ue, state.bearer, state.harq, state.nack, pending, chosen, owned, gain, noise,
        air.rank, n.own_gain, link.rbg_prbs, link.params, tables.efficiency, tables.beta, tables.bler,
        tables.transport_block_bits, tables.code_block_bits, tables.num_code_blocks, block,
    )  # fmt: skip

    # Deliver: the interference of what all cells really sent, then fate.
    if link.streams > 1:
        far_w = np.zeros((batch, num_ues))
        if n.near.shape[2] < link.num_cells:
            far_streams(serving_cell, streams, beams, n.column, n.path_gain, link.rbg_prbs, block, far_w)
        stream_sinrs(
            serving_cell, streams, owned, air.beams.rows, beams, n.near, far_w, link.rbg_prbs, link.noise_w, block, sinr
        )
    else:
        layer_sinrs(
            link.params["uplink"][0], serving_cell, streams, owned, air.beams.cross, link.layers, n.near, n.heard,
            n.column, n.place, n.path_gain, link.rbg_prbs, link.noise_w, block, sinr,
        )  # fmt: skip
    decide_fate(
        slot, link.keys, owned, sinr, link.rbg_prbs, state.harq, link.params, tables.code_rate, tables.beta,
        tables.bler, tables.code_block_bits, tables.num_code_blocks, tables.re_per_prb, block,
    )  # fmt: skip

    # Measure.
    account(
        slot, symbols, serving_cell, streams, link.rbg_prbs, state.bearer, state.harq, block, state.tally, state.cell,
        link.params, link.slices,
    )  # fmt: skip
    return SlotReport(streams, block)
