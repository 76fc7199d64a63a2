"""Oracles: Sionna's RZF matrix, the defining product, limits, and the true channel's rate under CSI errors."""

from __future__ import annotations

import pytest
import torch
from sionna.phy.mimo import rzf_precoding_matrix

from ran.phy.precoding import MRT, RZF, ZF, sum_rate
from tests.ran.phy.precoding.channels import rayleigh


@pytest.mark.parametrize(("dtype", "precision"), [(torch.complex64, "single"), (torch.complex128, "double")])
@pytest.mark.parametrize(("streams", "antennas"), [(8, 16), (6, 6), (5, 3)])
def test_parity_with_sionna(dtype, precision, streams, antennas):
    """Oracle: Sionna's rzf_precoding_matrix with alpha = K sigma^2 / P, whose columns have unit norm."""
    h = rayleigh(30, streams, antennas, seed=1, dtype=dtype)
    power = torch.logspace(-1, 2, 30, dtype=dtype.to_real())
    expected = rzf_precoding_matrix(h, streams * 0.5 / power, precision=precision)
    expected = expected * (power / streams).sqrt()[:, None, None]
    torch.testing.assert_close(RZF().precode(h, 0.5, power), expected, atol=1e-4, rtol=1e-3)


def test_limits_are_maximum_ratio_and_zero_forcing():
    """Oracle: drowned in noise it is MRT, without noise ZF."""
    h = rayleigh(10, 4, 8, seed=2)
    torch.testing.assert_close(RZF().precode(h, 1e9, 1.0), MRT().precode(h, 1e9, 1.0), atol=1e-6, rtol=0)
    torch.testing.assert_close(RZF().precode(h, 1e-12, 1.0), ZF().precode(h, 1.0, 1.0), atol=1e-6, rtol=0)


def test_csi_error_adds_its_variance_to_the_regularisation():
    """Oracle: H^H (H H^H + (K sigma^2/P + sum_k sigma_k^2) I)^-1 with sigma_k^2 = fraction ||h_k||^2 / M."""
    h = rayleigh(10, 4, 6, seed=3) * torch.tensor([1.0, 0.1, 3.0, 0.5])[:, None]
    fraction, noise, power = 0.2, 0.3, 2.0
    alpha = 4 * noise / power + fraction * h.abs().square().sum((-2, -1)) / 6
    v = h.mH @ torch.linalg.inv(h @ h.mH + alpha[:, None, None] * torch.eye(4))
    v = v / v.norm(dim=-2, keepdim=True) * (power / 4) ** 0.5
    torch.testing.assert_close(RZF(csi_error_variance=fraction).precode(h, noise, power), v)


def test_robustness_pays_when_the_channel_is_estimated():
    """Property: at high SNR and 10 % error variance the true channel's mean rate grows by the robust ridge."""
    true, error = rayleigh(2000, 8, 8, seed=4), rayleigh(2000, 8, 8, seed=5)
    estimate = true + 0.1**0.5 * error
    plain = sum_rate(true, RZF().precode(estimate, 1e-3, 1.0), 1e-3).mean()
    robust = sum_rate(true, RZF(csi_error_variance=0.1).precode(estimate, 1e-3, 1.0), 1e-3).mean()
    assert robust > 1.1 * plain
