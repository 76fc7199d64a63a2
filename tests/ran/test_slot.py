"""Oracles: conservation laws that hold in any world, Shannon, and the same world run alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ran.energy import GnbPower, transmit_energy_j
from ran.mac import SCHEDULERS
from ran.mac.harq import Harq
from ran.mac.link_adaptation import LinkAdaptation
from ran.mac.slicing import Slice
from ran.nodes import DeviceProfile
from ran.numerology import Numerology
from ran.phy.mimo import Mimo
from ran.phy.power_control import PowerControl
from ran.phy.precoding import PRECODERS
from ran.plan import LinkPlan
from ran.rlc import Rlc
from ran.slot import run_slot
from ran.state import IDLE
from ran.world import LEARNING, Radio
from tests.ran.worlds import SmallWorld, small_world

WAYS = ("downlink", "uplink")
PATTERNS = ("DDDSU", "DU", "DSUU", "DDDDDDDSUU")
FDD = Numerology.of(2.1e9, 20e6, 30e3, "", duplex="fdd")


@st.composite
def radios(draw: st.DrawFn, antennas: int, ue_antennas: int) -> Radio:
    mode = draw(st.sampled_from(["single_user", "multi_user"]))
    mimo = Mimo(
        mode=mode, max_rank=draw(st.integers(1, ue_antennas)), max_streams=draw(st.integers(1, min(antennas, 4))),
        correlation_limit=draw(st.floats(0.2, 1.0)),
    )  # fmt: skip
    return Radio(
        gnb_tx_power_dbm=draw(st.floats(10, 46)),
        ue_tx_power_dbm=draw(st.floats(0, 26)),
        link_adaptation=LinkAdaptation(
            bler_target=draw(st.sampled_from([0.01, 0.1, 0.5])), mcs_table=draw(st.sampled_from([1, 2])),
            cqi=draw(st.sampled_from(["subband", "wideband", "unquantised"])),
        ),
        harq=Harq(
            processes=draw(st.integers(1, 16)), max_attempts=draw(st.integers(1, 4)),
            feedback_slots=draw(st.integers(1, 12)),
            combining=draw(st.sampled_from(["chase", "incremental_redundancy"])),
        ),
        power_control=PowerControl(p0_dbm=draw(st.floats(-110, -60)), alpha=draw(st.floats(0, 1))),
        rlc=Rlc(
            mode=draw(st.sampled_from(["am", "um"])), sdu_bytes=draw(st.integers(240, 3000)),
            status_slots=draw(st.integers(0, 30)),
        ),
        mimo=mimo, precoder=PRECODERS.get(draw(st.sampled_from(PRECODERS.names())))(),
        interfering_cells=draw(st.sampled_from([None, None, 1])),
    )  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> SmallWorld:
    antennas, ue_antennas = draw(st.sampled_from([1, 2, 8])), draw(st.integers(1, 3))
    modes = draw(st.lists(st.sampled_from([None, "am", "um"]), min_size=1, max_size=3))
    slices = {
        name: Slice(share=1.0 / len(modes), rlc_mode=mode)
        for name, mode in zip((LEARNING, "b", "c"), modes, strict=False)
    }
    return small_world(
        cells=draw(st.sampled_from([1, 1, 2, 3])), ues_per_cell=draw(st.integers(1, 5)),
        seeds=(draw(st.integers(0, 10_000)),), isolation_db=draw(st.floats(0, 30)),
        loss_db=(draw(st.floats(70, 100)), draw(st.floats(100, 135))), antennas=antennas, ue_antennas=ue_antennas,
        pattern=draw(st.sampled_from(PATTERNS)), numerology=draw(st.sampled_from([None, None, FDD])),
        scheduler=draw(st.sampled_from([n for n in SCHEDULERS.names() if n != "policy"])), slices=slices,
        radio=draw(radios(antennas, ue_antennas)),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(small=worlds(), payload=st.integers(0, 40_000), slots=st.integers(1, 60))
def test_every_slot_of_any_world_keeps_its_accounts(small: SmallWorld, payload: int, slots: int):
    """Properties of honest accounting, slot by slot, both directions, every mode of the radio with every other.

    Catches: a group given twice, a UE of another cell, a block larger than its PRBs allow, bytes created or lost,
    headers forgotten, a rate above Shannon's bound, power above the class or the cell's, energy not counted.
    """
    counted = {way: (np.zeros_like(getattr(small, way).tally), np.zeros_like(getattr(small, way).cell)) for way in WAYS}
    for state in (small.downlink, small.uplink):
        state.bearer["enqueued"] = payload
    for slot in range(slots):
        kind = small.plan.kinds[slot % len(small.plan.kinds)]
        sent = {way: getattr(small, way).bearer["sent"].copy() for way in WAYS}
        reports = run_slot(small.plan, slot, small.air, small.downlink, small.uplink)
        assert [report is not None for report in reports] == [kind.downlink >= 0, kind.uplink >= 0]
        for direction, report in zip(WAYS, reports, strict=True):
            if report is None:
                continue
            check_groups(small, direction, report)
            for ue in np.flatnonzero(report.block[0]["prbs"]).tolist():
                block = report.block[0, ue]
                check_block(small, direction, slot, ue, block)
                if block["attempt"] == 1:
                    assert block["again"] == (block["start"] < sent[direction][0, ue, block["bearer"]])
            assert (report.block["delivered"] + report.block["lost"])[report.block["prbs"] == 0].sum() == 0
            check_power(small, direction, report)
            check_flows(small, direction, payload)
            count(small, direction, getattr(kind, f"{direction}_symbols"), report, *counted[direction])
    for direction in WAYS:
        for got, expected in zip((getattr(small, direction).tally, getattr(small, direction).cell), counted[direction],
                                 strict=True):  # fmt: skip
            for name in set(got.dtype.names) - {"failures"}:  # counted when the feedback arrives
                np.testing.assert_allclose(got[name], expected[name], rtol=1e-12, atol=1e-12, err_msg=name)


def check_groups(small: SmallWorld, direction: str, report) -> None:
    """Owners are UEs of the cell, once in a group at most; a block has the PRBs of its UE's groups."""
    plan: LinkPlan = getattr(small.plan, direction)
    held = np.zeros(small.world.num_ues, int)
    for cell, groups in enumerate(report.owner[0]):
        for size, streams in zip(plan.rbg_prbs, groups, strict=True):
            owners = streams[streams >= 0]
            assert len(set(owners.tolist())) == len(owners)
            assert (small.serving_cell[0, owners] == cell).all()
            held[owners] += size
    sends = report.block[0]["prbs"] > 0
    assert (report.block[0]["prbs"][sends] == held[sends]).all()


