"""The rows that a run writes: one per round, one per UE and round. Units are in the names."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class RoundRecord:
    """One row of ``rounds.parquet``. All times are virtual seconds since the start of the run."""

    round: int
    start_s: float
    end_s: float
    downlink_s: float
    compute_s: float
    uplink_s: float
    participants: int
    vanished: int
    staleness: float
    train_loss: float
    test_loss: float
    test_accuracy: float
    test_perplexity: float
    own_accuracy: float
    downlink_payload_bytes: int
    uplink_payload_bytes: int
    downlink_parity_bytes: int
    uplink_parity_bytes: int
    downlink_lost_bytes: int
    uplink_lost_bytes: int
    downlink_recovered_bytes: int
    uplink_recovered_bytes: int
    backhaul_downlink_bytes: int
    backhaul_uplink_bytes: int
    downlink_air_bits: int
    uplink_air_bits: int
    downlink_airtime_s: float
    uplink_airtime_s: float
    downlink_prb_slots: int
    uplink_prb_slots: int
    downlink_resource_hz_s: float
    uplink_resource_hz_s: float
    downlink_se_bit_s_hz: float
    uplink_se_bit_s_hz: float
    aggregated_values: int
    aggregated_values_s_hz: float
    aggregate_nmse: float
    damaged_sums: int
    quarantined: int
    epsilon: float
    uplink_control_bits: int
    uplink_pilot_symbols: int
    downlink_blocks: int
    uplink_blocks: int
    downlink_bler: float
    uplink_bler: float
    harq_retransmissions: int
    rlc_retransmitted_bytes: int
    ue_transmit_energy_j: float
    ue_receive_energy_j: float
    ue_compute_energy_j: float
    gnb_energy_j: float
    ue_flops: float = 0.0
    ue_memory_peak_bytes: int = 0
    gnb_utilisation: float = math.nan
    cloud_utilisation: float = math.nan
    probe_normalised_mse: float = math.nan
    probe_psnr_db: float = math.nan
    probe_ssim: float = math.nan
    probe_mean_ssim: float = math.nan
    probe_token_accuracy: float = math.nan
    probe_samples: int = 0


@dataclass(frozen=True)
class UeRecord:
    """One row of ``ues.parquet``: one UE in one round."""

    round: int
    ue: int
    cell: int
    num_samples: int
    staleness: float
    train_loss: float
    own_accuracy: float
    downlink_payload_bytes: int
    uplink_payload_bytes: int
    downlink_parity_bytes: int
    uplink_parity_bytes: int
    downlink_lost_bytes: int
    uplink_lost_bytes: int
    downlink_recovered_bytes: int
    uplink_recovered_bytes: int
    downlink_done_s: float
    compute_done_s: float
    uplink_done_s: float
    downlink_sinr_db: float
    uplink_sinr_db: float
    downlink_mcs: float
    uplink_mcs: float
    downlink_bler: float
    uplink_bler: float
    transmit_energy_j: float
    receive_energy_j: float
    compute_energy_j: float
    x_m: float
    y_m: float
    distance_m: float
    predicted_s: float = float("nan")
    took_s: float = float("nan")
    downlink_airtime_s: float = 0.0
    uplink_airtime_s: float = 0.0
    flops: float = 0.0
    memory_peak_bytes: int = 0
