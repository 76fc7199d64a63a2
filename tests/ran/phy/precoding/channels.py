"""Channels that the tests of precoders share."""

from __future__ import annotations

import torch

from channel.seeding import stream_key


def rayleigh(*shape: int, seed: int, dtype: torch.dtype = torch.complex128) -> torch.Tensor:
    """Independent CN(0, 1) coefficients [..., num_streams, num_tx_ant]."""
    generator = torch.Generator().manual_seed(stream_key(seed, "precoding test"))
    return torch.randn(*shape, dtype=dtype, generator=generator)


def random_unitary(size: int, *, seed: int) -> torch.Tensor:
    """A random unitary matrix [size, size]."""
    return torch.linalg.qr(rayleigh(size, size, seed=seed)).Q
