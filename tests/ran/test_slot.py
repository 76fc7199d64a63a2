"""Oracles: conservation laws that hold in any world, Shannon, and the same world run alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ran.energy import GnbPower, transmit_energy_j
from ran.mac.harq import Harq
from ran.mac.link_adaptation import LinkAdaptation
from ran.nodes import DeviceProfile
from ran.phy.power_control import PowerControl
from ran.rlc import Rlc
from ran.slot import run_slot
from ran.state import IDLE
from ran.world import Radio
from tests.ran.worlds import SmallWorld, small_world

PATTERNS = ("DDDSU", "DU", "DSUU", "DDDDDDDSUU")


@st.composite
def worlds(draw: st.DrawFn) -> SmallWorld:
    cells = draw(st.sampled_from([1, 1, 2, 3]))
    radio = Radio(
        gnb_tx_power_dbm=draw(st.floats(10, 46)),
        ue_tx_power_dbm=draw(st.floats(0, 26)),
        link_adaptation=LinkAdaptation(
            bler_target=draw(st.sampled_from([0.01, 0.1, 0.5])), mcs_table=draw(st.sampled_from([1, 2]))
        ),
        harq=Harq(
            processes=draw(st.integers(1, 16)), max_attempts=draw(st.integers(1, 4)),
            feedback_slots=draw(st.integers(1, 12)),
        ),
        power_control=PowerControl(alpha=draw(st.floats(0, 1))),
        rlc=Rlc(sdu_bytes=draw(st.integers(240, 3000)), status_slots=draw(st.integers(0, 30))),
    )  # fmt: skip
    return small_world(
        cells=cells, ues_per_cell=draw(st.integers(1, 5)), seeds=(draw(st.integers(0, 10_000)),),
        loss_db=(draw(st.floats(70, 100)), draw(st.floats(100, 135))), isolation_db=draw(st.floats(0, 30)),
        antennas=draw(st.sampled_from([1, 2, 8])), pattern=draw(st.sampled_from(PATTERNS)),
        scheduler=draw(st.sampled_from(["proportional_fair", "round_robin"])), radio=radio,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(small=worlds(), payload=st.integers(0, 40_000), slots=st.integers(1, 80))
def test_every_slot_of_any_world_keeps_its_accounts(small: SmallWorld, payload: int, slots: int):
    """Properties of honest accounting, slot by slot, both directions.

    Catches: a group given twice, a UE of another cell, a block larger than its PRBs allow, bytes created or lost,
    headers forgotten, a rate above Shannon's bound, power above the class.
    """
    for state in (small.downlink, small.uplink):
        state.bearer["enqueued"] = payload
    for slot in range(slots):
        for direction, report in zip(
            ("downlink", "uplink"), run_slot(small.plan, slot, small.air, small.downlink, small.uplink), strict=True
        ):
            if report is None:
                continue
            state = small.downlink if direction == "downlink" else small.uplink
            check_slot(small, direction, slot, report)
            check_flows(state, payload)


def check_slot(small: SmallWorld, direction: str, slot: int, report) -> None:
    plan = small.plan.downlink if direction == "downlink" else small.plan.uplink
    kind = small.plan.kinds[slot % len(small.plan.kinds)]
    re = plan.re_per_prb[kind.downlink if direction == "downlink" else kind.uplink]
    for cell, groups in enumerate(report.owner[0, ..., 0]):
        owners = groups[groups >= 0]
        assert (small.serving_cell[0, owners] == cell).all()
        used = report.block[0, small.serving_cell[0] == cell]["prbs"].sum()
        assert used <= plan.num_prbs
    for ue, block in enumerate(report.block[0]):
        if block["prbs"] == 0:
            assert block["delivered"] == 0
            continue
        granted = plan.rbg_prbs[(report.owner[0, small.serving_cell[0, ue], :, 0] == ue)].sum()
        assert block["prbs"] == granted
        assert 8 * block["payload"] <= block["tb_bits"]
        if block["attempt"] == 1:
            # At most 8 bits a symbol and a code rate below 1; the block pays for payload and headers.
            assert block["tb_bits"] <= 8 * re * block["prbs"]
            assert 8 * (block["payload"] + block["header"]) <= block["tb_bits"]
            assert block["header"] >= 5
        if block["ack"]:
            assert block["delivered"] == block["payload"]
            if block["attempt"] == 1:
                assert block["tb_bits"] / (re * block["prbs"]) <= np.log2(1 + block["combined_sinr"]) + 1e-9
        else:
            assert block["delivered"] == 0
        assert block["sinr"] <= block["combined_sinr"] + 1e-12
        limit_w = plan.params["max_power_w"][0] if direction == "uplink" else plan.params["prb_power_w"][0] * 273
        assert block["prb_power_w"] * block["prbs"] <= limit_w * (1 + 1e-9)


def check_flows(state, payload: int) -> None:
    """Every byte is unsent, delivered, on a HARQ process that failed so far, or in a range to be sent again."""
    for ue, flow in enumerate(state.bearer[0, :, 0]):
        on_air = sum(p["payload"] for p in state.harq[0, ue] if p["status"] != IDLE and not p["ack"])
        lost = state.nack[0, ue][: state.ue[0, ue]["nack_count"]]["payload"].sum()
        unsent = flow["enqueued"] - flow["sent"]
        assert flow["delivered"] + on_air + lost + unsent == payload
        assert min(flow["delivered"], lost, unsent) >= 0
    tally = state.tally[0, :, 0]
    assert (tally["delivered_bytes"] == state.bearer[0, :, 0]["delivered"]).all()
    assert (tally["air_bits"] >= 8 * tally["delivered_bytes"]).all()
    assert (tally["first_errors"] <= tally["blocks"]).all()
    assert (tally["blocks"] <= tally["attempts"]).all()


@pytest.mark.parametrize("scheduler", ["proportional_fair", "round_robin"])
def test_replica_b_is_the_same_world_run_alone(scheduler):
    """Oracle: worlds of one replica. Catches state or random numbers shared between replicas."""
    seeds = (3, 4, 5)
    together = small_world(cells=2, ues_per_cell=3, seeds=seeds, scheduler=scheduler)
    alone = [small_world(cells=2, ues_per_cell=3, seeds=(seed,), scheduler=scheduler) for seed in seeds]
    for small in (together, *alone):
        for state in (small.downlink, small.uplink):
            state.bearer["enqueued"] = 1 << 40
        for slot in range(120):
            run_slot(small.plan, slot, small.air, small.downlink, small.uplink)
    for b, small in enumerate(alone):
        for way in ("downlink", "uplink"):
            for name, array in getattr(small, way).arrays().items():
                same = getattr(together, way).arrays()[name][b].tobytes() == array[0].tobytes()
                assert same, (seeds[b], way, name)
    assert (together.downlink.tally["delivered_bytes"][0] != together.downlink.tally["delivered_bytes"][1]).any()


def test_a_grant_replaces_the_scheduler():
    """Property: an agent that repeats the scheduler's owners moves the world alike; an empty grant sends nothing."""
    small, twin = small_world(seeds=(9,)), small_world(seeds=(9,))
    for world in (small, twin):
        world.downlink.bearer["enqueued"] = 1 << 40
    for slot in range(50):
        report, _ = run_slot(small.plan, slot, small.air, small.downlink, None)
        if report is not None:
            run_slot(twin.plan, slot, twin.air, twin.downlink, None, grant=report.owner)
    assert small.downlink.bearer.tobytes() == twin.downlink.bearer.tobytes()
    nobody = np.full((1, 1, twin.plan.downlink.num_rbgs), -1, np.int32)
    before = twin.downlink.bearer["sent"].copy()
    run_slot(twin.plan, 50, twin.air, twin.downlink, None, grant=nobody)
    assert (twin.downlink.bearer["sent"] == before).all()


