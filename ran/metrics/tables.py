"""Rows to Parquet and back: typed by the record's fields, every column described, equal rows to equal bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar, get_type_hints

from channel.errors import UserError
from ran.metrics.files import of_round, replacing

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

R = TypeVar("R")

DESCRIPTIONS = {
    "round": "round, counted from 1",
    "ue": "index of the UE, from 0",
    "cell": "index of the serving cell, from 0",
    "start_s": "virtual time when the round began",
    "end_s": "virtual time when the round ended",
    "downlink_s": "virtual time until the last UE had the model; without rounds, the step's duration is split "
    "into this, compute_s and uplink_s as the time of all UEs at work was",
    "compute_s": "virtual time from then until the last UE had trained; others may be sending already",
    "uplink_s": "virtual time from then until the last update had arrived",
    "participants": "UEs that took part; without rounds, updates that were merged",
    "vanished": "UEs that trained but left, or dropped out, before they reported",
    "staleness": "server steps between the model that an update was made from and its merging, mean over updates; "
    "asynchronous split learning: cycles that the furthest UE side was ahead",
    "num_samples": "training samples of the UE",
    "train_loss": "mean training loss",
    "test_loss": "loss of the aggregated model on the test set",
    "test_accuracy": "accuracy of the aggregated model on the test set, 0 to 1",
    "test_perplexity": "exp(test_loss): how many equally likely answers would be as much in doubt",
    "own_accuracy": "accuracy of the participants' personal models on test data in their own mix of classes, 0 to 1",
    "backhaul_downlink_bytes": "bytes of model sent from the cloud to the gNBs",
    "backhaul_uplink_bytes": "bytes of models sent from the gNBs to the cloud",
    "downlink_payload_bytes": "bytes of model delivered to UEs",
    "uplink_payload_bytes": "bytes of updates delivered to the gNB",
    "downlink_parity_bytes": "bytes of an erasure code delivered beside the payload",
    "uplink_parity_bytes": "bytes of an erasure code delivered beside the payload",
    "downlink_lost_bytes": "payload bytes that RLC UM lost",
    "uplink_lost_bytes": "payload bytes that RLC UM lost",
    "downlink_recovered_bytes": "lost payload bytes that an erasure code restored",
    "uplink_recovered_bytes": "lost payload bytes that an erasure code restored",
    "downlink_air_bits": "transport block bits sent, headers, padding and retransmissions included",
    "uplink_air_bits": "transport block bits sent, headers, padding and retransmissions included",
    "downlink_airtime_s": "time in which any cell sent data",
    "uplink_airtime_s": "time in which any cell received data",
    "downlink_prb_slots": "physical resource blocks used, summed over slots",
    "uplink_prb_slots": "physical resource blocks used, summed over slots",
    "downlink_resource_hz_s": "bandwidth times time of the resource blocks used",
    "uplink_resource_hz_s": "bandwidth times time of the resource blocks used",
    "downlink_se_bit_s_hz": "delivered payload bits per second and hertz of the resource blocks used",
    "uplink_se_bit_s_hz": "delivered payload bits per second and hertz of the resource blocks used",
    "aggregated_values": "values of the mean update that the server got, however many UEs are in it",
    "aggregated_values_s_hz": "these values per second and hertz of the uplink blocks used by all UEs; K UEs with "
    "b bits a value over digital links take K b bit/s/Hz for one value/s/Hz",
    "aggregate_nmse": "squared error of the mean update over its square: what the air added; 0 for bytes",
    "damaged_sums": "UEs whose part of a sum over the air was found damaged",
    "quarantined": "updates set aside: not finite, not fitting, sent twice or too long",
    "epsilon": "of client-level differential privacy, all rounds so far, at the scenario's delta; NaN without it",
    "uplink_control_bits": "bits of shared statistics of sums over the air, or of secure aggregation's keys and shares",
    "uplink_pilot_symbols": "OFDM symbols of soundings for sums over the air",
    "downlink_blocks": "transport blocks sent, each counted once",
    "uplink_blocks": "transport blocks sent, each counted once",
    "downlink_bler": "share of first transmissions received in error",
    "uplink_bler": "share of first transmissions received in error",
    "harq_retransmissions": "transport blocks sent again by HARQ",
    "rlc_retransmitted_bytes": "bytes that RLC sent again after HARQ gave up",
    "ue_transmit_energy_j": "energy that the UEs spent transmitting",
    "ue_receive_energy_j": "energy that the UEs spent receiving",
    "ue_compute_energy_j": "energy that the UEs spent training",
    "gnb_energy_j": "energy that the cells spent while sending or receiving",
    "downlink_done_s": "virtual time when the model had arrived",
    "compute_done_s": "virtual time when training was done",
    "uplink_done_s": "virtual time when the update had arrived",
    "downlink_sinr_db": "mean effective SINR of the first transmissions",
    "uplink_sinr_db": "mean effective SINR of the first transmissions",
    "downlink_mcs": "mean modulation and coding scheme of the first transmissions",
    "uplink_mcs": "mean modulation and coding scheme of the first transmissions",
    "transmit_energy_j": "energy spent transmitting",
    "receive_energy_j": "energy spent receiving",
    "compute_energy_j": "energy spent training",
    "x_m": "position when the model had arrived, east",
    "y_m": "position when the model had arrived, north",
    "distance_m": "distance to the serving cell",
    "predicted_s": "time that the UE's part of the round was to take, by learning.split.adaptation; NaN else",
    "took_s": "time that it took, of a split model: from its first downlink slot to its last payload up; NaN else",
    "flops": "FLOPs of the UE's training",
    "memory_peak_bytes": "cut models: the most that the UE held at a time: its side's weights, gradients, optimiser "
    "state, activations of batches under way and copies of weights that these still need; else 0",
    "ue_flops": "FLOPs that the UEs spent training",
    "ue_memory_peak_bytes": "cut models: memory_peak_bytes of the UE that held most; else 0",
    "gnb_utilisation": "cut models: share of the round in which the gNB's edge server computed",
    "cloud_utilisation": "cut models: share of the round in which the cloud computed",
    "probe_normalised_mse": "privacy probe: squared error of inputs reconstructed from smashed data over that of the "
    "mean input as the guess; 1: smashed data tell nothing, 0: all",
    "probe_psnr_db": "privacy probe: peak signal-to-noise ratio of reconstructed images",
    "probe_ssim": "privacy probe: structural similarity of reconstructed images with the inputs, 1: equal",
    "probe_mean_ssim": "privacy probe: that of the mean image as the guess, which needs no smashed data",
    "probe_token_accuracy": "privacy probe: share of tokens that were recovered",
    "probe_samples": "privacy probe: samples that were to be reconstructed",
    "batch": "number of the batch among the UE's in this round, from 0; -1 in the timeline: the UE side itself",
    "is_back": "whether the batch went all the way; false: a link or the UE was lost",
    "downlink_value_bytes": "those of the payload that are a tensor's numbers, B L d times a number's bytes",
    "uplink_value_bytes": "those of the payload that are a tensor's numbers, B L d times a number's bytes",
    "ue_compute_s": "time in which the UE computed for the batch",
    "server_compute_s": "time in which the gNB's edge server or the cloud computed for the batch",
    "backhaul_s": "time from a message's handing over to the link to its arrival, both ways",
    "waiting_s": "rest of the batch's time: queueing for processors, waiting for other UEs",
    "ue_staleness": "steps that the UE side took between the batch's forward pass and its own step",
    "server_staleness": "steps that the servers' side took between the batch's forward pass there and its own step; "
    "the largest over servers",
    "place": "who did it: ue, gnb or cloud; or the link: uplink, downlink, backhaul_uplink or backhaul_downlink",
    "activity": "a processor's forward, backward, or answer (both, where the loss is); on a link activations, "
    "gradients, or ue_side",
    "payload_bytes": "bytes that arrived",
    "value_bytes": "those of them that are a tensor's numbers",
}
"""What each column means; its unit is the ending of its name. Written into the Parquet files."""


def schema_of(record: type) -> pa.Schema:
    """Return the Parquet schema of a record dataclass whose fields are int, float, str or bool."""
    import pyarrow as pa

    arrow = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    types = get_type_hints(record)
    columns = [
        pa.field(field.name, arrow[types[field.name]], metadata={"description": DESCRIPTIONS[field.name]})
        for field in fields(record)
    ]
    return pa.schema(columns)


def table_of(record: type[R], rows: Sequence[R]) -> pa.Table:
    """Return the rows as a table of the record's schema."""
    import pyarrow as pa

    schema = schema_of(record)
    arrays = [pa.array([getattr(row, column.name) for row in rows], column.type) for column in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


def records_of(record: type[R], table: pa.Table) -> list[R]:
    """Return a table's rows as records, exactly as they were written."""
    return [record(**row) for row in table.to_pylist()]


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table atomically; equal tables give equal bytes, however they were put together."""
    import pyarrow.parquet as pq

    with replacing(path) as file:
        pq.write_table(table, file, version="2.6", compression="snappy", use_dictionary=False)


def read_table(path: Path, record: type) -> pa.Table:
    """Read the table of a record, with no rows where the file is not written yet.

    Raises:
        UserError: the file is damaged, or lacks columns of the record.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = schema_of(record)
    if not path.is_file():
        return schema.empty_table()
    try:
        table = pq.read_table(path, use_threads=False)
    except pa.ArrowInvalid as error:
        raise UserError(f"{path}: not a Parquet file ({error}); restore it from a copy, or run again") from error
    missing = sorted(set(schema.names) - set(table.column_names))
    if missing:
        raise UserError(f"{path}: no column {', '.join(missing)}; read it with the AirTune version that wrote it")
    return table.select(schema.names).cast(schema)


def read_rounds(path: Path, record: type, rounds: int) -> pa.Table:
    """Read the first ``rounds`` rounds of a table that has a file for each; those without a file have no rows.

    Raises:
        UserError: a file is damaged, or lacks columns of the record.
    """
    import pyarrow as pa

    tables = [read_table(path / of_round(number), record) for number in range(1, rounds + 1)] if path.is_dir() else []
    return pa.concat_tables([schema_of(record).empty_table(), *tables])