def check_block(small: SmallWorld, direction: str, slot: int, ue: int, block) -> None:
    """Payload, headers and rate fit what the PRBs can carry; only what arrives, or RLC UM gives up, is counted."""
    plan: LinkPlan = getattr(small.plan, direction)
    proc = getattr(small, direction).harq[0, ue, block["process"]]
    re = plan.tables.re_per_prb[proc["kind"]] * proc["prbs"]  # of the first attempt, all layers
    assert 1 <= block["rank"] <= small.world.radio.mimo.max_rank
    assert block["payload"] > 0
    assert 8 * (block["payload"] + block["header"]) <= block["tb_bits"]
    if block["attempt"] == 1:
        kind = small.plan.kinds[slot % len(small.plan.kinds)]
        sent_re = plan.re_per_prb[getattr(kind, direction)] * block["rank"] * block["prbs"]
        assert re == sent_re
        assert proc["first_slot"] == slot
        # At most 8 bits a symbol and a code rate below 1; the block pays for payload and headers.
        assert block["tb_bits"] <= 8 * re
        assert block["header"] >= 5
    if block["ack"]:
        assert block["delivered"] == block["payload"]
        assert block["tb_bits"] / re <= np.log2(1 + block["combined_sinr"]) + 1e-9
    else:
        assert block["delivered"] == 0
    given_up = bool(
        plan.slices["unacknowledged"][block["bearer"]]
        and not block["ack"]
        and block["attempt"] == plan.params["max_attempts"][0]
    )
    assert block["lost"] == block["payload"] * given_up
    assert 0.0 < block["sinr"] <= block["combined_sinr"] + 1e-12
    assert 0.0 <= block["error_rate"] <= 1.0


def check_power(small: SmallWorld, direction: str, report) -> None:
    """A UE sends what TS 38.213 asks of it, below its class, whatever its layers; streams share a cell's power."""
    plan, block = getattr(small.plan, direction), report.block[0]
    p, sends = plan.params[0], report.block[0]["prbs"] > 0
    if direction == "uplink":
        own_gain = small.air.uplink.beams.neighbours.own_gain[0, sends]
        asked_w = p["p0_w"] * own_gain ** -p["alpha"]
        expected_w = np.minimum(p["max_power_w"] / block["prbs"][sends], asked_w)
        np.testing.assert_allclose(block["prb_power_w"][sends], expected_w, rtol=1e-9)
        return
    for cell in range(small.world.num_cells):
        mine = sends & (small.serving_cell[0] == cell)
        used = plan.rbg_prbs[(report.owner[0, cell] >= 0).any(axis=1)].sum()
        radiated_w = (block["prb_power_w"] * block["prbs"])[mine].sum()
        assert radiated_w <= p["prb_power_w"] * used * (1 + 1e-4)


