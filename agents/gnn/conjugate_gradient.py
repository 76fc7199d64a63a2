"""Conjugate gradients for a batch of small Hermitian matrices, in place of an inverse."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_by_conjugate_gradients(
    matrix: Tensor, steps: int, tolerance: float = 0.0, start: Tensor | None = None
) -> Tensor:
    """Return the inverse after at most ``steps`` steps from a start, complex [batch, K, K].

    All rows x_k of the inverse, x_k C = e_k^T, are sought at once by the method of Hestenes & Stiefel (J. Res. Nat.
    Bur. Stand. 1952): one product of K x K matrices a step, no factorisation. In exact arithmetic K steps give the
    inverse. A row stays as it is once it is good enough, whatever the others need; where the matrix is singular rows
    stay finite.

    With the residuals R = I - X C a last product squares the error: C^-1 - (X + R X^H) = R C^-1 R^H. The sum is
    Hermitian, and its diagonal never exceeds the inverse's, however few the steps.

    Args:
        matrix: C, Hermitian and positive definite, complex [batch, K, K].
        steps: most steps.
        tolerance: norm of a row's residual that is good enough, before the last product.
        start: Hermitian, [batch, K, K]; zero where it is None, and for rows for which zero has the smaller residual.
            No gradients go through it.
    """
    tiny = torch.finfo(matrix.real.dtype).tiny
    size = matrix.shape[-1]
    residual = _rows(torch.eye(size, dtype=matrix.dtype, device=matrix.device))
    solution, norm = torch.zeros_like(residual), residual.square().sum(-1)  # rows of [size, 2 size], later of batches
    if start is not None:
        rest = residual - _rows(start.detach() @ matrix)
        better = torch.linalg.vector_norm(rest, dim=-1, keepdim=True) < 1.0
        solution, residual = torch.where(better, _rows(start.detach()), solution), torch.where(better, rest, residual)
        norm = torch.linalg.vector_norm(residual, dim=-1).square()
    direction = residual
    for step in range(steps if bool((norm > tolerance**2).any()) else 0):
        turned = matrix if step == 0 and start is None else _complex(direction, size) @ matrix
        turned = _rows(turned)
        curvature = (direction * turned).sum(-1)
        going = (curvature > tiny) & (norm > tolerance**2)
        length = torch.where(going, norm / curvature.clamp(min=tiny), 0.0)[..., None]
        solution = torch.addcmul(solution, direction, length)
        residual = torch.addcmul(residual, turned, length, value=-1.0)
        previous, norm = norm, torch.linalg.vector_norm(residual, dim=-1).square()
        if step + 1 == steps or not (norm > tolerance**2).any():
            break
        direction = torch.addcmul(residual, direction, (norm / previous.clamp(min=tiny))[..., None])
    found = _complex(solution, size)
    return torch.baddbmm(found, _complex(residual, size), found.mH)


def _rows(matrix: Tensor) -> Tensor:
    """Return complex [..., size, size] as rows of real and imaginary parts, [..., size, 2 size]."""
    return torch.view_as_real(matrix.resolve_conj().contiguous()).flatten(-2)


def _complex(rows: Tensor, size: int) -> Tensor:
    """Return rows of real and imaginary parts, [..., size, 2 size], as complex [batch, size, size]."""
    return torch.view_as_complex(rows.reshape(-1, size, size, 2))
