"""Oracle: the closed form of the least sum of mean square errors."""

from __future__ import annotations

import torch

from ran.phy.precoding import MMSE, RZF
from tests.ran.phy.precoding.channels import rayleigh


def sum_of_errors(h: torch.Tensor, v: torch.Tensor, noise: float) -> torch.Tensor:
    """E||s - gamma y||^2 with the best common gamma: K - (Re tr H V)^2 / (||H V||^2 + K sigma^2)."""
    received = h @ v
    trace = received.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    return h.shape[-2] - trace.square() / (received.abs().square().sum((-2, -1)) + h.shape[-2] * noise)


def test_the_error_is_the_least_possible():
    """Oracle: xi tr (H H^H + xi I)^-1 with xi = K sigma^2 / P (Joham et al. 2005), which RZF's equal powers miss."""
    h = rayleigh(40, 5, 8, seed=1) * torch.tensor([1.0, 0.03, 1.0, 0.3, 2.0])[:, None]
    noise, power = 0.2, 3.0
    xi = 5 * noise / power
    least = xi * torch.linalg.inv(h @ h.mH + xi * torch.eye(5)).diagonal(dim1=-2, dim2=-1).real.sum(-1)
    torch.testing.assert_close(sum_of_errors(h, MMSE().precode(h, noise, power), noise), least)
    assert (sum_of_errors(h, RZF().precode(h, noise, power), noise) > least + 1e-3).all()
