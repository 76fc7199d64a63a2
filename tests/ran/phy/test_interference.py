"""Oracles: interference summed link by link in NumPy, near cells by their beams and far cells by their mean power."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ran.mac.link_adaptation import LinkAdaptation
from ran.numerology import Numerology
from ran.phy.mimo import Mimo
from ran.phy.multi_user import expected_channel
from ran.phy.precoding import PRECODERS
from ran.slot import run_slot
from tests.ran.worlds import SmallWorld, default_radio, small_world


def beam_gain(small: SmallWorld, receiver: int, sender: int) -> np.ndarray:
    """Return |h_v w_u|^2 of UE ``receiver`` and the beam of UE ``sender``, [num_rbgs]."""
    h = small.snapshot.gain[0, :, 0].astype(np.complex128)  # [num_ues, num_cells, antennas, num_rbgs]
    cell = small.serving_cell[0, sender]
    beam = h[sender, cell].conj() / np.linalg.norm(h[sender, cell], axis=0)
    return np.abs((h[receiver, cell] * beam).sum(axis=0)) ** 2


def is_near(small: SmallWorld, ue: int, cell: int) -> bool:
    """Return whether ``cell`` serves the UE or is among the strongest others that the world's limit names."""
    limit, own = small.plan.interfering_cells, small.serving_cell[0, ue]
    others = [c for c in np.argsort(-small.snapshot.path_gain[0, ue]) if c != own]
    return cell == own or cell in others[: len(others) if limit is None else limit]


def interference_w(small: SmallWorld, direction: str, ue: int, sent_w: np.ndarray) -> np.ndarray:
    """Return the interference per PRB that UE ``ue``'s link meets, [num_rbgs].

    ``sent_w`` [num_ues, num_rbgs] is the power per PRB on every UE's beam.
    """
    sizes, path = small.plan.downlink.rbg_prbs, small.snapshot.path_gain[0]
    own, total = small.serving_cell[0, ue], np.zeros(len(sizes))
    for other in range(small.world.num_ues):
        cell = small.serving_cell[0, other]
        if cell == own:
            continue
        mean_w = (sent_w[other] * sizes).sum() / sizes.sum()
        if direction == "downlink":
            near, gain, far = is_near(small, ue, cell), beam_gain(small, ue, other), path[ue, cell]
        else:
            near, gain, far = is_near(small, other, own), beam_gain(small, other, ue), path[other, own]
        total += sent_w[other] * gain if near else mean_w * far
    return total


def busy_world(limit: int | None, direction: str) -> SmallWorld:
    """Return four cells of two UEs, frequency-selective, one of them with little to send."""
    small = small_world(
        cells=4, ues_per_cell=2, antennas=2, pattern="D" if direction == "downlink" else "U", isolation_db=8,
        loss_db=(95, 112), scheduler="round_robin", radio=default_radio(interfering_cells=limit),
    )  # fmt: skip
    for state in (small.downlink, small.uplink):
        state.bearer["enqueued"] = 1 << 40
        state.bearer["enqueued"][0, :2] = 200
    return small


@pytest.mark.parametrize("limit", [None, 1, 2])
@pytest.mark.parametrize("direction", ["downlink", "uplink"])
def test_a_block_meets_what_all_other_cells_really_send(direction, limit):
    """Oracle: the sum by hand, EESM weighted by PRBs (the last group has 3 of them, others 4).

    Catches far cells left out or counted at full load, an uplink that is transposed, groups weighted alike.
    """
    small = busy_world(limit, direction)
    report = run_slot(small.plan, 0, small.air, small.downlink, small.uplink)[direction == "uplink"]
    plan = getattr(small.plan, direction)
    block, owner = report.block[0], report.owner[0, :, :, 0]
    holds = np.array([(owner[small.serving_cell[0, u]] == u) & (block["prbs"][u] > 0) for u in range(8)])
    assert 0 < holds[:2].sum() < plan.num_rbgs, "one cell leaves most of its groups free"
    sent_w = np.where(holds, np.where(block["prbs"] > 0, block["prb_power_w"], 0.0)[:, None], 0.0)
    for ue in np.flatnonzero(block["prbs"]):
        total = plan.noise_w + interference_w(small, direction, ue, sent_w)
        sinr = (sent_w[ue] * beam_gain(small, ue, ue) / total)[holds[ue]]
        beta, weight = plan.tables.beta[block["mcs"][ue]], plan.rbg_prbs[holds[ue]]
        effective = -beta * np.log(np.average(np.exp(-sinr / beta), weights=weight))
        assert block["sinr"][ue] == pytest.approx(np.clip(effective, 1e-3, 1e3), rel=1e-3)


