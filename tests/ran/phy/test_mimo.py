"""Oracles: singular values and matrix products in double precision, and what spatial multiplexing must gain."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from ran.phy.beams import Neighbours
from ran.phy.mimo import Mimo
from ran.phy.precoding import PRECODERS
from ran.plan import SlotPlan
from ran.slot import run_slot
from tests.ran.worlds import SmallWorld, default_radio, small_world


def mimo_world(mode: str = "single_user", precoder: str = "rzf", **changes) -> SmallWorld:
    mimo = Mimo(
        mode=mode, **{k: changes.pop(k) for k in ("max_rank", "max_streams", "correlation_limit") if k in changes}
    )
    radio = default_radio(mimo=mimo, precoder=PRECODERS.get(precoder)(), **changes.pop("radio", {}))
    return small_world(radio=radio, **changes)


def svd(small: SmallWorld, ue: int, group: int):
    """Return left vectors, singular values and right vectors of a UE's channel to its cell."""
    h = small.snapshot.gain[0, ue, :, small.serving_cell[0, ue], :, group].astype(np.complex128)
    return np.linalg.svd(h)


def test_layers_ride_on_the_eigenmodes():
    """Oracle: NumPy's SVD. A layer's gain is its singular value squared; layers of a UE do not disturb each other."""
    small = mimo_world(max_rank=2, ue_antennas=4, antennas=8, cells=2, ues_per_cell=2)
    cross = small.air.downlink.beams.cross[0].astype(np.float64)
    n = small.air.downlink.beams.neighbours
    for group in (0, 7):
        for ue in range(4):
            _, values, _ = svd(small, ue, group)
            column = 2 * (n.column[0, ue, small.serving_cell[0, ue]] + n.place[0, ue])
            own = cross[group, 2 * ue : 2 * ue + 2, column : column + 2]
            np.testing.assert_allclose(np.diag(own), values[:2] ** 2, rtol=1e-4)
            assert abs(own[0, 1]) + abs(own[1, 0]) < 1e-6 * values[0] ** 2


@pytest.mark.parametrize("direction", ["downlink", "uplink"])
def test_layer_sinrs_equal_the_matrix_products(direction):
    """Oracle: |a^H H b|^2 with SVD vectors, powers split over layers, by explicit products in a two-cell world.

    Catches layers swapped, power not split, interference of a layer left out, a transposed uplink.
    """
    small = mimo_world(max_rank=2, ue_antennas=2, antennas=8, cells=2, ues_per_cell=1, isolation_db=6, pattern="DU",
                       loss_db=(80, 85), flat=True)  # fmt: skip
    for state in (small.downlink, small.uplink):
        state.bearer["enqueued"] = 1 << 40
    down, _ = run_slot(small.plan, 0, small.air, small.downlink, None)
    _, up = run_slot(small.plan, 1, small.air, None, small.uplink)
    report, plan = (down, small.plan.downlink) if direction == "downlink" else (up, small.plan.uplink)
    assert report is not None
    block = report.block[0]
    assert (block["rank"] == 2).all()
    assert (block["prbs"] > 0).all()
    for ue in (0, 1):
        other = 1 - ue
        gain = small.snapshot.gain[0, :, :, :, :, 0].astype(np.complex128)  # [ue, ue antenna, cell, cell antenna]
        a, _, b = svd(small, ue, 0)
        a2, _, b2 = svd(small, other, 0)
        layer_w, other_w = block["prb_power_w"][ue] / 2, block["prb_power_w"][other] / 2
        got = []
        for layer in range(2):
            if direction == "downlink":
                receive, signal = a[:, layer].conj(), b[layer].conj()
                beams = [receive @ gain[ue, :, other] @ b2[k].conj() for k in range(2)]
            else:
                # The uplink channel is the transpose; UEs send conj(a), gNBs receive with b.
                receive, signal = b[layer], a[:, layer].conj()
                beams = [a2[:, k].conj() @ gain[other, :, ue] @ b[layer].conj() for k in range(2)]
            own = (
                abs(receive @ gain[ue, :, ue] @ signal) ** 2 if direction == "downlink"
                else abs(signal @ gain[ue, :, ue] @ receive.conj()) ** 2
            )  # fmt: skip
            noise = plan.noise_w + other_w * sum(abs(beam) ** 2 for beam in beams)
            got.append(layer_w * own / noise)
        low, high = sorted(got)
        assert low * (1 - 1e-3) <= block["sinr"][ue] <= high * (1 + 1e-3)
        beta = plan.tables.beta[block["mcs"][ue]]
        expected = -beta * np.log(np.mean(np.exp(-np.array(got) / beta)))
        assert block["sinr"][ue] == pytest.approx(min(expected, 1e3), rel=1e-3)


