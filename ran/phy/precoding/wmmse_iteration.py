"""WMMSE in the K x K domain of the streams' correlations.

With V = U^H A (U the unit rows of ``Streams``), G = U U^H, n_k the noise over power and channel gain, and
p = tr(A^H G A), the received amplitudes are R = G A and

    T_k = sum_j |R_kj|^2 + n_k p,    w_k = 1 + SINR_k,    q_k = w_k |R_kk|^2 / T_k^2 / sum_j n_j w_j |R_jj|^2 / T_j^2,
    A' = (G + diag(1/q_k))^-1 diag(sqrt(w_k / q_k)),

one round of receivers, weights and precoder of the classical algorithm. From RZF the diagonal of R is real and
positive, and stays so: no phases are needed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ran.phy.precoding.streams import Streams, regularised_inverse, row_norm, unit_inverse


def climb(streams: Streams, tolerance: float, max_iterations: int) -> Tensor:
    """Return the conjugate rows of V, A^H U, up to one scale per batch element, complex [..., K, M].

    A batch element stops when its sum rate grows by no more than the fraction ``tolerance``; the others go on.
    Iterates in double precision, since directions that hardly matter to the rate amplify rounding: in single precision
    a permutation of the users moves V by up to 1e-3.
    """
    direction = streams.direction.to(torch.complex128)
    shape = direction.shape[:-1]
    gram = (direction @ direction.mH).reshape(-1, shape[-1], shape[-1])
    noise = streams.noise.double().reshape(-1, shape[-1])
    coefficients = _start(gram, noise, streams.present.reshape(-1, shape[-1]))
    final = torch.empty_like(coefficients)
    index = torch.arange(len(gram), device=gram.device)
    rate = torch.full_like(noise[:, 0], -1.0)
    for _ in range(max_iterations):
        weight, uplink = _weights(gram, noise, coefficients)
        previous, rate = rate, torch.log2(weight).sum(-1)
        stopped = rate - previous <= tolerance * rate
        if stopped.any():
            final[index[stopped]] = coefficients[stopped]
            gram, noise, coefficients, index, rate, weight, uplink = (
                each[~stopped] for each in (gram, noise, coefficients, index, rate, weight, uplink)
            )
        if len(index) == 0:
            break
        coefficients = _precoder(gram, weight, uplink)
    final[index] = coefficients
    return (final.reshape(*shape, shape[-1]).mH @ direction).to(streams.direction.dtype)


def _start(gram: Tensor, noise: Tensor, present: Tensor) -> Tensor:
    """Return A of RZF with equal power per stream."""
    inverse = regularised_inverse(gram, present.sum(-1, keepdim=True) * noise)
    # The norms of the columns: ||U^H a_k||^2 = a_k^H G a_k.
    power = (inverse.conj() * (gram @ inverse)).real.sum(-2).clamp(min=torch.finfo(noise.dtype).tiny)
    return inverse * torch.where(present, power.rsqrt(), 0.0)[:, None, :]


def _weights(gram: Tensor, noise: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights w_k = 1 + SINR_k and the amplitudes sqrt(q_k), real [batch, K]."""
    received = gram @ coefficients
    tiny = torch.finfo(noise.dtype).tiny  # instead of zero, where no stream is present
    power = (torch.view_as_real(coefficients) * torch.view_as_real(received)).sum((-3, -2, -1)).clamp(min=tiny)
    diagonal = received.diagonal(dim1=-2, dim2=-1)
    signal = diagonal.real.square()
    diagonal.zero_()  # summing the interference alone keeps its digits
    disturbance = row_norm(received).square() + noise * power[:, None]
    weight = 1.0 + signal / disturbance
    amplitude = (weight * signal).sqrt() / (signal + disturbance)
    total = torch.linalg.vector_norm(amplitude * noise.sqrt(), dim=-1, keepdim=True)
    return weight, amplitude / total.clamp(min=tiny)


def _precoder(gram: Tensor, weight: Tensor, uplink: Tensor) -> Tensor:
    """Return the next A, complex [batch, K, K]."""
    power = uplink.square()
    inverse, scale = unit_inverse(gram, power.reciprocal())
    return inverse * (scale[:, :, None] * (weight / (1.0 + power)).sqrt()[:, None, :])
