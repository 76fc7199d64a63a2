"""A trace of every transport block, streamed to Parquet in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Self

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from ran.network import NetworkState, StepReport

DIRECTIONS: tuple[Literal["downlink"], Literal["uplink"]] = ("downlink", "uplink")

# Columns in the order of the file: name, type in the buffer, meaning.
COLUMNS = (
    ("slot", "i8", "index of the slot, from 0"),
    ("time_s", "f8", "virtual time when the slot began"),
    ("replica", "i4", "index of the replica, from 0"),
    ("direction", "i1", "downlink or uplink"),
    ("cell", "i4", "index of the serving cell, from 0"),
    ("ue", "i4", "index of the UE, from 0"),
    ("slice", "i1", "slice whose bytes the block carries"),
    ("prbs", "i4", "physical resource blocks"),
    ("rank", "i4", "spatial layers"),
    ("mcs", "i4", "modulation and coding scheme, index of TS 38.214 clause 5.1.3.1"),
    ("tb_bits", "i4", "size of the transport block"),
    ("attempt", "i4", "1 for the first transmission"),
    ("sinr_db", "f4", "effective SINR of this attempt"),
    ("combined_sinr_db", "f4", "effective SINR with earlier attempts combined"),
    ("error_rate", "f4", "probability of a decoding error after combining"),
    ("ack", "i1", "1 where the block was decoded"),
    ("payload_bytes", "i8", "RLC SDU bytes carried"),
    ("lost_bytes", "i8", "RLC SDU bytes given up now (RLC UM)"),
)

TRACE_DTYPE = np.dtype([(name, kind) for name, kind, _ in COLUMNS])

# Columns that are copied from the field of the block named on the right.
_COPIED = {
    "slice": "bearer",
    "prbs": "prbs",
    "rank": "rank",
    "mcs": "mcs",
    "tb_bits": "tb_bits",
    "attempt": "attempt",
    "error_rate": "error_rate",
    "ack": "ack",
    "payload_bytes": "payload",
    "lost_bytes": "lost",
}


class SlotTraceWriter:
    """Writes one row per transport block and slot; memory holds one row group, however long the run.

    Used as a context manager: the file is complete at the end of the block, also after an exception; only a killed
    process leaves it without its footer. Every column's meaning is in the file.

    Args:
        file: the Parquet file, replaced where it exists, or one that is open for writing.
        slices: names of the slices, in the order of the bearers.
        rows_per_group: rows that are gathered before they are written, 70 bytes each.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, file: Path | BinaryIO, slices: Sequence[str], *, rows_per_group: int = 65_536) -> None:
        import pyarrow.parquet as pq

        self._names = {"direction": list(DIRECTIONS), "slice": list(slices)}
        self._schema = self._columns()
        self._buffer = np.empty(rows_per_group, TRACE_DTYPE)
        self._rows = 0
        self._writer = pq.ParquetWriter(file, self._schema, version="2.6", compression="snappy")

    def _columns(self) -> pa.Schema:
        import pyarrow as pa

        return pa.schema(
            [
                pa.field(
                    name,
                    pa.dictionary(pa.int8(), pa.string()) if name in self._names else pa.from_numpy_dtype(kind),
                    metadata={"description": meaning},
                )
                for name, kind, meaning in COLUMNS
            ]
        )

    def append_step(self, state: NetworkState, report: StepReport, slot_s: float) -> None:
        """Add what a slot did in both directions; ``state`` is that after the slot."""
        slot = state.slot - 1
        for way, part in ((DIRECTIONS[0], report.downlink), (DIRECTIONS[1], report.uplink)):
            if part is not None:
                self.append(
                    slot=slot, time_s=slot * slot_s, direction=way, cell=state.serving_cell, block=part.block
                )  # fmt: skip

    def append(
        self,
        *,
        slot: int,
        time_s: float,
        direction: Literal["downlink", "uplink"],
        cell: NDArray[np.integer[Any]],
        block: NDArray[Any],
    ) -> None:
        """Add the blocks of one slot that hold PRBs.

        Args:
            slot: index of the slot.
            time_s: when it began.
            direction: downlink or uplink.
            cell: serving cell of every UE, [batch, num_ues].
            block: BLOCK_DTYPE [batch, num_ues].
        """
        replica, ue = np.nonzero(block["prbs"])
        rows = np.empty(len(ue), TRACE_DTYPE)
        rows["slot"], rows["time_s"], rows["direction"] = slot, time_s, DIRECTIONS.index(direction)
        rows["replica"], rows["ue"], rows["cell"] = replica, ue, cell[replica, ue]
        sent = block[replica, ue]
        for column, field in _COPIED.items():
            rows[column] = sent[field]
        with np.errstate(divide="ignore"):  # a SINR of 0 is minus infinity in dB
            rows["sinr_db"] = 10.0 * np.log10(sent["sinr"])
            rows["combined_sinr_db"] = 10.0 * np.log10(sent["combined_sinr"])
        while len(rows):
            part = rows[: len(self._buffer) - self._rows]
            self._buffer[self._rows : self._rows + len(part)] = part
            self._rows += len(part)
            rows = rows[len(part) :]
            if self._rows == len(self._buffer):
                self._flush()

    def _flush(self) -> None:
        """Write the gathered rows as a row group."""
        import pyarrow as pa

        columns = []
        for name in TRACE_DTYPE.names or ():
            values = pa.array(np.ascontiguousarray(self._buffer[name][: self._rows]))
            if name in self._names:
                values = pa.DictionaryArray.from_arrays(values, self._names[name])
            columns.append(values)
        table = pa.Table.from_arrays(columns, schema=self._schema)
        self._writer.write_table(table, row_group_size=len(self._buffer))
        self._rows = 0

    def close(self) -> None:
        """Write what is left and the footer; nothing can be appended afterwards."""
        try:
            if self._rows:
                self._flush()
        finally:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
