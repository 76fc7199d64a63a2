"""Results: what a run, finished or not, has left in its directory."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channel.errors import UserError
from ran.metrics import files
from ran.metrics.kpis import NetworkKpis
from ran.metrics.records import RoundRecord, UeRecord
from ran.metrics.split_records import ActivityRecord, BatchRecord
from ran.metrics.summary import summarise
from ran.metrics.tables import read_rounds, read_table, records_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True)
class Results:
    """A run as it stands on disk.

    Attributes:
        path: the run directory.
        finished: whether the run has nothing left to do.
        scenario: the resolved scenario, as plain dictionaries and lists.
        rounds: one row per round; columns are those of ``RoundRecord``.
        ues: one row per round and participating UE; columns are those of ``UeRecord``.
        events: the lines of ``events.jsonl``, oldest first.
        start: the first event if it is the run's ``start``, else empty: what was known before the first round
            (``zero_shot_accuracy``; ``cells_m``, positions [num_cells, 2]; ``partition``, label counts
            [num_ues, num_labels]).
        network: what the network carried; None where it carried learning alone, or is not finished.
        network_ues: one row per bearer of the network, empty likewise; columns described in the file.
        summary: fields of ``RunSummary``; of an unfinished run, over the rounds so far.
        batches: where the model is cut, one row per UE and batch of complete rounds; columns are those of
            ``BatchRecord``.
        timeline: likewise of all that was done and sent; columns are those of ``ActivityRecord``.
    """

    path: Path
    finished: bool
    scenario: dict[str, Any]
    rounds: pd.DataFrame
    ues: pd.DataFrame
    events: list[dict[str, Any]]
    start: dict[str, Any]
    network: NetworkKpis | None
    network_ues: pd.DataFrame
    summary: dict[str, Any]
    batches: pd.DataFrame
    timeline: pd.DataFrame


def load(run_dir: str | Path) -> Results:
    """Return the results of a run directory; one that still runs, or was interrupted, reads as far as it got.

    Raises:
        UserError: not a run directory, or one of its files is damaged.
    """
    path = Path(run_dir)
    require_run_directory(path)
    rounds = read_table(path / files.ROUNDS, RoundRecord)
    ues = read_table(path / files.UES, UeRecord)
    scenario = read_scenario(path)
    events = _read_events(path / files.EVENTS)
    network, network_ues = read_network(path)
    start = events[0] if events and events[0].get("event") == "start" else {}
    return Results(
        path=path,
        finished=files.is_finished(path),
        scenario=scenario,
        rounds=rounds.to_pandas(),
        ues=ues.to_pandas(),
        events=events,
        start=start,
        network=network,
        network_ues=network_ues,
        summary=_read_summary(path / files.SUMMARY) or _summary_so_far(scenario, start, rounds, ues),
        batches=read_rounds(path / files.BATCHES, BatchRecord, rounds.num_rows).to_pandas(),
        timeline=read_rounds(path / files.TIMELINE, ActivityRecord, rounds.num_rows).to_pandas(),
    )


def require_run_directory(path: Path) -> None:
    """Raise UserError, saying what is wrong, unless ``path`` is a run directory."""
    if not path.is_dir():
        raise UserError(f"{path}: no such directory; give the directory that `airtune run` wrote")
    if not (path / files.SCENARIO).is_file():
        inside = sorted(entry.parent.name for entry in path.glob(f"*/{files.SCENARIO}"))
        hint = f"did you mean {path / inside[0]}?" if inside else "give the directory that `airtune run` wrote"
        raise UserError(f"{path}: not a run directory (it has no {files.SCENARIO}); {hint}")


def read_scenario(path: Path) -> dict[str, Any]:
    """Return the resolved scenario of a run directory as plain dictionaries."""
    import yaml

    file = path / files.SCENARIO
    try:
        scenario = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise UserError(f"{file}: not YAML ({error}); restore it from a copy, or run again") from error
    if not isinstance(scenario, dict):
        raise UserError(f"{file}: expected a mapping, got {type(scenario).__name__}; restore it, or run again")
    return scenario


def read_network(path: Path) -> tuple[NetworkKpis | None, pd.DataFrame]:
    """Return the indicators and bearers of a network, None and no rows where there are none.

    Raises:
        UserError: one of the files is damaged.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    content = read_json(path / files.KPIS)
    if not content:
        return None, pd.DataFrame()
    try:
        return NetworkKpis.from_json(content), pq.read_table(path / files.NETWORK_UES, use_threads=False).to_pandas()
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / files.KPIS}: not what `airtune` writes ({error!r}); run again") from error
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(f"{path / files.NETWORK_UES}: cannot be read ({error}); run again") from error


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON file of a run directory, empty where it is not written yet."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: not JSON ({error}); restore it from a copy, or run again") from error


def _read_events(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines; the last one lacks its newline while it is being written."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{path}: a line is not JSON ({error}); restore it from a copy, or run again") from error


def _read_summary(path: Path) -> dict[str, Any]:
    return {key: math.nan if value is None else value for key, value in read_json(path).items()}


def _summary_so_far(scenario: dict[str, Any], start: dict[str, Any], rounds: pa.Table, ues: pa.Table) -> dict[str, Any]:
    summary = summarise(
        records_of(RoundRecord, rounds),
        records_of(UeRecord, ues),
        name=str(scenario.get("name", "")),
        seed=int(scenario.get("seed", 0)),
        num_ues=int(scenario["ues"]["count"]) if "ues" in scenario else 1,
        zero_shot_accuracy=start.get("zero_shot_accuracy", math.nan),
    )
    return asdict(summary)
