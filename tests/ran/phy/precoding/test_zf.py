"""Oracles: no interference, the Moore-Penrose inverse, and the closed form of the ergodic rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expn

from ran.phy.precoding import ZF, sum_rate
from tests.ran.phy.precoding.channels import rayleigh


@pytest.mark.parametrize(("dtype", "residue"), [(torch.complex64, 1e-4), (torch.complex128, 1e-12)])
def test_streams_do_not_interfere(dtype, residue):
    """Property: h v is diagonal, for streams whose path gains lie 120 dB apart too."""
    h = rayleigh(50, 4, 8, seed=1, dtype=dtype) * torch.tensor([1e-6, 1e-3, 1.0, 1e-5])[:, None]
    received = h @ ZF().precode(h, 1e-12, 3.0)
    signal = received.diagonal(dim1=-2, dim2=-1)
    leak = (received - torch.diag_embed(signal)).abs() / signal.abs()[..., None]
    assert leak.max() < residue


@pytest.mark.parametrize(("streams", "antennas"), [(3, 5), (4, 4), (6, 4)])
def test_directions_are_those_of_the_pseudo_inverse(streams, antennas):
    """Oracle: torch.linalg.pinv by singular values, columns scaled to P / K; also where K > M and for twin rows."""
    h = rayleigh(20, streams, antennas, seed=2)
    h[:10, 1] = 3.0 * h[:10, 0]
    expected = torch.linalg.pinv(h / h.norm(dim=-1, keepdim=True), rtol=1e-10)
    expected = expected / expected.norm(dim=-2, keepdim=True) * (2.0 / streams) ** 0.5
    torch.testing.assert_close(ZF().precode(h, 1.0, 2.0), expected, atol=1e-7, rtol=1e-7)


@pytest.mark.parametrize(
    ("antennas", "streams", "snr_db"), [(16, 8, 0), (16, 8, 10), (64, 16, 10), (8, 8, 10), (8, 8, 20)]
)
def test_the_mean_rate_has_its_closed_form(antennas, streams, snr_db):
    """Oracle: 1/[(H H^H)^-1]_kk ~ Gamma(M-K+1), so K e^(1/rho) sum_(i <= M-K+1) E_i(1/rho) / ln 2, rho = P/(K sigma^2).

    Alouini & Goldsmith, IEEE Trans. Veh. Technol. 1999. Within 4 standard errors.
    """
    draws, power = 20_000 if antennas < 64 else 3000, 10 ** (snr_db / 10)
    h = rayleigh(draws, streams, antennas, seed=3)
    rate = sum_rate(h, ZF().precode(h, 1.0, power), 1.0)
    inverse = streams / power
    expected = streams * np.exp(inverse) * expn(np.arange(1, antennas - streams + 2), inverse).sum() / np.log(2)
    assert abs(float(rate.mean()) - expected) < 4 * float(rate.std()) / draws**0.5
