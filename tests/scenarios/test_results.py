"""load() and the progress display against what a run wrote."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest

from channel.errors import UserError
from ran.metrics import files
from ran.metrics.records import RoundRecord, UeRecord
from ran.metrics.summary import TOTALS
from scenarios.progress import open_progress
from scenarios.results import load
from tests.ran.synthetic_run import CELLS_M, CENTRAL, ZERO_SHOT, round_row, ue_rows, write_run


def test_a_finished_run_loads_as_frames(tmp_path: Path) -> None:
    """Oracle: the rows that were written."""
    results = load(write_run(tmp_path / "run", 3, finish=True))
    rows = [round_row(index, ue_rows(index)) for index in (1, 2, 3)]
    assert results.finished
    assert list(results.rounds.columns) == list(RoundRecord.__dataclass_fields__)
    assert list(results.ues.columns) == list(UeRecord.__dataclass_fields__)
    assert results.rounds["test_accuracy"].tolist() == [row.test_accuracy for row in rows]
    assert results.rounds["downlink_air_bits"].dtype == np.int64
    assert len(results.ues) == 24
    assert results.ues.query("round == 2 and ue == 0")["uplink_done_s"].isna().all()
    assert results.start["cells_m"] == CELLS_M
    assert [event["event"] for event in results.events] == ["start", *["round_end"] * 3, "end"]
    assert results.scenario["channel"]["scenario"] == "umi"
    assert results.summary["central_accuracy"] == CENTRAL


def test_an_unfinished_run_loads_as_far_as_it_got(tmp_path: Path) -> None:
    """Oracle: hand-computed sums of two rounds; what is not known yet is NaN; a half-written event is left out."""
    path = write_run(tmp_path / "run", 2, finish=False)
    with (path / files.EVENTS).open("ab") as file:
        file.write(b'{"event": "half')
    results = load(str(path))
    assert not results.finished
    assert len(results.events) == 3
    assert results.summary["rounds"] == 2
    assert results.summary["downlink_payload_bytes"] == 2 * 8 * 30_000
    assert results.summary["uplink_payload_bytes"] == 2 * 8 * 30_000 - 30_000
    assert results.summary["zero_shot_accuracy"] == ZERO_SHOT
    assert math.isnan(results.summary["central_accuracy"])


def test_a_run_killed_before_its_first_round_loads_empty(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", 0, finish=False)
    (path / files.EVENTS).unlink()
    results = load(path)
    assert len(results.rounds) == len(results.ues) == len(results.events) == 0
    assert list(results.rounds.columns) == list(RoundRecord.__dataclass_fields__)
    assert all(results.summary[column] == 0 for column in TOTALS)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (files.SCENARIO, b"- 1\n", "expected a mapping, got list"),
        (files.SCENARIO, b"a: [", "not YAML"),
        (files.ROUNDS, b"PAR1", "not a Parquet file"),
        (files.EVENTS, b"{}\n{\n", "a line is not JSON"),
        (files.SUMMARY, b"{", "not JSON"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    path = write_run(tmp_path / "run", 1, finish=True)
    (path / file).write_bytes(content)
    with pytest.raises(UserError, match=f"{path / file}: {message}"):
        load(path)


def test_not_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run directory"):
        load(tmp_path)
    with pytest.raises(UserError, match="no such directory"):
        load(tmp_path / "nothing")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_one_line_per_round_where_there_is_no_terminal() -> None:
    """Oracle: the line of the interface's definition, its numbers worked out by hand from the row."""
    stream = io.StringIO()
    with open_progress(15, quiet=False, stream=stream) as progress:
        progress.stage("downlink")
        progress.round_done(round_row(3, ue_rows(3)))
    assert stream.getvalue() == "round  3/15  accuracy 75.8 %  virtual 2.70 s  up 240 kB at 2.1 bit/s/Hz\n"


def test_progress_on_a_terminal_shows_stage_round_and_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with open_progress(15, quiet=False, done=2, stream=stream) as progress:
        progress.stage("uplink")
        progress.round_done(round_row(3, ue_rows(3)))
    last = stream.getvalue().splitlines()[-2]
    assert "3/15" in last
    assert "75.8 %" in last
    assert "uplink" in last


def test_quiet_progress_says_nothing() -> None:
    stream = Terminal()
    with open_progress(15, quiet=True, stream=stream) as progress:
        progress.stage("uplink")
        progress.round_done(round_row(3, ue_rows(3)))
    assert stream.getvalue() == ""
