"""From what the air carried to the rows of a round: every number is a sum of what slots really did."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.energy import receive_energy_j, transmit_energy_j
from ran.metrics.records import RoundRecord, UeRecord
from ran.transfer import empty_tally

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.federation import FederationState
    from ran.learning.hierarchy import Backhaul
    from ran.learning.learner import Evaluation
    from ran.learning.round import LocalTraining
    from ran.learning.uplink import Uplink
    from ran.network import NetworkState
    from ran.simulation import Simulation
    from ran.transfer import Delivery, Exchange


@dataclass(frozen=True)
class Trained:
    """What the training of a round came to.

    Attributes:
        updates: of every UE that was reached.
        vanished: UEs that trained but never reported.
        arrived: UEs whose update counted.
        evaluation: of the new global model.
        own_accuracy: of the participants' personal models on data like their own, by UE, where they have such.
        staleness: server steps that had passed since the updates that counted began, by UE; none passed where rounds
            are synchronous.
    """

    updates: Sequence[LocalTraining]
    vanished: Collection[int]
    arrived: Collection[int]
    evaluation: Evaluation
    own_accuracy: Mapping[int, float]
    staleness: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OnTheAir:
    """What a round took of the air, its protocol's messages included; fields as in ``Exchange``."""

    downlink: NDArray[Any]
    uplink: NDArray[Any]
    downlink_airtime_s: float
    uplink_airtime_s: float
    cell_active_s: float
    radiated_j: float

    @staticmethod
    def of(simulation: Simulation, down: Exchange, up: Uplink) -> OnTheAir:
        """Return the sum of all exchanges of a round; updates have the uplink to themselves."""
        downlink, uplink = [down, *up.protocol], [*up.exchanges, *up.protocol]
        everything = [down, *up.exchanges, *up.protocol]
        return OnTheAir(
            downlink=_added(simulation, [each.downlink for each in downlink]),
            uplink=_added(simulation, [each.uplink for each in uplink]),
            downlink_airtime_s=sum(each.downlink_airtime_s for each in downlink),
            uplink_airtime_s=sum(each.uplink_airtime_s for each in uplink),
            cell_active_s=sum(each.cell_active_s for each in everything),
            radiated_j=sum(each.radiated_j for each in downlink),
        )


def _added(simulation: Simulation, tallies: Sequence[NDArray[Any]]) -> NDArray[Any]:
    total = empty_tally(simulation.world.num_ues)
    for tally in tallies:
        for name in total.dtype.names or ():
            total[name] += tally[name]
    return total


def _ratio(numerator: float, denominator: float) -> float:
    """Return a quotient, NaN where there is nothing to divide by (no block sent, no resource used)."""
    return numerator / denominator if denominator else float("nan")


def resource_hz_s(simulation: Simulation, tally: NDArray[Any]) -> float:
    """Return the bandwidth times time used: PRBs times OFDM symbols on the air, control and pilots included."""
    plan = simulation.plan
    return float(tally["prb_symbols"].sum()) * plan.symbol_s * plan.prb_hz


def ue_records(
    simulation: Simulation,
    state: NetworkState,
    round_index: int,
    down: Exchange,
    trained: Trained,
    up: Uplink,
) -> list[UeRecord]:
    """Return one row per UE; NaN where it did not get that far."""
    world, symbol_s = simulation.world, simulation.plan.symbol_s
    air = OnTheAir.of(simulation, down, up)
    local = {item.ue: item for item in trained.updates}
    sent: dict[int, list[Delivery]] = {}
    for delivery in up.deliveries:
        sent.setdefault(delivery.ue, []).append(delivery)
    rows = []
    for received in down.deliveries:
        ue = received.ue
        mine, back = local.get(ue), sent.get(ue, [])
        position = world.geometry.ue_position_at(received.done_s)[ue]
        cell = int(state.serving_cell[0, ue])
        d, u = air.downlink[ue], air.uplink[ue]
        fresh = 0.0 if ue in trained.arrived else float("nan")
        rows.append(
            UeRecord(
                round=round_index,
                ue=ue,
                cell=cell,
                num_samples=mine.update.num_samples if mine else 0,
                staleness=trained.staleness.get(ue, fresh),
                train_loss=mine.update.train_loss if mine else float("nan"),
                own_accuracy=trained.own_accuracy.get(ue, float("nan")),
                downlink_payload_bytes=_size(received),
                uplink_payload_bytes=sum(_size(each) for each in back),
                downlink_parity_bytes=received.parity_bytes,
                uplink_parity_bytes=sum(each.parity_bytes for each in back),
                downlink_lost_bytes=received.lost_bytes,
                uplink_lost_bytes=sum(each.lost_bytes for each in back),
                downlink_recovered_bytes=received.recovered_bytes,
                uplink_recovered_bytes=sum(each.recovered_bytes for each in back),
                downlink_done_s=received.done_s,
                compute_done_s=mine.done_s if mine else float("nan"),
                uplink_done_s=back[-1].done_s if back else float("nan"),
                downlink_sinr_db=_ratio(float(d["sinr_db_sum"]), float(d["blocks"])),
                uplink_sinr_db=_ratio(float(u["sinr_db_sum"]), float(u["blocks"])),
                downlink_mcs=_ratio(float(d["mcs_sum"]), float(d["blocks"])),
                uplink_mcs=_ratio(float(u["mcs_sum"]), float(u["blocks"])),
                downlink_bler=_ratio(float(d["first_errors"]), float(d["blocks"])),
                uplink_bler=_ratio(float(u["first_errors"]), float(u["blocks"])),
                transmit_energy_j=transmit_energy_j(
                    world.devices[ue], float(u["active_symbols"]) * symbol_s, float(u["radiated_w_symbols"]) * symbol_s
                ),
                receive_energy_j=receive_energy_j(world.devices[ue], float(d["active_symbols"]) * symbol_s),
                compute_energy_j=mine.energy_j if mine else 0.0,
                x_m=float(position[0]),
                y_m=float(position[1]),
                distance_m=float(np.linalg.norm(position - world.geometry.cell_position_m[cell])),
                downlink_airtime_s=float(d["active_symbols"]) * symbol_s,
                uplink_airtime_s=float(u["active_symbols"]) * symbol_s,
                flops=sum(item.update.flops for item in trained.updates if item.ue == ue),
            )
        )
    return rows


