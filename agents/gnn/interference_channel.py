"""Power control of K pairs that share the air: rates, and the scalar weighted MMSE that bounds learned control."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def rayleigh_pairs(count: int, pairs: int, rng: np.random.Generator) -> Tensor:
    """Return |h_kj| of i.i.d. CN(0, 1) channels from transmitter j to receiver k, float32 [count, K, K]."""
    parts = rng.standard_normal((count, pairs, pairs, 2), np.float32) * np.float32(math.sqrt(0.5))
    return torch.from_numpy(parts).square().sum(-1).sqrt()


def pair_rates(magnitude: Tensor, power: Tensor, noise: float) -> Tensor:
    """Return log2(1 + |h_kk|^2 p_k / (sum_j |h_kj|^2 p_j + noise)), bit/s/Hz, of powers in [0, 1], real [..., K]."""
    received = magnitude.square() * power[..., None, :]
    signal = received.diagonal(dim1=-2, dim2=-1)
    return torch.log2(1.0 + signal / (received.sum(-1) - signal + noise))


def fractional_power(magnitude: Tensor, exponent: float) -> Tensor:
    """Return powers in proportion to |h_kk|^(-2 exponent), the largest 1, real [..., K]; 0 gives all full power."""
    wish = magnitude.diagonal(dim1=-2, dim2=-1).clamp(min=1e-6) ** (-2.0 * exponent)
    return wish / wish.amax(-1, keepdim=True)


def wmmse_power(magnitude: Tensor, noise: float, iterations: int = 100) -> Tensor:
    """Return powers [..., K] of WMMSE for the sum rate, started from full power.

    Shi et al., IEEE TSP 2011, for one antenna (Sun et al., IEEE TSP 2018, algorithm 1), where the amplitudes v are
    bounded one by one: v_k = clip(w_k u_k h_kk / sum_j h_jk^2 u_j^2 w_j, 0, 1). The sum rate falls in no iteration.
    """
    direct, gain = magnitude.diagonal(dim1=-2, dim2=-1), magnitude.square()
    v = torch.ones_like(direct)
    for _ in range(iterations):
        u = direct * v / ((gain * v.square()[..., None, :]).sum(-1) + noise)
        w = 1.0 / (1.0 - u * direct * v)
        caused = (gain * (u.square() * w)[..., :, None]).sum(-2)
        v = (w * u * direct / caused.clamp(min=1e-12)).clamp(0.0, 1.0)
    return v.square()