@pytest.mark.parametrize("limit", [None, 1])
@pytest.mark.parametrize("direction", ["downlink", "uplink"])
def test_reports_count_every_cell_at_full_load(direction, limit):
    """Oracle: the same sum, every cell with UEs serving them in turn; one cell has none and is silent.

    Catches far cells left out of reports, UEs of a cell that all count at once, a wrong UE's power.
    """
    small = busy_world(limit, direction)
    small.serving_cell[:] = [0, 0, 1, 1, 1, 1, 2, 2]  # nobody in cell 3
    air = getattr(small.prepare(), direction)
    plan = getattr(small.plan, direction)
    p, path = plan.params[0], small.snapshot.path_gain[0]
    size = np.bincount(small.serving_cell[0])[small.serving_cell[0]]
    power_w = np.full(8, p["prb_power_w"])
    if direction == "uplink":
        own = path[np.arange(8), small.serving_cell[0]]
        power_w = np.minimum(p["max_power_w"] * size / plan.num_prbs, p["p0_w"] * own ** -p["alpha"])
    sent_w = np.tile((power_w / size)[:, None], (1, plan.num_rbgs))
    for ue in range(8):
        expected = plan.noise_w + interference_w(small, direction, ue, sent_w)
        np.testing.assert_allclose(air.reported_noise_w[0, ue], expected, rtol=2e-4)
        np.testing.assert_allclose(air.reported_gain[0, ue], beam_gain(small, ue, ue), rtol=2e-4)
        sinr = power_w[ue] * air.reported_gain[0, ue].astype(float) / air.reported_noise_w[0, ue]
        bits = np.minimum(np.log2(1 + sinr), plan.tables.efficiency[-1])
        for rate, re in zip(air.rate_bits, plan.re_per_prb, strict=True):
            np.testing.assert_allclose(rate[0, ue], bits * re * plan.rbg_prbs, rtol=1e-4)


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize("direction", ["downlink", "uplink"])
def test_the_rank_is_the_best_of_all_ranks(direction, flat):
    """Oracle: singular values; the sum over groups of each rank's capped Shannon rate, and its geometric mean SINR."""
    small = small_world(
        ues_per_cell=30, ue_antennas=3, antennas=3, loss_db=(70, 128), isolation_db=0, flat=flat,
        radio=default_radio(mimo=Mimo(max_rank=3)),
    )  # fmt: skip
    air, plan = getattr(small.air, direction), getattr(small.plan, direction)
    p, peak = plan.params[0], plan.tables.efficiency[-1]
    chosen = set()
    for ue in range(30):
        gain = np.stack([np.linalg.svd(h, compute_uv=False) ** 2 for h in
                         small.snapshot.gain[0, ue, :, 0].astype(np.complex128).transpose(2, 0, 1)])  # fmt: skip
        power_w = p["prb_power_w"]
        if direction == "uplink":
            own = small.snapshot.path_gain[0, ue, 0]
            power_w = min(p["max_power_w"] * 30 / plan.num_prbs, p["p0_w"] * own ** -p["alpha"])
        noise_w = air.reported_noise_w[0, ue].astype(float)[:, None]
        bits = [np.log2(1 + power_w * gain[:, :k] / (k * noise_w)) for k in (1, 2, 3)]
        value = [(np.minimum(each, peak).sum(axis=1) * plan.rbg_prbs).sum() for each in bits]
        rank = int(np.argmax(value)) + 1
        assert air.rank[0, ue] == rank
        chosen.add(rank)
        sinr = power_w * air.reported_gain[0, ue].astype(float) / noise_w[:, 0]
        np.testing.assert_allclose(sinr, 2 ** bits[rank - 1].mean(axis=1) - 1, rtol=1e-3)
        layer_bits = np.minimum(np.log2(1 + sinr), peak)
        np.testing.assert_allclose(
            air.rate_bits[-1][0, ue], rank * layer_bits * plan.re_per_prb[-1] * plan.rbg_prbs, rtol=1e-3
        )
    assert len(chosen) > 1