def throughput(small: SmallWorld, slots: int = 400) -> float:
    small.downlink.bearer["enqueued"] = 1 << 40
    for slot in range(slots):
        run_slot(small.plan, slot, small.air, small.downlink, None)
    return float(small.downlink.tally["delivered_bytes"].sum())


def test_rank_follows_the_channel():
    """Property: two layers nearly double the rate where the SNR is high; where it is low one layer is chosen."""
    near = {"ue_antennas": 2, "loss_db": (85, 86), "isolation_db": 0, "pattern": "D", "antennas": 8}
    assert throughput(mimo_world(max_rank=2, **near)) > 1.6 * throughput(mimo_world(max_rank=1, **near))
    far = mimo_world(max_rank=2, ue_antennas=2, loss_db=(135, 136), isolation_db=0, pattern="D")
    assert (far.air.downlink.rank == 1).all()


def test_a_block_of_layers_is_sized_as_sionna_sizes_it():
    """Oracle: Sionna's TBS with its own count of layers (TS 38.214 clause 5.1.3.2). Catches sizes per layer."""
    from channel.sionna_adapter import sionna_state

    small = mimo_world(max_rank=4, ue_antennas=4, pattern="D")
    tables, re = small.plan.downlink.tables, int(small.plan.downlink.re_per_prb[0])
    with sionna_state(seed=0):
        import torch
        from sionna.phy.nr.utils import calculate_tb_size, decode_mcs_index

        mcs = torch.arange(len(tables.efficiency), dtype=torch.int32)
        order, rate = decode_mcs_index(mcs, table_index=1, is_pusch=False, device="cpu")
        for layers in (1, 2, 3, 4):
            size, *_ = calculate_tb_size(
                order, rate, num_prbs=20, num_ofdm_symbols=12, num_dmrs_per_prb=12 * 12 - re, num_layers=layers,
                device="cpu",
            )  # fmt: skip
            np.testing.assert_array_equal(tables.transport_block_bits[layers - 1, :, 20], size.numpy())


@pytest.mark.parametrize("precoder", ["mrt", "zf", "rzf", "wmmse"])
def test_multi_user_sinrs_equal_the_matrix_products(precoder):
    """Oracle: |h_i v_j|^2 of the streams really sent, both cells, with the precoder called by hand.

    Catches streams booked to the wrong UE, power that exceeds the cell's, interference of paired UEs left out.
    """
    import torch

    small = mimo_world("multi_user", precoder, cells=2, ues_per_cell=4, antennas=8, pattern="D", isolation_db=10,
                       max_streams=3, loss_db=(90, 100), flat=True, correlation_limit=0.9)  # fmt: skip
    small.downlink.bearer["enqueued"] = 1 << 40
    report, _ = run_slot(small.plan, 0, small.air, small.downlink, None)
    assert report is not None
    block, owner = report.block[0], report.owner[0, :, 0]
    h = small.snapshot.gain[0, :, 0, :, :, 0].astype(np.complex128)  # [ue, cell, antenna]
    power_w, noise_w = small.plan.downlink.params["prb_power_w"][0], small.plan.downlink.noise_w
    reported_w = small.air.downlink.reported_noise_w[0, :, 0].astype(float)
    beams = []
    for cell in range(2):
        streams = owner[cell]
        rows = np.stack([h[u, cell] / np.sqrt(reported_w[u]) if u >= 0 else np.zeros(8) for u in streams])
        v = PRECODERS.get(precoder)().precode(torch.from_numpy(rows), 1.0, float(power_w)).numpy()
        assert (np.abs(v) ** 2).sum() <= power_w * (1 + 1e-5)
        beams.append(v)
    assert (owner[:, 1] >= 0).any(), "nobody was paired"
    for ue in np.nonzero(block["prbs"])[0]:
        cell = small.serving_cell[0, ue]
        signal, total = 0.0, noise_w
        for c in range(2):
            for s, other in enumerate(owner[c]):
                if other >= 0 and block["prbs"][other] > 0:
                    power = abs(h[ue, c] @ beams[c][:, s]) ** 2
                    signal, total = (power, total) if other == ue else (signal, total + power)
        same = (report.owner[0, cell] == owner[cell]).all()
        if same:  # the UE has the same partners in every group, so one SINR
            assert block["sinr"][ue] == pytest.approx(min(signal / total, 1e3), rel=2e-3)


