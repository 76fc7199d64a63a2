"""Downlink of cell-free massive MIMO with conjugate beamforming: what a power allocation gives to whom."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agents.gnn.draws import BANDWIDTH_HZ, CARRIER_HZ, NOISE_FIGURE_DB
from channel.geometry import nearest_image
from channel.units import thermal_noise_w

if TYPE_CHECKING:
    from channel.tr38901_tables import Tables

COHERENCE_SAMPLES = 200
AP_POWER_W, PILOT_POWER_W = 0.2, 0.1
_SIDE_M = 1000.0
_AP_HEIGHT_M, _UE_HEIGHT_M, _NEAREST_M = 10.0, 1.5, 10.0


@dataclass(frozen=True)
class CellFree:
    """A batch of drops, M APs and K users.

    An AP m of N_m antennas shares its power rho among the users it serves, p_mk = N_m eta_mk gamma_mk being the parts
    and a_mk their roots. With orthogonal pilots and i.i.d. Rayleigh fading (Ngo et al., arXiv 1702.07601, theorem 1;
    for one antenna arXiv 1602.08232), and with noise of power 1,

        SINR_k = (sum_m s_mk a_mk)^2 / (1 + sum_m b_mk sum_j a_mj^2),    sum_k a_mk^2 <= 1,
        s_mk = sqrt(rho N_m gamma_mk),  b_mk = rho beta_mk,  gamma_mk = K rho_p beta_mk^2 / (K rho_p beta_mk + 1),

    beta being path gains over noise and K the length of the pilots. APs and users that are not there have zeros only.
    It does not model pilots used twice.

    Attributes:
        signal: s, zero where an AP does not serve a user, real [..., M, K].
        gain: b, also of users that an AP does not serve, real [..., M, K].
        present: whether there is a user, bool [..., K].
    """

    signal: Tensor
    gain: Tensor
    present: Tensor

    def sinr(self, amplitude: Tensor) -> Tensor:
        """Return the SINRs of amplitudes a [..., M, K], real [..., K]."""
        received = (self.signal * amplitude).sum(-2).square()
        return received / (1.0 + (self.gain * amplitude.square().sum(-1, keepdim=True)).sum(-2))

    def spectral_efficiency(self, amplitude: Tensor) -> Tensor:
        """Return (1 - K / 200) log2(1 + SINR), the pilots paid for, bit/s/Hz, real [..., K]."""
        pilots = self.present.sum(-1, keepdim=True).to(amplitude.dtype)
        return (1.0 - pilots / COHERENCE_SAMPLES) * torch.log2(1.0 + self.sinr(amplitude))

    def within_power(self, amplitude: Tensor) -> Tensor:
        """Return the amplitudes [..., M, K], those of an AP scaled down where it has not the power."""
        return amplitude / torch.linalg.vector_norm(amplitude, dim=-1, keepdim=True).clamp(min=1.0)

    def equal(self) -> Tensor:
        """Return amplitudes [..., M, K] by which every AP sends with full power, the same to each of its users."""
        return self.fractional(0.0)

    def fractional(self, exponent: float) -> Tensor:
        """Return amplitudes [..., M, K] with full power and a^2 in proportion to gamma^exponent (s^2 at an AP).

        1/2 is usual in cell-free networks (Demir, Bjornson & Sanguinetti 2021, equation 6.36).
        """
        weight = torch.where(self.signal > 0, self.signal.clamp(min=1e-30) ** exponent, 0.0)
        return weight / torch.linalg.vector_norm(weight, dim=-1, keepdim=True).clamp(min=1e-30)

    def to(self, dtype: torch.dtype) -> CellFree:
        """Return the same in another precision."""
        return CellFree(self.signal.to(dtype), self.gain.to(dtype), self.present)


def drops(
    count: int,
    aps: int,
    users: int,
    rng: np.random.Generator,
    *,
    propagation: Literal["umi", "three_slope"] = "umi",
    antennas: tuple[int, ...] = (1, 2, 4),
    uncovered: tuple[float, float] = (1e-4, 1e-1),
) -> CellFree:
    """Return drops of APs and users over a square of 1 km that repeats itself, float32.

    Every AP gets one of the numbers of ``antennas``. A user is served by the fewest APs that together have all but a
    part of its path gain (arXiv 1702.07601, section V: all but 0.05), drawn for every drop: from one AP to most.

    Args:
        count: number of drops.
        aps: APs in each.
        users: users in each, at most 199.
        rng: of all draws.
        propagation: TR 38.901 UMi at 3.5 GHz, line of sight and shadowing drawn for every link by itself; or the
            three slopes of arXiv 1602.08232, section VI, at 1.9 GHz, with uncorrelated shadowing.
        antennas: numbers of antennas.
        uncovered: range of the part, log-uniform.
    """
    ap_m, ue_m = (rng.uniform(0.0, _SIDE_M, (count, number, 2)) for number in (aps, users))
    offset_m = nearest_image(ap_m[:, :, None] - ue_m[:, None], _SIDE_M * np.eye(2))
    distance_m = np.linalg.norm(offset_m, axis=-1)
    gain_db = _umi_db(distance_m, rng) if propagation == "umi" else _three_slope_db(distance_m, rng)
    beta = 10 ** (gain_db / 10) / thermal_noise_w(BANDWIDTH_HZ, NOISE_FIGURE_DB)  # [count, M, K]
    order = np.argsort(-beta, axis=1)
    ranked = np.take_along_axis(beta, order, 1)
    part = (np.cumsum(ranked, 1) - ranked) / ranked.sum(1, keepdims=True)  # of the APs that are better
    served = np.empty(beta.shape, bool)
    left = np.exp(rng.uniform(np.log(uncovered[0]), np.log(uncovered[1]), (count, 1, 1)))
    np.put_along_axis(served, order, part < 1.0 - left, 1)
    pilot = users * PILOT_POWER_W * beta
    number = rng.choice(antennas, (count, aps, 1))
    signal = np.sqrt(AP_POWER_W * number * beta * pilot / (pilot + 1)) * served
    return CellFree(
        torch.from_numpy(signal).float(), torch.from_numpy(AP_POWER_W * beta).float(),
        torch.ones(count, users, dtype=torch.bool),
    )  # fmt: skip


def _umi_db(distance_m: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return path gains with shadowing, dB, of horizontal distances, which count as 10 m below that."""
    tables, away_m = _umi_tables(), np.maximum(distance_m, _NEAREST_M)
    only = np.zeros(away_m.shape, np.int64)  # one pair of heights, outdoors
    blocked = (rng.random(away_m.shape) > tables.line_of_sight(only, away_m)).astype(np.int64)[..., None]
    deviation_db = 10.0 * tables.moments(only, only, away_m, 1)[1][..., 0]
    gain_db = deviation_db * rng.standard_normal((*away_m.shape, 1)) - tables.path_loss_db(only, only, away_m)
    return np.take_along_axis(gain_db, blocked, -1)[..., 0]


@lru_cache(maxsize=1)
def _umi_tables() -> Tables:
    from channel.tr38901 import Tr38901
    from channel.tr38901_tables import read_tables

    return read_tables(Tr38901(scenario="umi"), CARRIER_HZ, np.array([[_AP_HEIGHT_M, _UE_HEIGHT_M]]))


def _three_slope_db(distance_m: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return path gains with shadowing of 8 dB beyond 50 m, dB; COST 231 Hata for 15 m and 1.65 m at 1.9 GHz."""
    frequency = np.log10(1900.0)
    loss_db = 46.3 + 33.9 * frequency - 13.82 * np.log10(15.0) - (1.1 * frequency - 0.7) * 1.65 + 1.56 * frequency - 0.8
    far, near = np.log10(np.maximum(distance_m, 50.0) / 1e3), np.log10(np.clip(distance_m, 10.0, 50.0) / 50.0)
    return -loss_db - 35.0 * far - 20.0 * near + 8.0 * (distance_m > 50.0) * rng.standard_normal(distance_m.shape)
