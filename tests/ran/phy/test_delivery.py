"""Oracle: Shannon's bound, where interpolated curves know no better."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ran.phy.delivery_kernels import decide_fate
from ran.phy.link_kernels import block_error_rate
from ran.state import BLOCK_DTYPE
from tests.ran.worlds import small_world


@pytest.mark.parametrize("mcs_table", [1, 2])
def test_no_block_arrives_above_shannons_bound(mcs_table):
    """Property: every MCS, block of 4 to 51 PRBs and SINR: above log2(1 + SINR) bits per resource element all is lost.

    Catches a bound left out (Sionna's curves, interpolated between code block sizes, promise more here and there), or
    taken over the PRBs of a retransmission, which may be more than those that the block was made for.
    """
    radio = small_world().world.radio
    adaptation = radio.link_adaptation.model_copy(update={"mcs_table": mcs_table})
    small = small_world(ues_per_cell=1, pattern="D", radio=replace(radio, link_adaptation=adaptation))
    plan, harq = small.plan.downlink, small.link().harq
    t, proc, refused = plan.tables, harq[0, 0, 0], 0
    owned = np.arange(plan.num_rbgs, dtype=np.int32)[None, None]
    block = np.zeros((1, 1), BLOCK_DTYPE)
    for mcs in range(t.first_mcs, len(t.beta)):
        for prbs, sent_prbs, attempt in ((4, 4, 1), (20, 20, 1), (51, 51, 1), (4, 51, 2)):
            for sinr_db in np.arange(-12.0, 24.0, 0.5):
                bits = int(t.transport_block_bits[0, mcs, prbs])
                proc["tb_bits"], proc["prbs"], proc["mcs"], proc["kind"] = bits, prbs, mcs, 0
                row = block[0, 0]
                row["prbs"], row["mcs"], row["rank"], row["attempt"], row["process"] = sent_prbs, mcs, 1, attempt, 0
                sinr = np.full((1, 1, plan.num_rbgs, 1), 10 ** (sinr_db / 10))
                decide_fate(
                    0, plan.keys, owned, sinr, plan.rbg_prbs, harq, plan.params, t.code_rate, t.beta, t.bler,
                    t.code_block_bits, t.num_code_blocks, t.re_per_prb, block,
                )  # fmt: skip
                possible = bits / (t.re_per_prb[0] * prbs) <= math.log2(1 + row["combined_sinr"])
                assert possible or (row["error_rate"], row["ack"]) == (1.0, 0)
                curve = block_error_rate(
                    t.bler, mcs, t.code_block_bits[0, mcs, prbs], t.num_code_blocks[0, mcs, prbs], row["combined_sinr"]
                )
                refused += not possible and curve < 1.0
    assert refused > 0, "the curves never promise more than the bound allows"
