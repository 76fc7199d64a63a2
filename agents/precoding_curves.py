"""Spectral efficiency of precoders at one size, SNR and quality of channel estimates; points of curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

import agents.gnn.icgnn  # noqa: F401 - registers itself, also where AirTune is not installed
from agents.gnn.draws import rayleigh
from channel.seeding import stream
from channel.units import db_to_linear
from ran.phy.precoding import sum_rate
from ran.threads import torch_threads

if TYPE_CHECKING:
    from ran.phy.precoding import Precoder


def mean_rates(
    precoders: Mapping[str, Precoder],
    *,
    antennas: int,
    streams: int,
    snr_db: float,
    csi_error: float = 0.0,
    draws: int = 100,
    seed: int = 0,
) -> dict[str, float]:
    """Return the mean sum rate of each precoder over the same Rayleigh channels, bit/s/Hz.

    A precoder knows the MMSE estimate h_hat of h = h_hat + e, e ~ CN(0, ``csi_error``), which carries the part
    1 - csi_error of the channel's power; rates are log2(1 + SINR) with the true channels.

    Args:
        precoders: by label.
        antennas: M.
        streams: K.
        snr_db: transmit power over noise, of a channel coefficient of power 1.
        csi_error: variance of an estimate's error, 0 to below 1.
        draws: channels.
        seed: of the channels; equal sizes and draws give equal channels at any SNR and error.
    """
    rng = stream(seed, "precoding curves", antennas, streams, draws)
    known, error = (rayleigh(draws, streams, antennas, rng) for _ in range(2))
    known = (1.0 - csi_error) ** 0.5 * known
    h, power = known + csi_error**0.5 * error, float(db_to_linear(snr_db))
    with torch_threads(1), torch.no_grad():
        return {
            label: float(sum_rate(h, each.precode(known, 1.0, power), 1.0).mean()) for label, each in precoders.items()
        }