def test_many_antennas_serve_several_users_at_once():
    """Property: with 32 antennas and high SNR, four streams carry more than twice what one does, at the same BLER."""
    common = {"ues_per_cell": 8, "antennas": 32, "pattern": "D", "loss_db": (95, 100), "isolation_db": 0}
    alone, shared = mimo_world(**common), mimo_world("multi_user", max_streams=4, **common)
    assert throughput(shared) > 2.0 * throughput(alone)
    tally = shared.downlink.tally
    assert tally["first_errors"].sum() / tally["blocks"].sum() < 0.2


def test_power_is_shared_not_multiplied():
    """Property: what a cell radiates with four streams is what it radiates with one, group by group."""
    small = mimo_world("multi_user", ues_per_cell=6, antennas=16, pattern="D", loss_db=(95, 100), isolation_db=0)
    small.downlink.bearer["enqueued"] = 1 << 40
    full = float(small.plan.downlink.params["prb_power_w"][0]) * small.plan.downlink.num_prbs
    for slot in range(20):
        report, _ = run_slot(small.plan, slot, small.air, small.downlink, None)
        assert report is not None
        block = report.block[0]
        assert (block["prb_power_w"] * block["prbs"]).sum() <= full * (1 + 1e-4)


def test_all_cells_near_is_no_limit_and_a_limit_errs_little():
    """Property: naming all cells changes no bit; with the strongest half, far cells still count by their mean power.

    Oracle for the mean: the median SINR error in a world of 12 cells stays below 1 dB, and leaving the far cells out
    altogether would make every SINR too high.
    """
    common = {"cells": 12, "ues_per_cell": 1, "pattern": "D", "loss_db": (95, 125), "isolation_db": 10}
    reports = {}
    for limit in (None, 11, 5):
        small = small_world(radio=default_radio(interfering_cells=limit), **common)
        small.downlink.bearer["enqueued"] = 1 << 40
        report, _ = run_slot(small.plan, 0, small.air, small.downlink, None)
        assert report is not None
        reports[limit] = report.block[0]
    busy = reports[None]["prbs"] > 0
    assert busy.sum() == 12
    assert reports[11][busy].tobytes() == reports[None][busy].tobytes()
    sending = (reports[None]["prbs"] > 0) & (reports[5]["prbs"] > 0)
    error_db = 10 * np.log10(reports[5]["sinr"][sending] / reports[None]["sinr"][sending])
    assert np.median(np.abs(error_db)) < 1.0
    assert abs(np.mean(error_db)) < 0.5


def test_neighbours_are_the_strongest_cells():
    """Oracle: sorting. The serving cell is always among them; rows list each cell's UEs side by side."""
    rng = np.random.default_rng(1)
    gain = rng.random((2, 9, 5))
    serving = rng.integers(0, 5, (2, 9)).astype(np.int32)
    n = Neighbours.of(gain, serving, 2)
    for b in range(2):
        for u in range(9):
            others = [c for c in np.argsort(-gain[b, u]) if c != serving[b, u]][:2]
            assert sorted([*others, serving[b, u]]) == n.near[b, u].tolist()
            start = 0
            for c in n.near[b, u]:
                assert n.column[b, u, c] == start
                start += (serving[b] == c).sum()
        for c in range(5):
            hearers = sorted({int(serving[b, u]) for u in range(9) if c in n.near[b, u]})
            assert n.heard[b, c, 1 : n.heard[b, c, 0] + 1].tolist() == hearers
            members = n.members[b, n.first[b, c] : n.first[b, c + 1]]
            assert members.tolist() == np.flatnonzero(serving[b] == c).tolist()


def test_reports_are_quantised_downwards():
    """Oracle: the 15 thresholds. Every reported SINR is one of them, at most the true one and at most a step below."""
    exact = small_world(loss_db=(100, 130), isolation_db=0)
    adaptation = exact.world.radio.link_adaptation.model_copy(update={"cqi": "subband"})
    coarse = dataclasses.replace(exact.world, radio=dataclasses.replace(exact.world.radio, link_adaptation=adaptation))
    plan = SlotPlan.of(coarse)
    small = dataclasses.replace(exact, world=coarse, plan=plan)
    air = small.prepare()
    thresholds = plan.downlink.cqi_thresholds
    assert thresholds is not None
    power_w = plan.downlink.params["prb_power_w"][0]
    true = power_w * exact.air.downlink.reported_gain / exact.air.downlink.reported_noise_w
    got = power_w * air.downlink.reported_gain / air.downlink.reported_noise_w
    index = np.searchsorted(thresholds, true * (1 + 1e-6), side="right") - 1
    expected = np.where(index > 0, thresholds[index], thresholds[1] / 2)
    np.testing.assert_allclose(got, expected, rtol=1e-4)
    assert (air.uplink.reported_gain == exact.air.uplink.reported_gain).all(), "a gNB measures uplinks itself"
