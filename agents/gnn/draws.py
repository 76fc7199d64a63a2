"""Channels for training and testing precoders: Rayleigh fading, and cells of TR 38.901."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from channel.antenna import AntennaArray
from channel.geometry import Geometry
from channel.seeding import stream
from channel.tr38901 import Tr38901
from channel.units import thermal_noise_w

CARRIER_HZ, BANDWIDTH_HZ, NOISE_FIGURE_DB = 3.5e9, 20e6, 9.0
_RADIUS_M, _CELL_HEIGHT_M, _UE_HEIGHT_M = 150.0, 10.0, 1.5
_NUM_UES, _NUM_SUBBANDS = 64, 4


def rayleigh(draws: int, streams: int, antennas: int, rng: np.random.Generator) -> Tensor:
    """Return independent CN(0, 1) coefficients, complex64 [draws, streams K, antennas M]."""
    parts = rng.standard_normal((draws, streams, antennas, 2), np.float32) * np.float32(math.sqrt(0.5))
    return torch.view_as_complex(torch.from_numpy(parts))


def umi(
    draws: int, streams: int, antennas: int, rng: np.random.Generator, *, worlds: int = 32, seed: int = 0
) -> Tensor:
    """Return channels of random UEs and subbands in street canyons, over the root of noise, complex64 [draws, K, M].

    The power of noise in 20 MHz is 1 then, so that the transmit power in watt is ``power_w`` of a precoder. A world is
    one sector with 64 UEs between 10 and 150 m away; ``worlds`` of them, of seeds from ``seed`` on, are drawn once.
    """
    pool = [_umi_world(seed + world, antennas) for world in range(worlds)]  # each [num_ues, num_tx_ant, num_subbands]
    h = np.empty((draws, streams, antennas), np.complex64)
    for draw, world in enumerate(rng.integers(0, worlds, draws)):
        ues = rng.permutation(_NUM_UES)[:streams]
        h[draw] = pool[world][ues, :, rng.integers(0, _NUM_SUBBANDS)]
    return torch.from_numpy(h)


@lru_cache(maxsize=1024)
def _umi_world(seed: int, antennas: int) -> NDArray[np.complex64]:
    """Return the channels of one world over the root of noise, [num_ues, num_tx_ant, num_subbands]."""
    columns = 2 ** math.ceil(math.log2(antennas / 2) / 2) if antennas > 1 else 1
    rows = math.ceil(antennas / 2 / columns)
    rng = stream(seed, "umi draws")
    radius = np.sqrt(rng.uniform(10.0**2, _RADIUS_M**2, _NUM_UES))
    azimuth = rng.uniform(-math.pi / 3, math.pi / 3, _NUM_UES)
    ues = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), np.full(_NUM_UES, _UE_HEIGHT_M)], -1)
    psd = thermal_noise_w(1.0, NOISE_FIGURE_DB)
    geometry = Geometry(
        carrier_hz=CARRIER_HZ,
        subband_frequency_hz=(np.arange(_NUM_SUBBANDS) - (_NUM_SUBBANDS - 1) / 2) * BANDWIDTH_HZ / _NUM_SUBBANDS,
        cell_position_m=np.array([[0.0, 0.0, _CELL_HEIGHT_M]]),
        cell_azimuth_rad=np.zeros(1),
        cell_downtilt_rad=math.radians(6.0),
        cell_array=AntennaArray(rows=rows, columns=columns, polarization="dual"),
        ue_position_m=ues,
        ue_velocity_m_s=np.zeros((_NUM_UES, 3)),
        ue_noise_psd_w_hz=psd,
        gnb_noise_psd_w_hz=psd,
    )
    channel = Tr38901(scenario="umi")
    gain = channel.start(geometry, seed).gain(geometry, 0.0)  # [1, num_ues, 1, 1, num_tx_ant, num_subbands]
    return np.ascontiguousarray(gain[0, :, 0, 0, :antennas]) / np.float32(math.sqrt(psd * BANDWIDTH_HZ))
