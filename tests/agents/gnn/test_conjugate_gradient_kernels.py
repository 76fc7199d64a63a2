"""Oracle: the same steps in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.gnn.conjugate_gradient import inverse_by_conjugate_gradients
from agents.gnn.conjugate_gradient_kernels import conjugate_gradients
from ran.lanes import LANES
from tests.agents.gnn.test_conjugate_gradient import matrices


def in_lanes(matrix: torch.Tensor, padded: int) -> np.ndarray:
    """Matrices [LANES, K, K] as [padded, padded, 2, LANES]."""
    parts = torch.view_as_real(matrix.resolve_conj()).permute(1, 2, 3, 0).float().numpy()
    more = padded - len(matrix[0])
    return np.ascontiguousarray(np.pad(parts, ((0, more), (0, more), (0, 0), (0, 0))))


def compiled(matrix: torch.Tensor, start: torch.Tensor | None, steps: int, tolerance: float) -> torch.Tensor:
    """The inverse by the compiled steps and, in double precision, their last product."""
    size = len(matrix[0])
    padded = (size + 3) // 4 * 4
    c, x = in_lanes(matrix, padded), in_lanes(torch.zeros_like(matrix) if start is None else start, padded)
    r, p, turned = np.ones_like(x), np.ones_like(x[:2]), np.ones_like(x[:2])
    conjugate_gradients(c, start is not None, steps, np.float32(tolerance), size, x, r, p, turned)
    found, rest = (
        torch.view_as_complex(torch.from_numpy(each[:size, :size].transpose(3, 0, 1, 2).astype(float).copy()))
        for each in (x, r)
    )
    return found + rest @ found.mH


@pytest.mark.parametrize("size", [1, 5, 8])
@pytest.mark.parametrize(("steps", "tolerance"), [(2, 0.0), (3, 0.1), (8, 0.01)])
def test_steps_are_those_of_torch(size, steps, tolerance):
    """From zero; from a neighbour's inverse; from one that is worse than zero, in some lanes only."""
    matrix = matrices(size, seed=1)[:LANES]
    close = torch.linalg.inv(matrix + 0.05 * torch.eye(size))
    mixed = torch.where((torch.arange(LANES) % 3 == 0)[:, None, None], -4.0 * close, close)
    for start in (None, close, mixed):
        expected = inverse_by_conjugate_gradients(matrix, steps, tolerance, start)
        torch.testing.assert_close(compiled(matrix, start, steps, tolerance), expected, atol=2e-5, rtol=1e-4)