def test_gnb_energy_is_linear_in_time_and_power():
    """Oracle: P0 t + slope E of Auer et al. by hand."""
    assert GnbPower(static_w=56, slope=2.6).energy_j(2.0, 3.0) == pytest.approx(2 * 56 + 2.6 * 3)


def test_sinr_counts_the_beams_of_other_cells():
    """Oracle: P g_own / (N + P g_other) by hand in a flat world of two cells. Catches interference left out."""
    small = small_world(cells=2, ues_per_cell=1, flat=True, isolation_db=3.0, pattern="D")
    small.downlink.bearer["enqueued"] = 1 << 40
    report, _ = run_slot(small.plan, 0, small.air, small.downlink, None)
    assert report is not None
    power, noise = small.plan.downlink.params["prb_power_w"][0], small.plan.downlink.noise_w
    gain = small.air.downlink.beams.cross[0, 0].astype(float)
    for ue, other in ((0, 1), (1, 0)):
        expected = power * gain[ue, ue] / (noise + power * gain[ue, other])
        assert report.block[0, ue]["sinr"] == pytest.approx(min(expected, 1e3), rel=1e-4)


def test_ue_energy_by_hand():
    """Oracle: 3 J radiated at 50 % efficiency and 0.2 W for 2 s is 6.4 J."""
    device = DeviceProfile(amplifier_efficiency=0.5, transmit_circuit_w=0.2)
    assert transmit_energy_j(device, 2.0, 3.0) == pytest.approx(6.4)
