"""Channels for training precoders out of recordings: of ray tracing, of any other scenario, or of measurements."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.gnn.draws import BANDWIDTH_HZ, NOISE_FIGURE_DB
from channel.recording import Recording
from channel.units import db_to_linear, thermal_noise_w

_REACH_DB = 20.0


def recorded(draws: int, streams: int, antennas: int, rng: np.random.Generator, *, files: tuple[str, ...]) -> Tensor:
    """Return channels of recorded UEs to one cell, over the root of noise, complex64 [draws, K, M].

    A draw takes a file, an interval, a cell and a subband, and any UEs that hear the cell at most 20 dB weaker than
    their best one; where they are fewer than ``streams`` the other rows are zero: no stream. Every UE counts with its
    first antenna. The power of noise in 20 MHz is 1, as for ``agents.gnn.draws.umi``.

    Args:
        draws: how many.
        streams: K.
        antennas: M, any of those recorded, at most ``most_antennas(files)``.
        rng: of all that.
        files: that `airtune record` wrote, or as ``channel.recording`` lays them out.

    Raises:
        UserError: a file is missing or no recording.
    """
    h = np.zeros((draws, streams, antennas), np.complex64)
    pool = [_links(file) for file in files]
    for draw, number in enumerate(rng.integers(0, len(files), draws)):
        gain, heard = pool[number]
        interval, cell = rng.integers(len(gain)), rng.integers(gain.shape[2])
        ues = rng.permutation(np.flatnonzero(heard[interval, :, cell]))[:streams]
        chosen = np.sort(rng.permutation(gain.shape[3])[:antennas])
        h[draw, : len(ues)] = gain[interval, ues, cell][:, chosen, rng.integers(gain.shape[4])]
    return torch.from_numpy(h)


def most_antennas(files: tuple[str, ...]) -> int:
    """Return the antennas of the recorded cell that has fewest."""
    return min(_links(file)[0].shape[3] for file in files)


@lru_cache(maxsize=8)
def _links(file: str) -> tuple[NDArray[np.complex64], NDArray[np.bool_]]:
    """Return gains over the root of noise [T, num_ues, num_cells, num_tx_ant, num_subbands], and who hears which cell.

    bool [T, num_ues, num_cells].
    """
    recording = Recording.open(file)
    gain = recording.file["gain"][:, :, 0].astype(np.complex64)
    recording.file.close()
    gain /= np.float32(math.sqrt(thermal_noise_w(BANDWIDTH_HZ, NOISE_FIGURE_DB)))
    strength = np.square(np.abs(gain, dtype=np.float64)).mean(axis=(3, 4))
    heard = (strength > 0) & (strength >= strength.max(axis=2, keepdims=True) * db_to_linear(-_REACH_DB))
    return gain, heard
