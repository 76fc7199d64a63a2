"""Oracle: the inverse of LAPACK."""

from __future__ import annotations

import pytest
import torch

from agents.gnn.conjugate_gradient import inverse_by_conjugate_gradients
from tests.ran.phy.precoding.channels import rayleigh


def matrices(size: int, *, seed: int, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    """Hermitian positive definite matrices, [40, size, size]."""
    h = rayleigh(40, size, size + 2, seed=seed, dtype=dtype)
    return h @ h.mH / size + 0.1 * torch.eye(size, dtype=dtype)


@pytest.mark.parametrize("size", [1, 2, 5, 16])
def test_as_many_steps_as_rows_equal_a_solve(size):
    """Oracle: torch.linalg.inv, up to what rounding costs in 16 steps; one step fewer is not enough."""
    matrix = matrices(size, seed=1)
    inverse = torch.linalg.inv(matrix)
    torch.testing.assert_close(inverse_by_conjugate_gradients(matrix, size), inverse, atol=1e-6, rtol=0)
    if 1 < size < 16:  # 16 steps are more than double precision needs here
        assert (inverse_by_conjugate_gradients(matrix, size - 1) - inverse).abs().amax((-2, -1)).min() > 1e-4


def test_a_tolerance_bounds_residuals_and_rows_do_not_depend_on_others():
    """Properties: ||x C - e|| <= tolerance; alone, a matrix gets what it gets among others that need more steps."""
    matrix = matrices(12, seed=2)
    matrix[::2] += 5.0 * torch.eye(12)
    found = inverse_by_conjugate_gradients(matrix, 12, 1e-3)
    residual = (found @ matrix - torch.eye(12)).norm(dim=-1)
    assert residual.max() <= 1e-3 + 1e-9
    assert residual[::2].max() > 1e-6  # it stopped early
    for index in range(4):
        alone = inverse_by_conjugate_gradients(matrix[index : index + 1], 12, 1e-3)[0]
        torch.testing.assert_close(alone, found[index], atol=1e-12, rtol=0)


def test_singular_matrices_give_finite_rows():
    """Property: rank one and zero."""
    for matrix in (torch.ones(1, 4, 4, dtype=torch.complex64), torch.zeros(1, 4, 4, dtype=torch.complex64)):
        assert torch.isfinite(torch.view_as_real(inverse_by_conjugate_gradients(matrix, 4))).all()


def test_gradients_go_through():
    """Oracle: finite differences of the entries' sum, through every step."""
    raw = rayleigh(2, 3, 4, seed=3).requires_grad_()

    def total(h: torch.Tensor) -> torch.Tensor:
        return inverse_by_conjugate_gradients(h @ h.mH + torch.eye(3), 2).abs().sum()

    assert torch.autograd.gradcheck(total, raw)
