"""RunDirectory: what a run leaves behind, written so that it can be killed at any moment and resumed.

RUN_DIRECTORY.md beside this file lists the files. Two equal runs, and an interrupted and resumed one, leave
byte-identical files; only ``timing.json``, which holds wall-clock times, differs.

Every file but ``events.jsonl`` takes the place of its predecessor in one rename, after it is on disk;
``events.jsonl`` only grows. A round is complete when its checkpoint is in place, which is written last and says how
many rows and how many bytes of events count; resuming forgets whatever lies beyond. ``scenario.yaml`` comes first
of all files and makes the directory a run directory; the removal of the checkpoint is the last step.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from channel.errors import UserError
from ran.metrics import files
from ran.metrics.records import RoundRecord, UeRecord
from ran.metrics.results import read_json, require_run_directory
from ran.metrics.split_records import ActivityRecord, BatchRecord
from ran.metrics.summary import RunSummary
from ran.metrics.tables import read_table, records_of, table_of, write_table
from scenarios import checkpoint
from scenarios.checkpoint import Checkpoint

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from ran.metrics.kpis import NetworkKpis

RECORDED_PACKAGES = (
    "airtune", "sionna", "torch", "numpy", "scipy", "numba", "transformers", "peft", "safetensors", "scikit-learn",
    "pyarrow", "pandas", "matplotlib",
)  # fmt: skip


def provenance(seed: int, threads: Mapping[str, int]) -> dict[str, Any]:
    """Return what, besides the scenario, decides a run's numbers: versions, platform, seed, threads per stage."""
    versions = {"python": platform.python_version()}
    for package in RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    machine = f"{platform.system()} {platform.machine()}"
    return {"seed": seed, "platform": machine, "threads": dict(threads), "versions": versions}


