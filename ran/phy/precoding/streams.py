"""The channels of all streams split into directions and strengths, and the one inverse that precoders share.

Splitting keeps every matrix well scaled: a cell serves streams whose path gains differ by ten orders of magnitude,
whose plain Gram matrix single precision cannot hold, let alone invert. With h_k = d_k u_k and unit rows u_k,

    H^H (H H^H + alpha I)^-1 = U^H (U U^H + diag(alpha / d_k^2))^-1 diag(1 / d_k),

and the right-hand diagonal only scales columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

# Ratios of noise to signal beyond these (300 dB) are held there, so that their squares stay in single precision.
_LEAST, _MOST = 1e-30, 1e30


@dataclass(frozen=True)
class Streams:
    """What a precoder knows of one batch of channels.

    Attributes:
        h: channels, complex [..., K, M].
        strength: row norms d_k, real [..., K].
        present: whether there is a stream, bool [..., K].
        noise: noise over power and channel gain, sigma^2 / (P d_k^2), real [..., K]; 1 where there is no stream.
        power_w: transmit power, W, real [..., 1, 1].
    """

    h: Tensor
    strength: Tensor
    present: Tensor
    noise: Tensor
    power_w: Tensor

    @staticmethod
    def of(h: Tensor, noise_w: Tensor | float, power_w: Tensor | float) -> Streams:
        """Return the streams of channels h [..., K, M]; see ``Precoder.precode`` for the arguments."""
        if h.ndim < 2 or not h.is_complex():
            raise ValueError(f"h must be complex [..., num_streams, num_tx_ant], got {h.dtype} {tuple(h.shape)}")
        strength = row_norm(h)
        power = torch.as_tensor(power_w, dtype=strength.dtype, device=h.device)[..., None]
        noise = torch.as_tensor(noise_w, dtype=strength.dtype, device=h.device)[..., None]
        lead = torch.broadcast_shapes(h.shape[:-2], noise.shape[:-1], power.shape[:-1])  # type: ignore[no-untyped-call]
        h, strength = h.expand(*lead, *h.shape[-2:]), strength.expand(*lead, h.shape[-2])
        present = strength > 0
        safe = torch.where(present, strength, 1.0)
        relative = (noise / power / safe / safe).clamp(_LEAST, _MOST)
        return Streams(
            h=h,
            strength=strength,
            present=present,
            noise=torch.where(present, relative, 1.0),
            power_w=power[..., None],
        )

    @property
    def direction(self) -> Tensor:
        """Unit rows u_k, complex [..., K, M]; zero where there is no stream."""
        return self._unit_rows() if self.h.requires_grad else self._kept_unit_rows

    @cached_property
    def _kept_unit_rows(self) -> Tensor:
        return self._unit_rows()

    def _unit_rows(self) -> Tensor:
        return self.h * torch.where(self.present, self.strength, 1.0).reciprocal()[..., None]

    @property
    def count(self) -> Tensor:
        """Number of streams, at least 1 so that one can divide by it, real [..., 1]."""
        return self.present.sum(-1, keepdim=True).clamp(min=1).to(self.strength.dtype)

    def gram(self) -> Tensor:
        """Return the correlations of the directions, U U^H, complex [..., K, K]; ones on the diagonal."""
        return self.direction @ self.direction.mH

    def equal_power(self, rows: Tensor) -> Tensor:
        """Return v, [..., M, K], with columns along the conjugate ``rows`` [..., K, M] and ||v_k||^2 = P / count.

        Columns of absent streams are zero.
        """
        norm = row_norm(rows)
        amplitude = (self.power_w[..., 0] / self.count).sqrt()
        return (rows * torch.where(self.present & (norm > 0), amplitude / norm, 0.0)[..., None]).mH

    def total_power(self, rows: Tensor) -> Tensor:
        """Return v = a rows^H, [..., M, K], a > 0 such that sum ||v_k||^2 = P; zero where ``rows`` [..., K, M] is."""
        norm = row_norm(rows).square().sum(-1).sqrt()[..., None, None]
        scaled = rows * torch.where(norm > 0, self.power_w.sqrt() / norm, 0.0)
        return scaled.conj_physical_().mT  # in place: memory just written is faster than another copy


def row_norm(x: Tensor) -> Tensor:
    """Return the Euclidean norm over the last axis of a complex tensor; torch's own is 100 times slower on a CPU."""
    return torch.linalg.vector_norm(torch.view_as_real(x.resolve_conj()), dim=(-2, -1))


def regularised_inverse(gram: Tensor, ridge: Tensor) -> Tensor:
    """Return (gram + diag(ridge))^-1 up to the scale of its columns: column k is multiplied by sqrt(1 + ridge_k).

    Unit rows and columns, S (gram + diag(ridge)) S with S = diag(1 + ridge)^-1/2, are what is factorised, so that
    ridges may differ by any factor. Where the matrix is singular to rounding its pseudo-inverse takes the place of
    the inverse.

    Args:
        gram: correlations, complex [..., K, K], ones (or zeros, for an absent stream) on the diagonal.
        ridge: >= 0, real [..., K]; positive for absent streams.
    """
    inverse, scale = unit_inverse(gram, ridge)
    return scale[..., :, None] * inverse


def unit_inverse(gram: Tensor, ridge: Tensor) -> tuple[Tensor, Tensor]:
    """Return X and scale s with (gram + diag(ridge))^-1 = diag(s) X diag(s); see ``regularised_inverse``."""
    ridge = ridge.clamp(max=_MOST)
    scale = (1.0 + ridge).rsqrt()
    matrix = gram * (scale[..., :, None] * scale[..., None, :])
    matrix.diagonal(dim1=-2, dim2=-1).add_(ridge / (1.0 + ridge))
    # LAPACK's matrices are column-major: the transpose of the inverse of the transpose costs no copy either way.
    return _inverse(matrix.mT).mT, scale


def _inverse(matrix: Tensor) -> Tensor:
    """Return the inverse of Hermitian matrices with unit diagonal, the pseudo-inverse where one is singular."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    size = matrix.shape[-1]
    # A squared pivot is the part of a unit row that earlier rows do not span; rounding leaves this much of nothing.
    nothing = 4 * size * torch.finfo(matrix.real.dtype).eps
    pivot = factor.diagonal(dim1=-2, dim2=-1).real.amin(-1).square()
    singular = (info > 0) | ~(pivot > nothing)
    if not singular.any():
        return torch.cholesky_inverse(factor)
    eye = torch.eye(size, dtype=matrix.dtype, device=matrix.device)
    inverse = torch.cholesky_inverse(torch.where(singular[..., None, None], eye, factor))
    inverse[singular] = torch.linalg.pinv(matrix[singular], atol=nothing, rtol=0.0, hermitian=True)
    return inverse