def test_a_wideband_cqi_stands_for_the_mean_spectral_efficiency():
    """Oracle: one threshold for all groups, the highest below the SINR of the mean of log2(1 + SINR)."""
    exact = small_world(loss_db=(105, 120), isolation_db=0)
    coarse = small_world(
        loss_db=(105, 120), isolation_db=0, radio=default_radio(link_adaptation=LinkAdaptation(cqi="wideband"))
    )
    thresholds, power_w = coarse.plan.downlink.cqi_thresholds, coarse.plan.downlink.params["prb_power_w"][0]
    link = exact.air.downlink
    true = power_w * link.reported_gain[0].astype(float) / link.reported_noise_w[0]
    mean = 2 ** np.log2(1 + true).mean(axis=1) - 1
    expected = thresholds[np.searchsorted(thresholds, mean, side="right") - 1]
    link = coarse.air.downlink
    got = power_w * link.reported_gain[0].astype(float) / link.reported_noise_w[0]
    np.testing.assert_allclose(got, np.tile(expected[:, None], (1, got.shape[1])), rtol=1e-4)
    assert len(set(expected.tolist())) > 1


@pytest.mark.parametrize("limit", [None, 1])
def test_streams_meet_all_streams_that_are_really_sent(limit):
    """Oracle: |h v|^2 group by group with the precoder called by hand; far cells by their mean power.

    Catches far cells left out, streams counted whose UE sent nothing, power that is not the precoder's.
    """
    zf, mimo = PRECODERS.get("zf")(), Mimo(mode="multi_user", max_streams=2, correlation_limit=0.95)
    small = small_world(
        cells=3, ues_per_cell=3, antennas=4, pattern="D", isolation_db=6, loss_db=(95, 105),
        radio=default_radio(mimo=mimo, precoder=zf, interfering_cells=limit),
    )  # fmt: skip
    small.downlink.bearer["enqueued"] = 1 << 40
    small.downlink.bearer["enqueued"][0, :3] = 300
    small.downlink.bearer["enqueued"][0, 3:6] = 40
    report, _ = run_slot(small.plan, 0, small.air, small.downlink, None)
    assert report is not None
    plan, path = small.plan.downlink, small.snapshot.path_gain[0]
    block, sizes, power_w = report.block[0], plan.rbg_prbs, plan.params["prb_power_w"][0]
    h = small.snapshot.gain[0, :, 0].transpose(3, 0, 1, 2).astype(np.complex128)  # [rbg, ue, cell, antenna]
    # Streams by cell and group: UE -> precoder.
    streams = [[dict[int, np.ndarray]() for _ in sizes] for _ in range(3)]
    for cell in range(3):
        for r in range(len(sizes)):
            owners = report.owner[0, cell, r]
            root = np.sqrt(small.air.downlink.reported_noise_w[0, owners, r])
            rows = np.where(owners[:, None] >= 0, h[r, owners, cell] / root[:, None], 0)
            v = zf.precode(torch.from_numpy(rows), 1.0, float(power_w)).numpy()
            streams[cell][r] = {int(u): v[:, s] for s, u in enumerate(owners) if u >= 0 and block["prbs"][u] > 0}
    sent_w = [
        sum(size * sum((np.abs(v) ** 2).sum() for v in group.values()) for size, group in zip(sizes, cell, strict=True))
        for cell in streams
    ]
    assert any(len(group) == 2 for cell in streams for group in cell), "nobody was paired"
    assert 0 < sent_w[0] < 0.8 * power_w * sizes.sum(), "one cell leaves groups free"
    for ue in np.flatnonzero(block["prbs"]).tolist():
        own, sinr, weight, radiated_w = small.serving_cell[0, ue], [], [], 0.0
        far_w = sum(sent_w[c] / sizes.sum() * path[ue, c] for c in range(3) if not is_near(small, ue, c))
        for r, size in enumerate(sizes):
            if ue not in streams[own][r]:
                continue
            total = plan.noise_w + far_w
            for cell in range(3):
                others = [v for u, v in streams[cell][r].items() if u != ue]
                total += is_near(small, ue, cell) * sum(abs(h[r, ue, cell] @ v) ** 2 for v in others)
            sinr.append(abs(h[r, ue, own] @ streams[own][r][ue]) ** 2 / total)
            weight.append(size)
            radiated_w += size * (np.abs(streams[own][r][ue]) ** 2).sum()
        beta = plan.tables.beta[block["mcs"][ue]]
        effective = -beta * np.log(np.average(np.exp(-np.array(sinr) / beta), weights=weight))
        assert block["sinr"][ue] == pytest.approx(np.clip(effective, 1e-3, 1e3), rel=2e-3)
        assert block["prb_power_w"][ue] * block["prbs"][ue] == pytest.approx(radiated_w, rel=1e-4)