class RunDirectory:
    """The directory of one run, open for writing by this process alone. Use as a context manager.

    Attributes:
        path: the directory.
        scenario_yaml: the text of its resolved scenario.
        checkpoint: state after the last complete round when the run was resumed, None before the first.
        warnings: sentences for the user, e.g. that library versions changed since the run began.
    """

    def __init__(self, path: Path, lock: int, now: Mapping[str, Any]) -> None:
        """Take over a locked run directory; use ``create`` or ``resume``."""
        self.path = path
        self._lock = lock
        self.scenario_yaml = (path / files.SCENARIO).read_text()
        if not (path / files.PROVENANCE).exists():
            files.write_json(path / files.PROVENANCE, now)
        self.warnings = _changes(read_json(path / files.PROVENANCE), now)
        self.checkpoint = checkpoint.read(path / files.CHECKPOINT)
        self._rounds, self._ues = self._complete_rows()
        self._events = self._open_events()
        self._wall_s: dict[str, float] = dict(read_json(path / files.TIMING).get("wall_s", {}))

    @classmethod
    def create(cls, path: str | Path, scenario_yaml: str, provenance: Mapping[str, Any]) -> RunDirectory:
        """Start a run in a new or empty directory.

        Raises:
            UserError: the directory holds something, or another process is writing to it.
        """
        path = Path(path)
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: is a file; give another directory with --out")
        path.mkdir(parents=True, exist_ok=True)
        foreign = [entry.name for entry in path.iterdir() if entry.name not in _aborted_creation(path)]
        if foreign and not (path / files.SCENARIO).is_file():
            raise UserError(f"{path}: not empty, and not a run directory; give another directory with --out")
        lock = _lock(path)
        if (path / files.SCENARIO).is_file():
            os.close(lock)
            remedy = "" if files.is_finished(path) else f"continue it with `airtune run --resume {path}`, or "
            raise UserError(f"{path}: already holds a run; {remedy}give another directory with --out")
        with files.replacing(path / files.SCENARIO) as file:
            file.write(scenario_yaml.encode())
        return cls(path, lock, provenance)

    @classmethod
    def resume(cls, path: str | Path, provenance: Mapping[str, Any]) -> RunDirectory:
        """Go on with an interrupted run from its last complete round; what came after that is forgotten.

        Raises:
            UserError: not a run directory, finished already, damaged, or another process is writing to it.
        """
        path = Path(path)
        require_run_directory(path)
        if files.is_network_run(path):
            raise UserError(f"{path}: holds a measurement by `airtune network`, which is complete; run another one")
        if files.is_finished(path):
            raise UserError(f"{path}: this run is finished; `airtune report {path}` shows it and redraws its figures")
        lock = _lock(path)
        try:
            return cls(path, lock, provenance)
        except BaseException:
            os.close(lock)
            raise

    def __enter__(self) -> RunDirectory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the directory; what was written stays."""
        if not self._events.closed:
            self._events.close()
            os.close(self._lock)

    @property
    def rounds(self) -> list[RoundRecord]:
        """Rows of all complete rounds."""
        return records_of(RoundRecord, self._rounds)

    @property
    def ues(self) -> list[UeRecord]:
        """UE rows of all complete rounds."""
        return records_of(UeRecord, self._ues)

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Add one line to ``events.jsonl``; it counts once the round it belongs to is complete."""
        self._events.write(json.dumps(files.plain(event), allow_nan=False).encode() + b"\n")
        self._events.flush()

    def complete_round(
        self, record: RoundRecord, ues: Sequence[UeRecord], arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]
    ) -> None:
        """Write the rows of one more round, and the state from which the next one starts.

        Args:
            record: the round's row.
            ues: one row per participating UE.
            arrays: state by name, any shapes and (structured) dtypes but objects.
            meta: the rest of the state, as JSON values (NaN becomes None).
        """
        import pyarrow as pa

        self._rounds = pa.concat_tables([self._rounds, table_of(RoundRecord, [record])])
        self._ues = pa.concat_tables([self._ues, table_of(UeRecord, ues)])
        write_table(self.path / files.ROUNDS, self._rounds)
        write_table(self.path / files.UES, self._ues)
        os.fsync(self._events.fileno())
        counts = checkpoint.Counts(self._rounds.num_rows, self._ues.num_rows, self._events.tell())
        checkpoint.write(self.path / files.CHECKPOINT, Checkpoint(record.round, dict(arrays), dict(meta), counts))
        self._write_timing()

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the wall-clock time of a block to a stage of ``timing.json``."""
        start_s = time.perf_counter()
        try:
            yield
        finally:
            self._wall_s[stage] = self._wall_s.get(stage, 0.0) + time.perf_counter() - start_s

    @contextmanager
    def adapter(self) -> Iterator[Path]:
        """Give an empty directory to save the adapter into; it becomes ``adapter/`` at the end of the block."""
        with files.replacing_directory(self.path / files.ADAPTER) as directory:
            yield directory

    @contextmanager
    def slot_trace(self, round_number: int) -> Iterator[BinaryIO]:
        """Open the Parquet file of one round's slots; it takes its place in ``slots.parquet/`` when it is whole."""
        (self.path / files.SLOTS).mkdir(exist_ok=True)
        with files.replacing(self.path / files.SLOTS / files.of_round(round_number)) as file:
            yield file

    def write_batches(
        self, round_number: int, batches: Sequence[BatchRecord], timeline: Sequence[ActivityRecord]
    ) -> None:
        """Write one round's files of ``batches.parquet/`` and ``timeline.parquet/``."""
        for name, table in (
            (files.BATCHES, table_of(BatchRecord, batches)),
            (files.TIMELINE, table_of(ActivityRecord, timeline)),
        ):
            (self.path / name).mkdir(exist_ok=True)
            write_table(self.path / name / files.of_round(round_number), table)

    def write_network(self, kpis: NetworkKpis, bearers: pa.Table) -> None:
        """Write ``kpis.json`` and ``network_ues.parquet``."""
        write_table(self.path / files.NETWORK_UES, bearers)
        files.write_json(self.path / files.KPIS, kpis.to_json())

    def write_summary(self, summary: RunSummary) -> None:
        """Write ``summary.json``."""
        files.write_json(self.path / files.SUMMARY, asdict(summary))

    def finish(self) -> None:
        """Mark the run as finished, after everything else is written: its checkpoint goes."""
        assert (self.path / files.SUMMARY).is_file(), "a run is finished by its summary"
        os.fsync(self._events.fileno())
        self._write_timing()
        (self.path / files.CHECKPOINT).unlink(missing_ok=True)
        self.close()

    def _write_timing(self) -> None:
        files.write_json(self.path / files.TIMING, {"wall_s": self._wall_s})

    def _complete_rows(self) -> tuple[pa.Table, pa.Table]:
        rounds = read_table(self.path / files.ROUNDS, RoundRecord)
        ues = read_table(self.path / files.UES, UeRecord)
        counts = self.checkpoint.counts if self.checkpoint else checkpoint.Counts(0, 0, 0)
        for name, table, count in ((files.ROUNDS, rounds, counts.rounds), (files.UES, ues, counts.ues)):
            if table.num_rows < count:
                raise UserError(f"{self.path / name}: {table.num_rows} of {count} rows are left; run again elsewhere")
        return rounds.slice(0, counts.rounds), ues.slice(0, counts.ues)

    def _open_events(self) -> BinaryIO:
        path = self.path / files.EVENTS
        path.touch()
        size = self.checkpoint.counts.event_bytes if self.checkpoint else 0
        if path.stat().st_size < size:
            raise UserError(f"{path}: {path.stat().st_size} of {size} bytes are left; run again elsewhere")
        os.truncate(path, size)
        return path.open("ab")


def _aborted_creation(path: Path) -> set[str]:
    """Return what a process may leave that was killed before it had written the scenario."""
    return {files.LOCK, files.temporary_name(path / files.SCENARIO).name}


def _lock(path: Path) -> int:
    """Lock a run directory until the descriptor is closed or the process dies, however it dies."""
    import fcntl

    descriptor = os.open(path / files.LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise UserError(
            f"{path}: another process is running it; wait until that ends, or give another directory with --out"
        ) from error
    return descriptor


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a sentence for the user if the run began with other versions, or on another platform."""
    was = {**before.get("versions", {}), "platform": before.get("platform")}
    here = {**now.get("versions", {}), "platform": now.get("platform")}
    changed = [f"{name} was {was[name]}, is {here[name]}" for name in was if name in here and here[name] != was[name]]
    return [f"since this run began, {'; '.join(changed)}: its numbers may not be reproducible"] if changed else []
