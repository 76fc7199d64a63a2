"""The trace of transport blocks: what is written is what was sent, in bounded memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ran.metrics.slot_trace import COLUMNS, SlotTraceWriter
from ran.state import BLOCK_DTYPE

SLICES = ("learning", "traffic")


def slot_of(rng: np.random.Generator, batch: int = 2, ues: int = 5):
    """Return (cell, block) of a random slot in which about half the UEs hold PRBs."""
    block = np.zeros((batch, ues), BLOCK_DTYPE)
    block["prbs"] = rng.integers(0, 20, (batch, ues)) * (rng.random((batch, ues)) < 0.5)
    for field in ("rank", "mcs", "tb_bits", "attempt", "payload", "lost"):
        block[field] = rng.integers(1, 2000, (batch, ues))
    block["bearer"], block["ack"] = rng.integers(0, 2, (2, batch, ues))
    block["sinr"], block["combined_sinr"], block["error_rate"] = rng.uniform(0.01, 100.0, (3, batch, ues))
    return rng.integers(0, 3, (batch, ues)).astype(np.int32), block


def test_rows_are_the_blocks_that_hold_prbs(tmp_path):
    """Oracle: a plain Python loop over the same blocks; order, types and names of slices and directions too.

    37 rows per group do not divide the rows of a slot, so groups end inside slots.
    """
    rng, expected = np.random.default_rng(1), []
    with SlotTraceWriter(tmp_path / "t.parquet", SLICES, rows_per_group=37) as writer:
        for slot in range(60):
            cell, block = slot_of(rng)
            direction = "uplink" if slot % 5 == 4 else "downlink"
            writer.append(slot=slot, time_s=slot * 5e-4, direction=direction, cell=cell, block=block)
            for replica, ue in np.argwhere(block["prbs"] > 0):
                out = block[replica, ue]
                expected.append(
                    {
                        "slot": slot, "time_s": slot * 5e-4, "replica": replica, "direction": direction,
                        "cell": cell[replica, ue], "ue": ue, "slice": SLICES[out["bearer"]], "prbs": out["prbs"],
                        "rank": out["rank"], "mcs": out["mcs"], "tb_bits": out["tb_bits"],
                        "attempt": out["attempt"], "ack": out["ack"], "payload_bytes": out["payload"],
                        "lost_bytes": out["lost"],
                        "sinr_db": pytest.approx(10 * np.log10(out["sinr"]), rel=1e-5, abs=1e-5),
                        "combined_sinr_db": pytest.approx(10 * np.log10(out["combined_sinr"]), rel=1e-5, abs=1e-5),
                        "error_rate": pytest.approx(out["error_rate"], rel=1e-6),
                    }
                )  # fmt: skip
    rows = pq.read_table(tmp_path / "t.parquet").to_pylist()
    assert len(rows) == len(expected) > 100
    assert rows == expected
    assert pq.ParquetFile(tmp_path / "t.parquet").num_row_groups == -(-len(rows) // 37)


def test_every_column_says_what_it_means(tmp_path):
    """Property: names, order and descriptions survive in an empty file."""
    with SlotTraceWriter(tmp_path / "t.parquet", SLICES):
        pass
    schema = pq.read_schema(tmp_path / "t.parquet")
    assert schema.names == [name for name, _, _ in COLUMNS]
    assert all(schema.field(name).metadata[b"description"].decode() == meaning for name, _, meaning in COLUMNS)


def test_a_slot_larger_than_a_group_is_split(tmp_path):
    """Property: no row is lost where one slot fills several groups."""
    rng = np.random.default_rng(2)
    cell, block = slot_of(rng, batch=40, ues=10)
    with SlotTraceWriter(tmp_path / "t.parquet", SLICES, rows_per_group=16) as writer:
        writer.append(slot=0, time_s=0.0, direction="downlink", cell=cell, block=block)
    assert pq.read_table(tmp_path / "t.parquet")["prbs"].to_pylist() == block["prbs"][block["prbs"] > 0].tolist()


def test_memory_does_not_grow_with_the_run(tmp_path):
    """Property: peak of NumPy, Python and Arrow memory over 40 row groups is that of 4 (plus the groups' metadata)."""
    rng = np.random.default_rng(3)
    slots = [slot_of(rng, ues=100) for _ in range(10)]

    def peak_bytes(count: int) -> int:
        arrow = 0
        tracemalloc.start()
        with SlotTraceWriter(tmp_path / f"{count}.parquet", SLICES, rows_per_group=1000) as writer:
            for slot in range(count):
                cell, block = slots[slot % 10]
                writer.append(slot=slot, time_s=0.0, direction="downlink", cell=cell, block=block)
                arrow = max(arrow, pa.total_allocated_bytes())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak + arrow

    peak_bytes(10)  # imports and caches
    short, long = peak_bytes(40), peak_bytes(400)
    assert pq.ParquetFile(tmp_path / "400.parquet").num_row_groups >= 36
    assert long < 1.3 * short


def test_an_exception_leaves_a_whole_file(tmp_path):
    """Property: rows up to the exception are readable, and the exception is not swallowed."""
    rng = np.random.default_rng(4)
    cell, block = slot_of(rng)
    held = int((block["prbs"] > 0).sum())

    def fail_in_slot_77() -> None:
        with SlotTraceWriter(tmp_path / "t.parquet", SLICES, rows_per_group=64) as writer:
            for slot in range(100):
                if slot == 77:
                    raise RuntimeError("the run failed")
                writer.append(slot=slot, time_s=0.0, direction="downlink", cell=cell, block=block)

    with pytest.raises(RuntimeError, match="the run failed"):
        fail_in_slot_77()
    table = pq.read_table(tmp_path / "t.parquet")
    assert table.num_rows == 77 * held
    assert table["slot"].to_pylist()[-1] == 76
