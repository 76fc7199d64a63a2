"""The rows that a split run writes besides: one per batch, and one per thing done for it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchRecord:
    """One row of ``batches.parquet``: one batch of one UE, from the UE's processor back to it."""

    round: int
    ue: int
    batch: int
    num_samples: int
    is_back: bool
    train_loss: float
    start_s: float
    end_s: float
    downlink_payload_bytes: int
    uplink_payload_bytes: int
    downlink_value_bytes: int
    uplink_value_bytes: int
    backhaul_downlink_bytes: int
    backhaul_uplink_bytes: int
    ue_compute_s: float
    uplink_s: float
    server_compute_s: float
    backhaul_s: float
    downlink_s: float
    waiting_s: float
    ue_staleness: int
    server_staleness: int


@dataclass(frozen=True)
class ActivityRecord:
    """One row of ``timeline.parquet``: what was done where, for which UE and batch, from when to when."""

    round: int
    ue: int
    batch: int
    place: str
    activity: str
    start_s: float
    end_s: float
    payload_bytes: int
    value_bytes: int
