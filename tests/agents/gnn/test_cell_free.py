"""Oracles: Monte Carlo of the fading, bare loops, hand-made drops, grids over powers, first-order conditions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.gnn.cell_free import CellFree, drops
from agents.gnn.cell_free_network import SHIPPED, UTILITIES, CellFreeNetwork
from agents.gnn.max_min import Programme, least_sinr, max_min
from agents.gnn.network import load_as
from channel.seeding import stream

THREE = "three_slope"


def made(signal, gain) -> CellFree:
    s, b = torch.tensor(signal, dtype=torch.float64), torch.tensor(gain, dtype=torch.float64)
    return CellFree(s, b, torch.ones(s.shape[-1], dtype=torch.bool))


def drawn(aps: int, users: int, count: int = 1, key: str = "cell-free tests", **options) -> CellFree:
    return drops(count, aps, users, stream(0, key, aps, users), propagation=THREE, **options).to(torch.float64)


def one(problem: CellFree, index: int = 0) -> CellFree:
    return CellFree(problem.signal[index], problem.gain[index], problem.present[index])


def test_sinr_is_that_of_the_fading_it_averages():
    """Oracle: 40,000 channels, their MMSE estimates, and the rate's bound with E{h^H v} known (use and forget)."""
    rng, draws = stream(0, "cell-free fading"), 40_000
    rho, rho_p, antennas = 3.0, 1.5, np.array([1, 3])
    beta, eta = np.array([[2.0, 0.5, 1.0], [0.3, 1.5, 0.8]]), np.array([[0.1, 0.2, 0.3], [0.4, 0.1, 0.05]])
    gamma = 3 * rho_p * beta**2 / (3 * rho_p * beta + 1)
    received = np.zeros((draws, 3, 3), complex)  # of user k, symbol j
    for ap, number in enumerate(antennas):
        shape = (draws, number, 3)
        normal = [(rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2) for _ in range(2)]
        estimate = np.sqrt(gamma[ap]) * normal[0]
        channel = estimate + np.sqrt(beta[ap] - gamma[ap]) * normal[1]
        received += np.sqrt(rho * eta[ap]) * np.einsum("dnk,dnj->dkj", channel, estimate.conj())
    mean = received[:, [0, 1, 2], [0, 1, 2]].mean(0)
    wanted = np.abs(mean) ** 2 / ((np.abs(received) ** 2).sum(-1).mean(0) - np.abs(mean) ** 2 + 1.0)

    problem = made(np.sqrt(rho * antennas[:, None] * gamma), rho * beta)
    amplitude = torch.from_numpy(np.sqrt(antennas[:, None] * eta * gamma))
    np.testing.assert_allclose(problem.sinr(amplitude).numpy(), wanted, rtol=0.03)
    rate = problem.spectral_efficiency(amplitude)
    torch.testing.assert_close(rate, (1 - 3 / 200) * torch.log2(1 + problem.sinr(amplitude)))


def test_drops_serve_as_said_and_repeat():
    """Oracle: a bare loop over sorted gains; properties: numbers of APs of a user differ, equal streams equal drops."""
    problem = drops(4, 12, 5, stream(0, "drops"), propagation=THREE, antennas=(1,), uncovered=(0.05, 0.05))
    gain, served = problem.gain.numpy(), problem.signal.numpy() > 0
    for drop in range(4):
        for user in range(5):
            order, total = np.argsort(-gain[drop, :, user]), gain[drop, :, user].sum()
            few = 1 + int(np.argmax(np.cumsum(gain[drop, order, user]) / total >= 0.95))
            assert set(np.flatnonzero(served[drop, :, user])) == set(order[:few])
    assert len(set(served.sum(1).ravel())) > 2
    pilot = 5 * gain / 2  # K rho_p beta, with rho_p half of rho
    np.testing.assert_allclose(problem.signal.numpy()[served], np.sqrt(gain * pilot / (pilot + 1))[served], rtol=1e-5)
    more = drops(4, 12, 5, stream(0, "drops"), propagation=THREE, antennas=(4,), uncovered=(0.05, 0.05))
    torch.testing.assert_close(more.signal, 2 * problem.signal)
    again = drops(4, 12, 5, stream(0, "drops"), propagation=THREE, antennas=(1,), uncovered=(0.05, 0.05))
    assert torch.equal(problem.signal, again.signal)


def test_street_canyons_have_the_path_loss_of_38901():
    """Oracle: TR 38.901 table 7.4.1-1, UMi line of sight at 20 m and without at 400 m, 3.5 GHz; its deviations."""
    from agents.gnn.cell_free import _umi_db

    near, far = (_umi_db(np.full(4000, away), stream(0, "umi", int(away))) for away in (15.0, 400.0))
    sight = 32.4 + 21.0 * np.log10(np.hypot(15.0, 8.5)) + 20 * np.log10(3.5)
    blocked = 35.3 * np.log10(np.hypot(400.0, 8.5)) + 22.4 + 21.3 * np.log10(3.5)
    assert near.mean() == pytest.approx(-sight, abs=0.3)
    assert near.std() == pytest.approx(4.0, abs=0.2)
    assert np.median(far) == pytest.approx(-blocked, abs=1.0)


