"""One slot: observe -> schedule -> adapt -> deliver -> measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.mac.adaptation_kernels import build_blocks, list_groups
from ran.mac.harq_kernels import collect_feedback, reserve_retransmissions
from ran.mac.scheduler import Observation
from ran.phy.delivery_kernels import account, receive_blocks
from ran.state import BLOCK_DTYPE, LinkState

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.air import Air, LinkAir
    from ran.plan import LinkPlan, SlotPlan


@dataclass(frozen=True)
class SlotReport:
    """What one direction did in one slot.

    Attributes:
        owner: who held every group, int32 [batch, num_cells, num_rbgs], -1 where nobody.
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
    """Run slot number ``slot`` in the directions that the TDD pattern gives it; return (downlink, uplink) reports.

    The states are updated in place (copy them first to keep them); None leaves a direction silent. ``grant``
    replaces the scheduler's decision: int32 [batch, num_cells, num_rbgs], the owner UE or -1 of every group;
    HARQ retransmissions keep precedence.
    """
    kind = plan.kinds[slot % len(plan.kinds)]
    down = up = None
    if kind.downlink >= 0 and downlink is not None:
        down = run_link(plan.downlink, slot, kind.downlink, kind.downlink_symbols, air.downlink, downlink, grant)
    if kind.uplink >= 0 and uplink is not None:
        up = run_link(plan.uplink, slot, kind.uplink, kind.uplink_symbols, air.uplink, uplink, grant)
    return down, up


def run_link(
    plan: LinkPlan,
    slot: int,
    kind: int,
    symbols: int,
    air: LinkAir,
    state: LinkState,
    grant: NDArray[np.int32] | None,
) -> SlotReport:
    """Run one direction of one slot; ``kind`` indexes ``plan.tables.re_per_prb``, ``symbols`` are on the air."""
    tables = plan.tables
    batch, num_ues = state.flow.shape
    backlog = np.empty((batch, num_ues), np.int64)
    pending = np.empty((batch, num_ues), np.int64)
    owner = np.empty((batch, plan.num_cells, plan.num_rbgs), np.int32)
    owned = np.empty((batch, num_ues, plan.num_rbgs), np.int32)
    block = np.empty((batch, num_ues), BLOCK_DTYPE)
    rate = air.rate_bits[kind]

    # Observe: acknowledgements that arrive now, bytes that wait, blocks to be sent again.
    collect_feedback(slot, state.flow, state.harq, state.nack, state.tally, plan.params, backlog, pending)
    reserve_retransmissions(slot, state.harq, pending, air.serving_cell, rate, plan.rbg_prbs, owner)

    # Schedule.
    if grant is None:
        seen = Observation(backlog, rate, state.flow["served_bits"], air.serving_cell, owner, slot)
        owner, state.scheduler = plan.scheduler.decide(seen, state.scheduler)
    else:
        owner = np.where(owner >= 0, owner, np.where(backlog_of(grant, backlog) > 0, grant, -1)).astype(np.int32)

    # Adapt: modulation and coding, then bytes.
    list_groups(owner, air.serving_cell, block, owned)
    build_blocks(
        slot,
        kind,
        state.flow,
        state.harq,
        state.nack,
        pending,
        owned,
        air.reported_gain,
        air.reported_noise_w,
        air.path_gain,
        plan.rbg_prbs,
        plan.params,
        tables.efficiency,
        tables.beta,
        tables.bler,
        tables.transport_block_bits,
        tables.code_block_bits,
        tables.num_code_blocks,
        block,
    )

    # Deliver: the interference of what all cells really sent, then fate.
    receive_blocks(
        slot,
        plan.keys,
        air.serving_cell,
        owner,
        owned,
        air.cross,
        plan.noise_w,
        plan.rbg_prbs,
        state.harq,
        plan.params,
        tables.beta,
        tables.bler,
        tables.code_block_bits,
        tables.num_code_blocks,
        plan.re_per_prb,
        block,
    )

    # Measure.
    account(slot, symbols, state.flow, state.harq, block, state.tally, plan.params)
    return SlotReport(owner, block)


def backlog_of(grant: NDArray[np.int32], backlog: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the backlog of the UE that each group is granted to, [batch, num_cells, num_rbgs]."""
    batch = np.arange(len(grant))[:, None, None]
    return np.where(grant >= 0, backlog[batch, np.maximum(grant, 0)], 0)
