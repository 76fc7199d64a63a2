"""WMMSE in the K x K domain of the streams' correlations, one Hermitian inverse an iteration.

With V = U^H A (U the unit rows of ``Streams``), G = U U^H, n_k the noise over power and channel gain, and
p = tr(A^H G A), the received amplitudes are R = G A and

    T_k = sum_j |R_kj|^2 + n_k p,    w_k = 1 + SINR_k,    q_k = w_k |R_kk|^2 / T_k^2 / sum_j n_j w_j |R_jj|^2 / T_j^2,
    A' = (G + diag(1/q_k))^-1 diag(sqrt(w_k / q_k)),

one round of receivers, weights and precoder of the classical algorithm. From RZF the diagonal of R is real and
positive, and stays so: no phases are needed.

Every A, RZF's too, is S Y diag(b) with S^2 = q / (1 + q), C = I + S (G - I) S of unit diagonal, and Y = C^-1. Then
C Y = I gives R without a product of matrices, and without cancelling where a stream is switched off, q_k -> 0:

    R_kj = -Y_kj b_j / sqrt(q_k (1 + q_k)),    R_kk = S_k b_k (Y_kk + r_k),    r_k = sum_(j != k) C_kj Y_jk / S_k^2,
    p = sum_k b_k^2 S_k^2 Y_kk (Y_kk + r_k) - sum_(k != j) |Y_kj|^2 b_j^2 / (1 + q_k).

An iterate is the uplink powers q and the gains b^2, two numbers a stream.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ran.phy.precoding.streams import Streams

# Uplink powers q below the first are of a stream that is off; up to the second (120 dB) Y has digits left.
_LEAST, _MOST = 1e-30, 1e12
_TINY = 1e-100  # instead of zero, where no stream is present; its square is a number


def climb(streams: Streams, tolerance: float, max_iterations: int) -> Tensor:
    """Return the conjugate rows of V, A^H U, up to one scale per batch element, complex [..., K, M].

    A batch element stops when its sum rate grows by no more than the fraction ``tolerance``, if that is positive; the
    others go on. Iterates in double precision, since directions that hardly matter to the rate amplify rounding: in
    single precision a permutation of the users moves V by up to 1e-3.
    """
    size = streams.noise.shape[-1]
    direction = streams.direction.to(torch.complex128)
    gram = (direction @ direction.mH).reshape(-1, size, size)
    # Rows of single precision are units to 1e-7, which a matrix of unit diagonal would take for negative eigenvalues.
    unit = gram.diagonal(dim1=-2, dim2=-1).real.clamp(min=0.5).rsqrt()
    correlation = gram * (unit[:, :, None] * unit[:, None, :])
    correlation.diagonal(dim1=-2, dim2=-1).zero_()
    power, gain = _iterate(correlation, streams, tolerance, max_iterations)
    scale = (power / (1.0 + power)).sqrt()
    inverse = _inverse(_scaled(correlation, scale))
    coefficients = inverse * ((unit * scale)[:, :, None] * gain.sqrt()[:, None, :])
    return (coefficients.reshape(*streams.noise.shape, size).mH @ direction).to(streams.direction.dtype)


def _iterate(correlation: Tensor, streams: Streams, tolerance: float, max_iterations: int) -> tuple[Tensor, Tensor]:
    """Return q and b^2 of the last iterate, real [batch, K]; ``correlation`` has zeros on its diagonal."""
    noise, present = (each.reshape(-1, correlation.shape[-1]) for each in (streams.noise.double(), streams.present))
    power = (1.0 / (present.sum(-1, keepdim=True).clamp(min=1) * noise)).clamp(_LEAST, _MOST)  # RZF's
    gain = present / _Reception.of(correlation, power, 1.0 / (1.0 + power)).norms()
    final, index = torch.stack([power, gain]), torch.arange(len(noise), device=noise.device)
    rate = torch.full_like(noise[:, 0], -1.0)
    for _ in range(max_iterations):
        weight, next_power = _Reception.of(correlation, power, gain).round(gain, noise)
        if tolerance > 0.0:
            previous, rate = rate, torch.log2(weight).sum(-1)
            going = rate - previous > tolerance * rate
            if not going.all():
                final[:, index[~going]] = torch.stack([power[~going], gain[~going]])
                correlation, noise, index, rate, weight, gain, power, next_power = (
                    each[going] for each in (correlation, noise, index, rate, weight, gain, power, next_power)
                )
                if len(index) == 0:
                    break
        power = next_power
        gain = weight / (1.0 + power)
    final[:, index] = torch.stack([power, gain])
    return final[0], final[1]


@dataclass(frozen=True)
class _Reception:
    """What uplink powers fix, but for the gains b^2.

    Attributes:
        power: q_k, real [batch, K].
        rest: 1 / (1 + q_k), real [batch, K].
        sent: S_k Y_kk = A_kk / b_k, real [batch, K].
        own: S_k (Y_kk + r_k) = R_kk / b_k, real [batch, K].
        leaked: sum_(j != k) |Y_kj|^2 weight_j for the weights asked for, real [batch, K].
    """

    power: Tensor
    rest: Tensor
    sent: Tensor
    own: Tensor
    leaked: Tensor

    @staticmethod
    def of(correlation: Tensor, power: Tensor, weight: Tensor) -> _Reception:
        """Invert for the uplink powers, and sum what leaks with weights, both [batch, K]."""
        rest = 1.0 / (1.0 + power)
        scale = (power * rest).sqrt()
        fast = power.device.type == "cpu" and not any(each.requires_grad for each in (correlation, power, weight))
        sums = compiled_sums_of_inverse if fast else sums_of_inverse
        diagonal, mixed, leaked = sums(correlation, scale, weight)
        sent = scale * diagonal
        return _Reception(power, rest, sent, sent + mixed / scale, leaked)

    def norms(self) -> Tensor:
        """Return ||v_k||^2 / b_k^2, real [batch, K], of leaks with weights 1 / (1 + q)."""
        return _less(self.sent * self.own, self.leaked)

    def round(self, gain: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weights w_k = 1 + SINR_k and the next uplink powers q_k, real [batch, K], of leaks with b^2."""
        spread = self.rest * self.leaked
        radiated = _less((gain * self.sent * self.own).sum(-1, keepdim=True), spread.sum(-1, keepdim=True))
        disturbance = spread / self.power + noise * radiated
        signal = gain * self.own.square()
        total = signal + disturbance
        weight = total / disturbance
        power = weight * signal / total.square()
        return weight, (power / (noise * power).sum(-1, keepdim=True).clamp(min=_TINY)).clamp(_LEAST, _MOST)