def test_three_slopes_by_hand():
    """Oracle: arXiv 1602.08232, equations 52 and 53: 140.7 dB at 1 km, 20 dB a decade below 50 m, flat below 10 m."""
    from agents.gnn.cell_free import _three_slope_db

    found = _three_slope_db(np.array([5.0, 10.0, 50.0]), stream(0, "none"))
    assert found == pytest.approx(
        -140.7 + 35 * np.log10(20) + np.array([20 * np.log10(5), 20 * np.log10(5), 0]), abs=0.05
    )
    far = _three_slope_db(np.full(20_000, 1000.0), stream(0, "far"))
    assert [far.mean(), far.std()] == pytest.approx([-140.7, 8.0], abs=0.2)


@pytest.mark.parametrize("exponent", [0.0, 0.5])
def test_plain_power_control_by_hand(exponent):
    """Oracle: an AP with s of 1 and 4 and one that serves nobody."""
    problem = made([[1.0, 4.0, 0.0], [0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0]] * 2)
    shares = problem.fractional(exponent).square()
    expected = [0.5, 0.5, 0.0] if exponent == 0 else [0.2, 0.8, 0.0]
    torch.testing.assert_close(shares, torch.tensor([expected, [0.0] * 3], dtype=torch.float64))


def test_max_min_of_one_user_is_full_power():
    """Oracle: with one user and two APs a grid over both powers."""
    problem = made([[1.5], [0.7]], [[2.0], [3.0]])
    grid = torch.linspace(0, 1, 401, dtype=torch.float64)
    every = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2, 1)
    assert least_sinr(problem, max_min(problem)) == pytest.approx(float(problem.sinr(every).max()), rel=1e-3)


def test_max_min_of_one_ap_by_power_control():
    """Oracle: one AP; equal SINRs at full power give t = 1 / sum_k (1 + b_k) / s_k^2."""
    signal, gain = np.array([[2.0, 1.0, 0.5]]), np.array([[5.0, 1.5, 0.4]])
    problem = made(signal, gain)
    found = max_min(problem)
    assert least_sinr(problem, found) == pytest.approx(1 / ((1 + gain) / signal**2).sum(), rel=2e-4)


def test_max_min_of_two_users_by_brute_force():
    """Oracle: two APs, two users, all four powers on a grid."""
    problem = made([[2.0, 0.6], [0.5, 1.4]], [[5.0, 0.8], [0.5, 2.5]])
    grid = torch.linspace(0, 1, 33, dtype=torch.float64)
    every = torch.stack(torch.meshgrid(grid, grid, grid, grid, indexing="ij"), -1).reshape(-1, 2, 2)
    every = every[(every.square().sum(-1) <= 1).all(-1)]
    best = float(problem.sinr(every).amin(-1).max())
    found = least_sinr(problem, max_min(problem))
    assert best <= found * (1 + 2e-4)
    assert found == pytest.approx(best, rel=0.05)


def test_max_min_keeps_powers_and_equals_users():
    """Properties: nobody exceeds a power; where all users share APs, all SINRs are equal; better than plain control."""
    problem = one(drawn(8, 4, uncovered=(1e-9, 1e-9)))
    found = max_min(problem)
    assert (found.square().sum(-1) <= 1 + 1e-9).all()
    sinr = problem.sinr(found)
    torch.testing.assert_close(sinr, sinr.amin().expand(4), rtol=2e-3, atol=0.0)
    assert sinr.amin() > 1.05 * least_sinr(problem, problem.fractional(0.5))


def test_higher_sinrs_stand_less_noise():
    """Property: the strongest noise falls with the SINR asked for, through 1 at the optimum."""
    problem = one(drawn(8, 4))
    best = least_sinr(problem, max_min(problem))
    noise = [Programme(problem).strongest_noise(best * factor)[0] for factor in (0.5, 0.9, 0.999, 1.001, 1.1, 1.5)]
    assert noise == sorted(noise, reverse=True)
    assert noise[2] > 1.0 > noise[3]


def test_freshly_made_passes_lead_to_the_optimum():
    """Oracle: bisection. The passes' fixed point meets the first-order conditions, which suffice."""
    problem = drawn(12, 5, count=4)
    optimum = torch.tensor([least_sinr(one(problem, i), max_min(one(problem, i))) for i in range(4)]).double()
    with torch.no_grad():
        found = CellFreeNetwork(passes=200, width=2).double()(problem)[-1]
    torch.testing.assert_close(problem.sinr(found).amin(-1), optimum, rtol=0.01, atol=0.0)