def _size(delivery: Delivery) -> int:
    return len(delivery.payload) if delivery.payload is not None else 0


def round_record(
    simulation: Simulation,
    state: FederationState,
    radio_s: tuple[float, float],
    ues: Sequence[UeRecord],
    trained: Trained,
    down: Exchange,
    uplink: Uplink,
    backhaul: Backhaul,
    epsilon: float,
) -> RoundRecord:
    """Return the row of the round that ``state`` has just concluded, given when its radio part began and ended.

    ``epsilon`` is what client-level privacy has cost so far, NaN without it.
    """
    start_s, end_s = radio_s
    evaluation, own = trained.evaluation, list(trained.own_accuracy.values())
    air = OnTheAir.of(simulation, down, uplink)
    d, u = air.downlink, air.uplink
    samples = sum(item.update.num_samples for item in trained.updates)
    loss = sum(item.update.num_samples * item.update.train_loss for item in trained.updates)
    down_payload = sum(row.downlink_payload_bytes for row in ues)
    up_payload = sum(row.uplink_payload_bytes for row in ues)
    compute_done_s = max((item.done_s for item in trained.updates), default=down.end_s)
    down_used_hz_s, up_used_hz_s = resource_hz_s(simulation, d), resource_hz_s(simulation, u)
    return RoundRecord(
        round=state.round,
        start_s=start_s,
        end_s=state.clock_s,
        downlink_s=down.end_s - start_s,
        compute_s=max(0.0, compute_done_s - down.end_s),
        uplink_s=max(0.0, end_s - max(compute_done_s, down.end_s)),
        participants=len(trained.arrived),
        vanished=len(trained.vanished),
        staleness=_ratio(sum(row.staleness for row in ues if row.ue in trained.arrived), len(set(trained.arrived))),
        train_loss=_ratio(loss, samples),
        test_loss=evaluation.loss,
        test_accuracy=evaluation.accuracy,
        test_perplexity=evaluation.perplexity,
        own_accuracy=_ratio(sum(own), len(own)),
        downlink_payload_bytes=down_payload,
        uplink_payload_bytes=up_payload,
        downlink_parity_bytes=sum(row.downlink_parity_bytes for row in ues),
        uplink_parity_bytes=sum(row.uplink_parity_bytes for row in ues),
        downlink_lost_bytes=sum(row.downlink_lost_bytes for row in ues),
        uplink_lost_bytes=sum(row.uplink_lost_bytes for row in ues),
        downlink_recovered_bytes=sum(row.downlink_recovered_bytes for row in ues),
        uplink_recovered_bytes=sum(row.uplink_recovered_bytes for row in ues),
        backhaul_downlink_bytes=backhaul.downlink_bytes,
        backhaul_uplink_bytes=backhaul.uplink_bytes,
        downlink_air_bits=int(d["air_bits"].sum()),
        uplink_air_bits=int(u["air_bits"].sum()),
        downlink_airtime_s=air.downlink_airtime_s,
        uplink_airtime_s=air.uplink_airtime_s,
        downlink_prb_slots=int(d["prb_slots"].sum()),
        uplink_prb_slots=int(u["prb_slots"].sum()),
        downlink_resource_hz_s=down_used_hz_s,
        uplink_resource_hz_s=up_used_hz_s,
        downlink_se_bit_s_hz=_ratio(8.0 * down_payload, down_used_hz_s),
        uplink_se_bit_s_hz=_ratio(8.0 * up_payload, up_used_hz_s),
        aggregated_values=uplink.num_values,
        aggregated_values_s_hz=_ratio(uplink.num_values, up_used_hz_s),
        aggregate_nmse=uplink.nmse,
        damaged_sums=len(uplink.suspects),
        quarantined=len(uplink.reception.quarantined),
        epsilon=epsilon,
        uplink_control_bits=uplink.control_bits,
        uplink_pilot_symbols=uplink.pilot_symbols,
        downlink_blocks=int(d["blocks"].sum()),
        uplink_blocks=int(u["blocks"].sum()),
        downlink_bler=_ratio(float(d["first_errors"].sum()), float(d["blocks"].sum())),
        uplink_bler=_ratio(float(u["first_errors"].sum()), float(u["blocks"].sum())),
        harq_retransmissions=int((d["attempts"] - d["blocks"]).sum() + (u["attempts"] - u["blocks"]).sum()),
        rlc_retransmitted_bytes=int(d["rlc_bytes"].sum() + u["rlc_bytes"].sum()),
        ue_transmit_energy_j=sum(row.transmit_energy_j for row in ues),
        ue_receive_energy_j=sum(row.receive_energy_j for row in ues),
        ue_compute_energy_j=sum(row.compute_energy_j for row in ues),
        gnb_energy_j=float(simulation.world.gnb_power.energy_j(air.cell_active_s, air.radiated_j)),
        ue_flops=sum(row.flops for row in ues),
    )