@pytest.mark.parametrize("mode", ["single_user", "multi_user"])
def test_a_grant_too_small_for_any_byte_disturbs_nobody(mode):
    """Oracle: the same slot with that cell silent. One PRB at the lowest MCS does not even hold the headers."""
    radio = default_radio(mimo=Mimo(mode=mode, max_streams=2), precoder=PRECODERS.get("zf")())
    reports = []
    for granted in (0, -1):
        small = small_world(
            cells=2, ues_per_cell=1, pattern="S", numerology=Numerology.of(3.5e9, 5e6, 30e3, "S"), loss_db=(100, 101),
            isolation_db=0, radio=radio,
        )  # fmt: skip
        small.downlink.ue["olla_db"][0, 0] = -20.0
        small.downlink.bearer["enqueued"] = 1 << 40
        grant = np.full((1, 2, 6), -1, np.int32)
        grant[0, 0, 5], grant[0, 1] = granted, 1
        report, _ = run_slot(small.plan, 0, small.air, small.downlink, None, grant)
        assert report is not None
        assert report.block["prbs"][0].tolist() == [0, 11]
        assert small.downlink.cell["prb_slots"][0].tolist() == [0, 11]
        reports.append(report.block[0, 1].tobytes())
    assert reports[0] == reports[1]


def test_the_gnb_expects_the_interference_of_its_own_streams():
    """Oracle: |h v|^2 by hand: a stream's gain over the power per PRB; noise as reported plus the other streams'."""
    rng = np.random.default_rng(3)
    rows = (rng.standard_normal((1, 1, 3, 4)) + 1j * rng.standard_normal((1, 1, 3, 4))).astype(np.complex64)
    v = (rng.standard_normal((1, 1, 1, 4, 3)) + 1j * rng.standard_normal((1, 1, 1, 4, 3))).astype(np.complex64)
    owner = np.array([[[[2, -1, 0]]]], np.int32)
    reported = np.array([[[0.1], [0.2], [0.4]]], np.float32)
    gain, noise = np.zeros_like(reported), np.ones_like(reported)
    expected_channel(owner, rows, v, reported, 5.0, gain, noise)
    power = np.abs(rows[0, 0] @ v[0, 0, 0]) ** 2  # [ue, stream]
    np.testing.assert_allclose(gain[0, :, 0], [power[0, 2] / 5, 0, power[2, 0] / 5], rtol=1e-5)
    np.testing.assert_allclose(noise[0, :, 0], [0.1 + power[0, 0], 1, 0.4 + power[2, 2]], rtol=1e-5)