def count(small: SmallWorld, direction: str, symbols: int, report, tally, cell) -> None:
    """Add up what a slot's blocks are worth, one by one, as the definitions of the counters say."""
    state = getattr(small, direction)
    served = np.zeros_like(state.bearer["served_bits"])
    for ue in np.flatnonzero(report.block[0]["prbs"]).tolist():
        block = report.block[0, ue]
        row, proc = tally[0, ue, block["bearer"]], state.harq[0, ue, block["process"]]
        served[0, ue, block["bearer"]] = block["tb_bits"] * block["ack"]
        row["air_bits"] += block["tb_bits"]
        row["delivered_bytes"] += block["delivered"]
        row["lost_bytes"] += block["lost"]
        row["prb_slots"] += block["prbs"]
        row["prb_symbols"] += block["prbs"] * symbols
        row["attempts"] += 1
        row["active_symbols"] += symbols
        row["radiated_w_symbols"] += block["prb_power_w"] * block["prbs"] * symbols
        assert proc["attempts"] == block["attempt"]
        if block["attempt"] == 1:
            row["blocks"] += 1
            row["first_errors"] += not block["ack"]
            row["mcs_sum"] += block["mcs"]
            row["rank_sum"] += block["rank"]
            row["header_bytes"] += block["header"]
            row["rlc_bytes"] += block["payload"] * block["again"]
            row["sinr_db_sum"] += 10 * np.log10(block["sinr"])
        cell[0, small.serving_cell[0, ue]]["delivered_bytes"] += block["delivered"]
    assert (state.bearer["served_bits"] == served).all()
    sends = np.append(report.block[0]["prbs"] > 0, False)  # the owner -1 sends nothing
    used = (sends[report.owner[0]].any(axis=2) * getattr(small.plan, direction).rbg_prbs).sum(axis=1)
    cell[0]["prb_slots"] += used
    cell[0]["active_symbols"] += symbols * (used > 0)


def check_flows(small: SmallWorld, direction: str, payload: int) -> None:
    """Every byte is unsent, delivered, lost, on a HARQ process that failed so far, or in a range to be sent again."""
    plan, state = getattr(small.plan, direction), getattr(small, direction)
    harq, nack = state.harq[0], state.nack[0]
    unacknowledged = plan.slices["unacknowledged"][harq["bearer"]] == 1
    counted = harq["ack"].astype(bool) | (unacknowledged & (harq["attempts"] >= plan.params["max_attempts"][0]))
    open_processes = (harq["status"] != IDLE) & ~counted
    listed = np.arange(nack.shape[1]) < state.ue[0]["nack_count"][:, None]
    for k in range(plan.num_slices):
        flow = state.bearer[0, :, k]
        on_air = (harq["payload"] * (open_processes & (harq["bearer"] == k))).sum(axis=1)
        again = (nack["payload"] * (listed & (nack["bearer"] == k))).sum(axis=1)
        unsent = flow["enqueued"] - flow["sent"]
        assert (flow["delivered"] + flow["lost"] + on_air + again + unsent == payload).all()
        assert min(flow["delivered"].min(), flow["lost"].min(), again.min(), unsent.min()) >= 0
        if not plan.slices["unacknowledged"][k]:
            assert flow["lost"].sum() == 0
        assert (state.tally[0, :, k]["delivered_bytes"] == flow["delivered"]).all()
        assert (state.tally[0, :, k]["lost_bytes"] == flow["lost"]).all()


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


def test_noise_is_that_of_the_receiver():
    """Oracle: k T0 B F of 12 subcarriers of 30 kHz: a noise figure of 9 dB at UEs, of 5 dB at gNBs."""
    plan = small_world().plan
    for link, figure_db in ((plan.downlink, 9.0), (plan.uplink, 5.0)):
        noise_dbm = 10 * np.log10(link.noise_w / 1e-3)
        assert noise_dbm == pytest.approx(-174 + 10 * np.log10(12 * 30e3) + figure_db, abs=0.05)


def test_ue_energy_by_hand():
    """Oracle: 3 J radiated at 50 % efficiency and 0.2 W for 2 s is 6.4 J."""
    device = DeviceProfile(amplifier_efficiency=0.5, transmit_circuit_w=0.2)
    assert transmit_energy_j(device, 2.0, 3.0) == pytest.approx(6.4)