def sums_of_inverse(correlation: Tensor, scale: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return Y_kk, sum_j C_kj Y_jk and sum_j |Y_kj|^2 weight_j, j != k in both, real [batch, K], of Y = C^-1."""
    matrix = _scaled(correlation, scale)
    inverse = _inverse(matrix)
    parts, others = (
        torch.view_as_real(inverse),
        1.0 - torch.eye(scale.shape[-1], dtype=scale.dtype, device=scale.device),
    )
    mixed = (torch.view_as_real(matrix) * parts).sum(-1)
    diagonal = inverse.diagonal(dim1=-2, dim2=-1).real
    return diagonal, (mixed * others).sum(-1), (parts.square().sum(-1) * others * weight[:, None]).sum(-1)


def compiled_sums_of_inverse(correlation: Tensor, scale: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same on a CPU, where a factorisation takes longer than all the rest."""
    from ran.phy.precoding.wmmse_kernels import scale_correlations, sums_of_inverses

    matrix, scale, weight = torch.empty_like(correlation), scale.contiguous(), weight.contiguous()
    scale_correlations(correlation.contiguous().numpy(), scale.numpy(), matrix.numpy())
    # LAPACK's matrices are column-major: the transpose of the factor of the transpose costs no copy either way.
    factor = torch.linalg.cholesky_ex(matrix.mT).L.mT
    found = torch.empty(3, *scale.shape, dtype=scale.dtype)
    sums_of_inverses(matrix.numpy(), factor.contiguous().numpy(), weight.numpy(), *found.numpy())
    return found[0], found[1], found[2]


def _scaled(correlation: Tensor, scale: Tensor) -> Tensor:
    """Return C = I + S (G - I) S, complex [batch, K, K]."""
    matrix = correlation * (scale[:, :, None] * scale[:, None, :])
    matrix.diagonal(dim1=-2, dim2=-1).fill_(1.0)
    return matrix


def _inverse(matrix: Tensor) -> Tensor:
    """Return the inverse of Hermitian matrices, complex [batch, K, K]."""
    return torch.cholesky_inverse(torch.linalg.cholesky_ex(matrix).L)


def _less(whole: Tensor, part: Tensor) -> Tensor:
    """Return whole - part, which is positive, also where rounding leaves nothing of it."""
    return torch.maximum(whole - part, torch.finfo(part.dtype).eps * part).clamp(min=_TINY)
