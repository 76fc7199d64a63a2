"""ChannelSnapshot: what the air is during one coherence interval, and the only thing ``ran`` sees of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PathSet:
    """Propagation paths behind a snapshot's gains, for waveform work.

    Attributes:
        gain: complex path amplitudes, [batch, num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths].
        delay_s: path delays in seconds, [batch, num_rx, num_tx, num_paths].
    """

    gain: NDArray[np.complex64]
    delay_s: NDArray[np.float64]

    def frequency_response(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Return H(f) = sum_p a_p exp(-j 2 pi f tau_p) at baseband frequencies in Hz.

        Shape [batch, num_rx, num_rx_ant, num_tx, num_tx_ant, num_frequencies].
        """
        phase = np.exp(-2j * np.pi * self.delay_s[..., None] * frequency_hz)
        return np.einsum("brmtnp,brtpf->brmtnf", self.gain, phase).astype(np.complex64)


@dataclass(frozen=True)
class ChannelSnapshot:
    """The air during one coherence interval.

    Attributes:
        gain: complex amplitudes per link, antenna pair and subband, downlink order,
            [batch, num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands]; ``|gain|^2`` is received over
            transmitted power. The uplink is its transpose (TDD reciprocity).
        subband_frequency_hz: subband centres relative to the carrier in Hz, [num_subbands].
        ue_noise_psd_w_hz: thermal noise density k T F at a UE in W/Hz.
        gnb_noise_psd_w_hz: the same at a gNB.
        valid_from_s, valid_until_s: the half-open interval of virtual time in which this holds.
        ue_position_m: [batch, num_rx, 3].
        cell_position_m: [num_tx, 3].
        paths: the paths behind the gains where the model has them, else None.
    """

    gain: NDArray[np.complex64]
    subband_frequency_hz: NDArray[np.float64]
    ue_noise_psd_w_hz: float
    gnb_noise_psd_w_hz: float
    valid_from_s: float
    valid_until_s: float
    ue_position_m: NDArray[np.float64]
    cell_position_m: NDArray[np.float64]
    paths: PathSet | None = None

    def __post_init__(self) -> None:
        assert self.gain.ndim == 6, f"gain must have 6 axes, got shape {self.gain.shape}"
        assert self.gain.shape[-1] == len(self.subband_frequency_hz)
        assert self.valid_until_s > self.valid_from_s

    @cached_property
    def path_gain(self) -> NDArray[np.float64]:
        """Mean |h|^2 over antennas and subbands per link, [batch, num_rx, num_tx]."""
        power = self.gain.real**2 + self.gain.imag**2
        mean: NDArray[np.float64] = power.mean(axis=(2, 4, 5), dtype=np.float64)
        return mean

    @staticmethod
    def stack(snapshots: Sequence[ChannelSnapshot]) -> ChannelSnapshot:
        """Join snapshots of equal worlds at one time as replicas along the batch axis, without their paths."""
        first = snapshots[0]
        return ChannelSnapshot(
            gain=np.concatenate([s.gain for s in snapshots]),
            subband_frequency_hz=first.subband_frequency_hz,
            ue_noise_psd_w_hz=first.ue_noise_psd_w_hz,
            gnb_noise_psd_w_hz=first.gnb_noise_psd_w_hz,
            valid_from_s=first.valid_from_s,
            valid_until_s=first.valid_until_s,
            ue_position_m=np.concatenate([s.ue_position_m for s in snapshots]),
            cell_position_m=first.cell_position_m,
        )