@pytest.mark.parametrize(
    ("utility", "goal"), [("sum", lambda r: r.sum(-1)), ("proportional_fair", lambda r: r.log().sum(-1))]
)
def test_other_utilities_end_where_the_slope_does(utility, goal):
    """Oracle: automatic differentiation. The slope is along a full AP's amplitudes, and none elsewhere."""
    problem = one(drawn(6, 3, key="utilities"))
    with torch.no_grad():
        found = CellFreeNetwork(passes=1000, width=2, utility=utility).double()(problem)[-1]
    assert goal(problem.spectral_efficiency(found)) > goal(problem.spectral_efficiency(problem.fractional(0.5)))
    found.requires_grad_()
    (slope,) = torch.autograd.grad(goal(problem.spectral_efficiency(found)), found)
    slope, power = torch.where(problem.signal > 0, slope, 0.0), found.detach().square().sum(-1, keepdim=True)
    multiplier = torch.where(power > 1 - 1e-6, (slope * found.detach()).sum(-1, keepdim=True).clamp(min=0.0), 0.0)
    assert (slope - multiplier * found).norm() < 1e-3 * slope.norm()


def learned(utility: str = "max_min") -> CellFreeNetwork:
    """Return a network whose weights do something."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = CellFreeNetwork(passes=3, width=6, utility=utility).double()
        for each in network.passes:
            torch.nn.init.normal_(each.head.weight, std=0.3)
    return network.requires_grad_(requires_grad=False)


@pytest.mark.parametrize("utility", UTILITIES)
def test_any_order_of_aps_and_users_is_the_same(utility):
    """Property: permuting APs and users permutes the powers, 1e-4; every AP keeps its power at every pass."""
    problem, rng = drawn(9, 5, count=3), stream(0, "orders")
    ap, user = torch.from_numpy(rng.permutation(9)), torch.from_numpy(rng.permutation(5))
    network = learned(utility)
    other = network(
        CellFree(problem.signal[:, ap][..., user], problem.gain[:, ap][..., user], problem.present[:, user])
    )
    for found, permuted in zip(network(problem), other, strict=True):
        torch.testing.assert_close(permuted, found[:, ap][..., user], atol=1e-4, rtol=0)
        assert (found.square().sum(-1) <= 1 + 1e-9).all()
        assert (found[problem.signal == 0] == 0).all()


def test_absent_aps_and_users_change_nothing():
    """Property: padding with APs and users that are not there gives them nothing and the others the same."""
    problem, network = drawn(7, 4, count=2), learned()
    pad = torch.nn.functional.pad
    padded = CellFree(pad(problem.signal, (0, 3, 0, 2)), pad(problem.gain, (0, 3, 0, 2)), pad(problem.present, (0, 3)))
    found = network(padded)[-1]
    torch.testing.assert_close(found[:, :7, :4], network(problem)[-1])
    assert found[:, 7:].abs().sum() == 0
    assert found[:, :, 4:].abs().sum() == 0
    rate = padded.spectral_efficiency(found)
    torch.testing.assert_close(rate[:, :4], problem.spectral_efficiency(network(problem)[-1]))


@pytest.mark.parametrize(("aps", "users"), [(30, 24), (75, 8)])
def test_shipped_weights_are_near_the_optimum_at_unseen_sizes(aps, users):
    """Oracle: bisection, in street canyons: 0.95 of its 5th percentile, and of its least user in the mean."""
    problem = drops(6, aps, users, stream(0, "shipped cell-free", aps, users))
    network = load_as(SHIPPED, CellFreeNetwork)
    best = torch.stack([max_min(one(problem, index), tolerance=1e-3) for index in range(6)])
    rates = [problem.to(torch.float64).spectral_efficiency(a.double()) for a in (network(problem)[-1], best)]
    assert rates[0].quantile(0.05) > 0.95 * rates[1].quantile(0.05)
    assert (rates[0].amin(-1) / rates[1].amin(-1)).mean() > 0.95


def test_strange_drops_give_finite_powers():
    """Property: no gains, huge gains, a user nobody serves, in single precision."""
    problem = drawn(6, 4).to(torch.float32)
    none = problem.signal.clone()
    none[..., 0] = 0.0
    for strange in (
        CellFree(0 * problem.signal, 0 * problem.gain, problem.present),
        CellFree(1e6 * problem.signal, 1e12 * problem.gain, problem.present),
        CellFree(none, problem.gain, problem.present),
    ):
        found = learned().float()(strange)[-1]
        assert torch.isfinite(found).all()
        assert (found.square().sum(-1) <= 1 + 1e-5).all()
