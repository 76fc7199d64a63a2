"""RunSummary: a run in a few honest numbers, computed from its rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ran.metrics.records import RoundRecord, UeRecord


@dataclass(frozen=True)
class RunSummary:
    """The content of ``summary.json``. Times are virtual; totals run over all rounds, energies over all UEs.

    Attributes:
        own_accuracy: of the UEs' personal models, each when it last took part, on test data in its own mix of classes;
            NaN where the algorithm makes none.
        mean_staleness: server steps from the model that an update was made from to its merging, mean over all updates;
            of asynchronous split learning, cycles that the furthest UE side was ahead.
        accuracy_ratio_to_central: final over central accuracy; NaN (null in the file) where central was skipped.
        time_to_90_percent_s: when test accuracy first reached 90 % of the final one (0 if untrained it already had).
        downlink_se_bit_s_hz: delivered payload bits over bandwidth times time of the resource blocks used, all rounds.
        downlink_bler: errors over first transmissions, all rounds.
        quarantined: updates that were set aside, all rounds.
        epsilon: what client-level differential privacy cost at the scenario's delta; NaN without it.
        energy_per_ue_j: transmit, receive and compute energy of the mean UE.
        energy_worst_ue_j: the same of the UE that spent most.
        ue_flops: FLOPs of training, all UEs and rounds.
        ue_memory_peak_bytes: of a cut model, what the UE that held most held at a time; else 0.
        gnb_utilisation, cloud_utilisation: of a cut model, share of the virtual time in which they computed; else NaN.
        probe_normalised_mse: of the privacy probe, as the other fields of this name, where smashed data told most, of
            all evaluations; NaN without it.
    """

    name: str
    seed: int
    rounds: int
    ues: int
    zero_shot_accuracy: float
    final_accuracy: float
    best_accuracy: float
    best_round: int
    central_accuracy: float
    accuracy_ratio_to_central: float
    final_test_loss: float
    final_test_perplexity: float
    central_test_loss: float
    own_accuracy: float
    mean_staleness: float
    virtual_time_s: float
    time_to_90_percent_s: float
    downlink_s: float
    compute_s: float
    uplink_s: float
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
    downlink_se_bit_s_hz: float
    uplink_se_bit_s_hz: float
    downlink_bler: float
    uplink_bler: float
    harq_retransmissions: int
    rlc_retransmitted_bytes: int
    quarantined: int
    epsilon: float
    ue_transmit_energy_j: float
    ue_receive_energy_j: float
    ue_compute_energy_j: float
    energy_per_ue_j: float
    energy_worst_ue_j: float
    gnb_energy_j: float
    ue_flops: float
    ue_memory_peak_bytes: int
    gnb_utilisation: float
    cloud_utilisation: float
    probe_normalised_mse: float
    probe_psnr_db: float
    probe_ssim: float
    probe_mean_ssim: float
    probe_token_accuracy: float


# Columns of RoundRecord that a summary adds up under the same name.
TOTALS = (
    "downlink_s", "compute_s", "uplink_s",
    "downlink_payload_bytes", "uplink_payload_bytes", "downlink_air_bits", "uplink_air_bits",
    "downlink_parity_bytes", "uplink_parity_bytes", "downlink_lost_bytes", "uplink_lost_bytes",
    "downlink_recovered_bytes", "uplink_recovered_bytes",
    "backhaul_downlink_bytes", "backhaul_uplink_bytes",
    "downlink_airtime_s", "uplink_airtime_s", "downlink_prb_slots", "uplink_prb_slots",
    "harq_retransmissions", "rlc_retransmitted_bytes", "quarantined",
    "ue_transmit_energy_j", "ue_receive_energy_j", "ue_compute_energy_j", "gnb_energy_j",
    "ue_flops",
)  # fmt: skip


def summarise(
    rounds: Sequence[RoundRecord],
    ues: Sequence[UeRecord],
    *,
    name: str,
    seed: int,
    num_ues: int,
    zero_shot_accuracy: float,
    central_accuracy: float = math.nan,
    central_test_loss: float = math.nan,
) -> RunSummary:
    """Return the summary of a run, also of one with no round yet (its accuracy is then the untrained model's).

    Args:
        rounds: rows of ``rounds.parquet`` in order.
        ues: rows of ``ues.parquet``.
        name: name of the scenario.
        seed: its seed.
        num_ues: UEs of the scenario, whether they took part or not.
        zero_shot_accuracy: accuracy of the base model before any training.
        central_accuracy: accuracy of the same fine-tuning in one place; NaN where it was not done.
        central_test_loss: its loss.
    """
    totals: dict[str, Any] = {column: sum(getattr(row, column) for row in rounds) for column in TOTALS}
    ue_energy_j = _energy_by_ue(ues)
    return RunSummary(
        name=name,
        seed=seed,
        rounds=len(rounds),
        ues=num_ues,
        **_learnt(rounds, zero_shot_accuracy, central_accuracy),
        central_test_loss=central_test_loss,
        own_accuracy=_last_own_accuracy(ues),
        mean_staleness=_pooled(rounds, "staleness", "participants"),
        virtual_time_s=rounds[-1].end_s if rounds else 0.0,
        downlink_se_bit_s_hz=_pooled(rounds, "downlink_se_bit_s_hz", "downlink_resource_hz_s"),
        uplink_se_bit_s_hz=_pooled(rounds, "uplink_se_bit_s_hz", "uplink_resource_hz_s"),
        downlink_bler=_pooled(rounds, "downlink_bler", "downlink_blocks"),
        uplink_bler=_pooled(rounds, "uplink_bler", "uplink_blocks"),
        epsilon=rounds[-1].epsilon if rounds else math.nan,
        energy_per_ue_j=sum(ue_energy_j.values()) / num_ues,
        energy_worst_ue_j=max(ue_energy_j.values(), default=0.0),
        ue_memory_peak_bytes=max((row.ue_memory_peak_bytes for row in rounds), default=0),
        gnb_utilisation=_over_time(rounds, "gnb_utilisation"),
        cloud_utilisation=_over_time(rounds, "cloud_utilisation"),
        **_leaked(rounds),
        **totals,
    )


def _learnt(rounds: Sequence[RoundRecord], zero_shot_accuracy: float, central_accuracy: float) -> dict[str, Any]:
    accuracy = [zero_shot_accuracy, *(row.test_accuracy for row in rounds)]
    best = max(range(1, len(accuracy)), key=accuracy.__getitem__, default=0)
    return {
        "zero_shot_accuracy": zero_shot_accuracy,
        "final_accuracy": accuracy[-1],
        "best_accuracy": accuracy[best],
        "best_round": rounds[best - 1].round if rounds else 0,
        "central_accuracy": central_accuracy,
        "accuracy_ratio_to_central": accuracy[-1] / central_accuracy if central_accuracy > 0 else math.nan,
        "final_test_loss": rounds[-1].test_loss if rounds else math.nan,
        "final_test_perplexity": rounds[-1].test_perplexity if rounds else math.nan,
        "time_to_90_percent_s": _time_to(0.9 * accuracy[-1], rounds, zero_shot_accuracy),
    }


def _over_time(rounds: Sequence[RoundRecord], column: str) -> float:
    """Return the mean of a share of time, NaN where it is that of nothing."""
    spent = [(row.end_s - row.start_s, getattr(row, column)) for row in rounds if math.isfinite(getattr(row, column))]
    total_s = sum(time_s for time_s, _ in spent)
    return sum(time_s * share for time_s, share in spent) / total_s if total_s else math.nan


def _leaked(rounds: Sequence[RoundRecord]) -> dict[str, Any]:
    """Return what the privacy probe found in the round in which smashed data told most."""
    probed = [row for row in rounds if math.isfinite(row.probe_normalised_mse)]
    worst = min(probed, key=lambda row: row.probe_normalised_mse, default=None)
    names = ("normalised_mse", "psnr_db", "ssim", "mean_ssim", "token_accuracy")
    return {f"probe_{name}": getattr(worst, f"probe_{name}") if worst else math.nan for name in names}


def _last_own_accuracy(ues: Sequence[UeRecord]) -> float:
    last = {row.ue: row.own_accuracy for row in ues if math.isfinite(row.own_accuracy)}
    return sum(last.values()) / len(last) if last else math.nan


def _energy_by_ue(ues: Sequence[UeRecord]) -> dict[int, float]:
    energy_j: dict[int, float] = {}
    for row in ues:
        spent_j = row.transmit_energy_j + row.receive_energy_j + row.compute_energy_j
        energy_j[row.ue] = energy_j.get(row.ue, 0.0) + spent_j
    return energy_j


def _time_to(accuracy: float, rounds: Sequence[RoundRecord], zero_shot_accuracy: float) -> float:
    if zero_shot_accuracy >= accuracy:
        return 0.0
    return next((row.end_s for row in rounds if row.test_accuracy >= accuracy), math.nan)


def _pooled(rounds: Sequence[RoundRecord], column: str, weight: str) -> float:
    """Return the mean of a ratio weighted by the resource it was measured on, NaN where none was used."""
    used = [(getattr(row, column), getattr(row, weight)) for row in rounds if getattr(row, weight) > 0]
    total = sum(weight for _, weight in used)
    return sum(value * weight for value, weight in used) / total if total else math.nan
