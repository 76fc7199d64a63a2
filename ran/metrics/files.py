"""Files of a run: their names, and writing them so that a crash leaves the old content or the new, never a mixture."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

SCENARIO = "scenario.yaml"
PROVENANCE = "provenance.json"
ROUNDS = "rounds.parquet"
UES = "ues.parquet"
EVENTS = "events.jsonl"
SUMMARY = "summary.json"
KPIS = "kpis.json"
NETWORK_UES = "network_ues.parquet"
SLOTS = "slots.parquet"
BATCHES = "batches.parquet"
TIMELINE = "timeline.parquet"
TIMING = "timing.json"
CHECKPOINT = "checkpoint.npz"
ADAPTER = "adapter"
FIGURES = "figures"
LOCK = ".lock"


def is_finished(run_dir: Path) -> bool:
    """Tell whether a run has nothing left to do: its summary is written and its checkpoint is no longer needed."""
    return (run_dir / SUMMARY).is_file() and not (run_dir / CHECKPOINT).exists()


def is_network_run(run_dir: Path) -> bool:
    """Tell whether a directory was written by `airtune network`: there was no learning, hence no events."""
    return (run_dir / KPIS).is_file() and not (run_dir / EVENTS).exists()


def of_round(number: int) -> str:
    """Return the name of a round's file in a table that is a directory."""
    return f"round-{number:06d}.parquet"


def temporary_name(path: Path) -> Path:
    """Return the name under which ``path`` is written before it takes its place."""
    return path.with_name(f".{path.name}.tmp")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` at the end of the block, when it is whole and on disk."""
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


@contextmanager
def replacing_directory(path: Path) -> Iterator[Path]:
    """Make an empty directory that takes the place of ``path`` at the end of the block.

    A crash while the old one is exchanged can leave neither, so only what a resumed run writes again belongs here.
    """
    temporary = temporary_name(path)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        for file in sorted(temporary.rglob("*")):
            if file.is_file():
                with file.open("rb") as handle:
                    os.fsync(handle.fileno())
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_directory(path.parent)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` as indented JSON, atomically."""
    with replacing(path) as file:
        file.write((json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode())


def plain(value: Any) -> Any:
    """Return ``value`` in JSON's own types: NumPy numbers and arrays unpacked, NaN and infinities as None.

    >>> plain({"loss": float("nan"), "ues": (1, 2)})
    {'loss': None, 'ues': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
