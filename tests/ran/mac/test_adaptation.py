"""Oracle: the definition of link adaptation, MCS by MCS, on reports weighted by PRBs."""

from __future__ import annotations

import numpy as np
import pytest

from ran.mac.link_adaptation import LinkAdaptation
from ran.numerology import Numerology
from ran.phy.link_kernels import block_error_rate
from ran.slot import run_slot
from tests.ran.worlds import default_radio, small_world


@pytest.mark.parametrize("olla_db", [0.0, -4.0, 3.0])
@pytest.mark.parametrize("target", [0.01, 0.3])
def test_the_mcs_is_the_highest_that_meets_the_target(olla_db, target):
    """Oracle: climbing from the lowest MCS while EESM and Sionna's curve stay at or below the target.

    In groups of 2 PRBs, the last of 1: a report counts by its PRBs. Catches a lost outer loop or its sign.
    """
    grid = Numerology.of(3.5e9, 5e6, 30e3, "D")
    chosen = set()
    for seed in range(12):
        small = small_world(
            ues_per_cell=1, seeds=(seed,), loss_db=(100, 128), isolation_db=0, antennas=1, numerology=grid,
            radio=default_radio(link_adaptation=LinkAdaptation(bler_target=target, cqi="unquantised")),
        )  # fmt: skip
        small.downlink.bearer["enqueued"] = 1 << 40
        small.downlink.ue["olla_db"] = olla_db
        report, _ = run_slot(small.plan, 0, small.air, small.downlink, None)
        assert report is not None
        plan, air = small.plan.downlink, small.air.downlink
        t, power_w = plan.tables, plan.params["prb_power_w"][0] * 10 ** (olla_db / 10)
        sinr = power_w * air.reported_gain[0, 0].astype(float) / air.reported_noise_w[0, 0]
        mcs = t.first_mcs
        for candidate in range(t.first_mcs, len(t.beta)):
            beta = t.beta[candidate]
            effective = -beta * np.log(np.average(np.exp(-(sinr - sinr.min()) / beta), weights=plan.rbg_prbs))
            effective = float(np.clip(effective + sinr.min(), 1e-3, 1e3))
            bits, blocks = t.code_block_bits[0, candidate, 11], t.num_code_blocks[0, candidate, 11]
            if block_error_rate(t.bler, candidate, bits, blocks, effective) > target:
                break
            mcs = candidate
        assert report.block["mcs"][0, 0] == mcs
        chosen.add(mcs)
    assert len(chosen) > 4
