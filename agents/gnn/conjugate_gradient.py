"""Conjugate gradients for a batch of small Hermitian matrices, in place of an inverse."""

from __future__ import annotations

import torch
from torch import Tensor


def inverse_by_conjugate_gradients(matrix: Tensor, steps: int, tolerance: float = 0.0) -> Tensor:
    """Return the inverse after at most ``steps`` steps from zero, complex [batch, K, K].

    All rows x_k of the inverse, x_k C = e_k^T, are sought at once by the method of Hestenes & Stiefel (J. Res. Nat.
    Bur. Stand. 1952): one product of K x K matrices a step, no factorisation. In exact arithmetic K steps give the
    inverse. A row whose residual vanishes stays as it is; where the matrix is singular the rows stay finite.

    Args:
        matrix: C, Hermitian and positive definite, complex [batch, K, K].
        steps: most steps.
        tolerance: stop where every residual's norm is below.
    """
    real = matrix.real.dtype
    tiny = torch.finfo(real).tiny
    residual = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix).contiguous()
    direction = residual.clone()
    solution = torch.zeros_like(residual)
    r, p, x = (torch.view_as_real(each).flatten(-2) for each in (residual, direction, solution))  # [batch, K, 2 K]
    norm = torch.ones(r.shape[:-1], dtype=real, device=matrix.device)
    for step in range(steps):
        turned = torch.view_as_real(direction @ matrix if step else matrix.resolve_conj().contiguous()).flatten(-2)
        curvature = (p * turned).sum(-1)
        length = torch.where(curvature > tiny, norm / curvature.clamp(min=tiny), 0.0)[..., None]
        x.addcmul_(p, length)
        r.addcmul_(turned, length, value=-1.0)
        previous, norm = norm, r.square().sum(-1)
        if step + 1 == steps or float(norm.max()) <= tolerance**2:
            break
        p.mul_(torch.where(previous > tiny, norm / previous.clamp(min=tiny), 0.0)[..., None]).add_(r)
    return solution
