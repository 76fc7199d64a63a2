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
    """Oracle: torch.linalg.inv to 1e-10; one step fewer is not enough.

    Rounding costs conjugate gradients 1e-6 in 16 steps of double precision, which the last product squares.
    """
    matrix = matrices(size, seed=1)
    inverse = torch.linalg.inv(matrix)
    torch.testing.assert_close(inverse_by_conjugate_gradients(matrix, size), inverse, atol=1e-10, rtol=0)
    if 1 < size < 16:  # 15 steps leave 1e-3, whose square is less
        assert (inverse_by_conjugate_gradients(matrix, size - 1) - inverse).abs().amax((-2, -1)).min() > 1e-4


@pytest.mark.parametrize("tolerance", [0.3, 0.03])
def test_the_last_product_squares_residuals(tolerance):
    """Oracle: C^-1 - found = R C^-1 R^H, Hermitian, its diagonal between 0 and tolerance^2 / (least eigenvalue)."""
    matrix = matrices(12, seed=2)
    found, inverse = inverse_by_conjugate_gradients(matrix, 12, tolerance), torch.linalg.inv(matrix)
    torch.testing.assert_close(found, found.mH, atol=1e-12, rtol=0)
    error = (inverse - found).diagonal(dim1=-2, dim2=-1).real
    assert error.min() > -1e-12
    most = tolerance**2 / torch.linalg.eigvalsh(matrix)[:, 0]
    assert (error.amax(-1) <= most).all()
    assert (error.amax(-1) > 1e-3 * most).all()  # it stopped early


def test_rows_do_not_depend_on_others():
    """Property: alone, a matrix gets what it gets among others that need more steps."""
    matrix = matrices(12, seed=2)
    matrix[::2] += 5.0 * torch.eye(12)
    found = inverse_by_conjugate_gradients(matrix, 12, 1e-3)
    for index in range(4):
        alone = inverse_by_conjugate_gradients(matrix[index : index + 1], 12, 1e-3)[0]
        torch.testing.assert_close(alone, found[index], atol=1e-12, rtol=0)


def test_a_good_start_saves_steps_and_a_bad_one_costs_none():
    """Oracle: the inverse; its neighbour needs no step, what is worse than zero is not used."""
    matrix = matrices(8, seed=4)
    inverse = torch.linalg.inv(matrix)
    close = torch.linalg.inv(matrix + 0.01 * torch.eye(8))
    found = inverse_by_conjugate_gradients(matrix, 0, 0.0, close)
    error = torch.eye(8) - close @ matrix
    torch.testing.assert_close(found, inverse - error @ inverse @ error.mH, atol=1e-10, rtol=0)
    again = inverse_by_conjugate_gradients(matrix, 3, 0.0, -5.0 * inverse)
    torch.testing.assert_close(again, inverse_by_conjugate_gradients(matrix, 3), atol=1e-12, rtol=0)
    torch.testing.assert_close(inverse_by_conjugate_gradients(matrix, 8, 0.0, close), inverse, atol=1e-10, rtol=0)


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
