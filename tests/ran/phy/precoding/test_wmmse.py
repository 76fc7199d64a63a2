"""Oracles: the textbook iteration in the antenna domain, monotony, and stationarity of the sum rate."""

from __future__ import annotations

import pytest
import torch

from ran.phy.precoding import RZF, WMMSE, sum_rate
from ran.phy.precoding.wmmse_iteration import compiled_sums_of_inverse, sums_of_inverse
from tests.ran.phy.precoding.channels import rayleigh


def textbook(h: torch.Tensor, noise: float, power: float, iterations: int) -> torch.Tensor:
    """Receivers, weights and precoders in turn, M x M inverse, noise sigma^2 tr(V V^H) / P (Hu et al. 2021)."""
    v = RZF().precode(h, noise, power)
    for _ in range(iterations):
        received = h @ v
        sent = v.abs().square().sum((-2, -1))[:, None]
        total = received.abs().square().sum(-1) + noise * sent / power
        own = received.diagonal(dim1=-2, dim2=-1)
        u = own / total
        w = 1 / (1 - own.abs().square() / total)
        scale = (w * u.abs().square())[..., None]
        matrix = h.mH @ (scale * h) + noise / power * scale.sum(-2, keepdim=True) * torch.eye(h.shape[-1])
        v = torch.linalg.solve(matrix, h.mH * (w * u)[:, None, :])
    return v * (power / v.abs().square().sum((-2, -1)))[:, None, None].sqrt()


@pytest.mark.parametrize(("streams", "antennas"), [(3, 7), (6, 6), (5, 4)])
def test_iterates_are_the_textbook_ones(streams, antennas):
    """Oracle: ten iterations of the algorithm as published, path gains 40 dB apart."""
    h = rayleigh(20, streams, antennas, seed=1) * torch.logspace(-1, 1, streams)[:, None]
    v = WMMSE(tolerance=0.0, max_iterations=10).precode(h, 0.3, 5.0)
    torch.testing.assert_close(v, textbook(h, 0.3, 5.0, 10), atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("streams", [1, 2, 5, 8, 15, 16, 17])
def test_compiled_sums_are_those_of_the_inverse(streams):
    """Oracle: torch's inverse; uplink powers 80 dB apart, strongly correlated channels, an absent stream."""
    h = rayleigh(20, streams, 18, seed=5) + 3.0 * rayleigh(20, 1, 18, seed=6)
    h[::3, streams // 2] = 0
    direction = h / h.norm(dim=-1, keepdim=True).clamp(min=1e-9)
    correlation = direction @ direction.mH
    correlation.diagonal(dim1=-2, dim2=-1).zero_()
    scale, weight = torch.rand(2, 20, streams, dtype=torch.float64).pow(8)
    scale = (scale / (1.0 + scale)).sqrt()
    found = compiled_sums_of_inverse(correlation, scale, weight)
    for value, expected in zip(found, sums_of_inverse(correlation, scale, weight), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("power", [1.0, 100.0])
def test_the_rate_grows_with_every_iteration_from_rzf(power):
    """Property: monotone, for every channel of a batch, also where streams are switched off (M = K, 20 dB)."""
    h = rayleigh(100, 8, 8, seed=2)
    rate = sum_rate(h, RZF().precode(h, 1.0, power), 1.0)
    torch.testing.assert_close(sum_rate(h, WMMSE(max_iterations=0).precode(h, 1.0, power), 1.0), rate)
    for iterations in range(1, 30):
        grown = sum_rate(h, WMMSE(tolerance=0.0, max_iterations=iterations).precode(h, 1.0, power), 1.0)
        assert (grown >= rate - 1e-10).all()
        rate = grown


def test_the_end_is_a_stationary_point():
    """Oracle: autograd; at a maximum on the sphere the rate's gradient is parallel to V."""
    h = rayleigh(10, 4, 5, seed=3)
    v = WMMSE(tolerance=0.0, max_iterations=5000).precode(h, 0.5, 3.0).requires_grad_()
    (gradient,) = torch.autograd.grad(sum_rate(h, v, 0.5).sum(), v)
    along = (gradient.conj() * v).real.sum((-2, -1), keepdim=True) / 3.0
    assert ((gradient - along * v).abs().amax((-2, -1)) < 1e-5 * gradient.abs().amax((-2, -1))).all()


def test_gradients_go_through_every_iteration():
    """Oracle: finite differences of the sum rate by the channels, through two iterations."""

    def rate(h: torch.Tensor) -> torch.Tensor:
        return sum_rate(h, WMMSE(tolerance=0.0, max_iterations=2).precode(h, 0.5, 3.0), 0.5)

    assert torch.autograd.gradcheck(rate, rayleigh(2, 3, 4, seed=7).requires_grad_())


def test_gradients_go_through_power_alone():
    """Oracle: finite differences of the sum rate by the power, where channels ask for no gradient."""
    h = rayleigh(2, 3, 4, seed=8)

    def rate(power: torch.Tensor) -> torch.Tensor:
        return sum_rate(h, WMMSE(tolerance=0.0, max_iterations=2).precode(h, 0.5, power), 0.5)

    assert torch.autograd.gradcheck(rate, torch.tensor(3.0, dtype=torch.float64, requires_grad=True))


def test_stopping_early_loses_little_and_stops_each_element_by_itself():
    """Property: the default tolerance costs under 0.5 % of the converged rate; a loose one stops sooner, not at all."""
    h = rayleigh(200, 8, 8, seed=4)
    full = sum_rate(h, WMMSE(tolerance=0.0, max_iterations=3000).precode(h, 1.0, 10.0), 1.0)
    early = sum_rate(h, WMMSE().precode(h, 1.0, 10.0), 1.0)
    loose = sum_rate(h, WMMSE(tolerance=0.01).precode(h, 1.0, 10.0), 1.0)
    assert ((full - early) / full).mean() < 0.005
    assert loose.mean() < early.mean() < full.mean()


def test_single_precision_loses_nothing_where_the_rate_is_high():
    """Oracle: the same channels in double precision, of nearly parallel users at 120 dB; iterates are double anyway."""
    h = rayleigh(20, 4, 6, seed=5, dtype=torch.complex64)
    h[:, 1] = h[:, 0] + 1e-4 * h[:, 1]
    exact = h.to(torch.complex128)
    rate, expected = (sum_rate(exact, WMMSE().precode(each, 1e-12, 1.0).to(exact.dtype), 1e-12) for each in (h, exact))
    torch.testing.assert_close(rate, expected, atol=0, rtol=1e-3)
