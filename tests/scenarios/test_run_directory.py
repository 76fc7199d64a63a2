"""RunDirectory against its promise: killed at any moment, it opens, resumes and ends byte-identical."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channel.errors import UserError
from ran.metrics import files
from ran.metrics.records import RoundRecord, UeRecord
from ran.metrics.tables import DESCRIPTIONS, read_table, records_of, schema_of, table_of, write_table
from ran.state import BEARER_DTYPE
from scenarios import checkpoint
from scenarios.checkpoint import Checkpoint, Counts
from scenarios.run_directory import RunDirectory, provenance
from tests.ran.synthetic_run import PROVENANCE, SCENARIO, go_on, round_row, start_event, ue_rows, wrap_up, write_run

ROUNDS = 2
FILE_OPERATIONS = {"open", "write", "fsync", "replace", "rename", "unlink", "rmdir", "mkdir", "truncate"}


def contents(path: Path) -> dict[str, bytes]:
    """Return every file's bytes but those of timing.json."""
    inside = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): file.read_bytes() for file in inside if file.name != files.TIMING}


def write_or_resume(path: Path) -> None:
    """Do what `airtune run` does: start, or go on where the last process stopped."""
    if (path / files.SCENARIO).is_file():
        run = RunDirectory.resume(path, PROVENANCE)
    else:
        run = RunDirectory.create(path, SCENARIO, PROVENANCE)
    with run:
        if run.checkpoint is None:
            run.append_event(start_event())
        go_on(run, ROUNDS)
        wrap_up(run)


def in_child(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked process; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
    except BaseException:
        os._exit(1)
    os._exit(0)


def before_every_file_operation(path: Path, copies: Path) -> list[Path]:
    """Write a run to ``path``, and return copies of the files as a death without a word would leave them.

    What Python has not handed to the system by then is in no copy, as it would be in no file.
    """
    found: list[Path] = []

    def watch(frame: object, event: str, called: object) -> None:
        if event == "c_call" and getattr(called, "__name__", "") in FILE_OPERATIONS:
            found.append(copies / str(len(found)))
            if path.exists():
                shutil.copytree(path, found[-1])

    sys.setprofile(watch)
    try:
        write_or_resume(path)
    finally:
        sys.setprofile(None)
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("uninterrupted") / "run"
    write_or_resume(path)
    return contents(path)


def test_a_death_at_every_file_operation_is_survived(
    tmp_path: Path, uninterrupted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Oracle: the uninterrupted run. Catches any order of writes that leaves a gap, and any file not replaced whole."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # disks are slow, and the death of a process needs none
    copies = before_every_file_operation(tmp_path / "run", tmp_path / "copies")
    assert contents(tmp_path / "run") == uninterrupted
    assert len(copies) > 50, "there must be many moments for this to mean something"
    for at_call, path in enumerate(copies):
        if not files.is_finished(path):
            write_or_resume(path)
        assert contents(path) == uninterrupted, f"died at file operation {at_call}"


def test_repeated_kill_9_at_random_times_is_survived(tmp_path: Path, uninterrupted: dict[str, bytes]) -> None:
    """Oracle: the uninterrupted run. Kills between any two instructions, again and again in one directory."""
    rng = np.random.default_rng(3)
    path, kills = tmp_path / "run", 0
    while not files.is_finished(path):
        child = os.fork()
        if not child:
            write_or_resume(path)
            os._exit(0)
        assert kills < 300, "the run makes no progress"
        # Longer and longer lives, so that the run ends on any machine.
        time.sleep(rng.uniform(0.0, 0.004 * (kills + 1)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        kills += 1
        state = checkpoint.read(path / files.CHECKPOINT)
        if state is not None:
            assert read_table(path / files.ROUNDS, RoundRecord).num_rows >= state.counts.rounds
            assert (path / files.EVENTS).stat().st_size >= state.counts.event_bytes
    assert kills > 1
    assert contents(path) == uninterrupted


def test_the_checkpoint_always_belongs_to_its_rows(tmp_path: Path) -> None:
    """Oracle: the writer's recursion w <- 2 w + round. Rows written after the last checkpoint must be forgotten."""
    write_run(tmp_path / "run", 2, finish=False)
    (tmp_path / "saved").write_bytes((tmp_path / "run" / files.CHECKPOINT).read_bytes())
    with RunDirectory.resume(tmp_path / "run", PROVENANCE) as run:
        run.append_event({"event": "lost"})
        go_on(run, 3)
    # What a process leaves that dies between writing round 3's rows and its checkpoint.
    (tmp_path / "saved").replace(tmp_path / "run" / files.CHECKPOINT)
    with RunDirectory.resume(tmp_path / "run", PROVENANCE) as run:
        assert run.checkpoint is not None
        assert run.checkpoint.round == 2
        assert [row.round for row in run.rounds] == [1, 2]
        assert {row.round for row in run.ues} == {1, 2}
        np.testing.assert_array_equal(run.checkpoint.arrays["weights"], 4 * np.arange(4.0) + 4)
        assert run.checkpoint.meta == {"note": "after 2"}
        assert b"lost" not in (tmp_path / "run" / files.EVENTS).read_bytes()


def test_a_finished_run_holds_what_was_promised(tmp_path: Path) -> None:
    """Oracle: the layout in the module's docstring."""
    path = write_run(tmp_path / "run", 2, finish=True)
    present = {entry.name for entry in path.iterdir()}
    assert present == {
        files.SCENARIO, files.PROVENANCE, files.ROUNDS, files.UES, files.EVENTS, files.SUMMARY, files.TIMING,
        files.ADAPTER, files.LOCK,
    }  # fmt: skip
    assert (path / files.SCENARIO).read_text() == SCENARIO


def test_an_existing_run_is_never_overwritten(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", 1, finish=False)
    before = contents(path)
    with pytest.raises(UserError, match=r"already holds a run; continue it with `airtune run --resume .*--out"):
        RunDirectory.create(path, SCENARIO, PROVENANCE)
    with RunDirectory.resume(path, PROVENANCE) as run:
        wrap_up(run)
    with pytest.raises(UserError, match=r"already holds a run; give another directory with --out"):
        RunDirectory.create(path, SCENARIO, PROVENANCE)
    assert before[files.ROUNDS] == contents(path)[files.ROUNDS]


def test_a_directory_with_something_else_in_it_is_refused_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"not empty, and not a run directory; .* --out"):
        RunDirectory.create(tmp_path, SCENARIO, PROVENANCE)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}
    with pytest.raises(UserError, match="is a file"):
        RunDirectory.create(tmp_path / "thesis.tex", SCENARIO, PROVENANCE)


def test_resume_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such directory"):
        RunDirectory.resume(tmp_path / "nowhere", PROVENANCE)
    write_run(tmp_path / "run", 1, finish=True)
    with pytest.raises(UserError, match=f"not a run directory.*did you mean {tmp_path / 'run'}"):
        RunDirectory.resume(tmp_path, PROVENANCE)
    with pytest.raises(UserError, match="finished; `airtune report"):
        RunDirectory.resume(tmp_path / "run", PROVENANCE)
    path = write_run(tmp_path / "damaged", 1, finish=False)
    whole = (path / files.CHECKPOINT).read_bytes()
    for broken in (b"", b"not a zip", whole[: len(whole) // 2], whole.replace(b"NUMPY", b"NUMPI")):
        (path / files.CHECKPOINT).write_bytes(broken)
        with pytest.raises(UserError, match=r"checkpoint\.npz: damaged"):
            RunDirectory.resume(path, PROVENANCE)
    (path / files.CHECKPOINT).write_bytes(whole)
    (path / files.EVENTS).write_bytes(b"")
    with pytest.raises(UserError, match=r"events\.jsonl: 0 of \d+ bytes"):
        RunDirectory.resume(path, PROVENANCE)
    (path / files.ROUNDS).unlink()
    with pytest.raises(UserError, match=r"rounds\.parquet: 0 of 1 rows"):
        RunDirectory.resume(path, PROVENANCE)


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    """Oracle: flock(2). Also once the holder was killed, the lock must be free again."""
    path = tmp_path / "run"
    with RunDirectory.create(path, SCENARIO, PROVENANCE):
        script = (
            "import sys; from scenarios.run_directory import RunDirectory\n"
            "from channel.errors import UserError\n"
            "try: RunDirectory.resume(sys.argv[1], {})\n"
            "except UserError as error: print(error)"
        )
        other = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
        assert "another process is running it" in other.stdout
        with pytest.raises(UserError, match="another process"):
            RunDirectory.create(path, SCENARIO, PROVENANCE)
    assert in_child(lambda: (RunDirectory.resume(path, PROVENANCE), os.kill(os.getpid(), signal.SIGKILL))) == -9
    RunDirectory.resume(path, PROVENANCE).close()


def test_other_versions_are_a_warning(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", 1, finish=False)
    with RunDirectory.resume(path, {**PROVENANCE, "versions": {"torch": "9.9"}}) as run:
        assert run.warnings == ["since this run began, torch was 2.13.0, is 9.9: its numbers may not be reproducible"]
    with RunDirectory.resume(path, PROVENANCE) as run:
        assert run.warnings == []


def test_provenance_names_versions_and_neither_time_nor_machine() -> None:
    recorded = provenance(3, {"radio": 1})
    assert recorded["versions"]["numpy"] == np.__version__
    assert recorded == provenance(3, {"radio": 1})
    assert os.uname().nodename not in str(recorded)


def test_wall_clock_time_adds_up_over_sessions(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with RunDirectory.create(path, SCENARIO, PROVENANCE) as run:
        with run.timed("training"):
            time.sleep(0.02)
        go_on(run, 1)
    with RunDirectory.resume(path, PROVENANCE) as run:
        with run.timed("training"):
            time.sleep(0.02)
        go_on(run, 2)
    assert 0.04 <= json.loads((path / files.TIMING).read_text())["wall_s"]["training"] < 5.0


names = st.text("abcxyz./_- ", min_size=1, max_size=12).filter(lambda name: name.strip())
plain_dtypes = [np.dtype(d) for d in ("f4", "f8", "i4", "i8", "u1", "?", "c8", "f2", "M8[s]")]
dtypes = st.sampled_from([*plain_dtypes, BEARER_DTYPE])
shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(names, st.tuples(dtypes, shapes), max_size=5), st.integers(0, 2**32 - 1))
def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path, layout: dict, seed: int) -> None:
    """Property: any numeric or structured arrays, their dtypes, shapes, bits and alignment; equal ones, equal bytes."""
    rng = np.random.default_rng(seed)
    arrays = {
        name: np.frombuffer(rng.bytes(dtype.itemsize * int(np.prod(shape))), dtype).reshape(shape)
        for name, (dtype, shape) in layout.items()
    }
    saved = Checkpoint(3, arrays, {"loss": 0.1, "none": None}, Counts(3, 24, 1000))
    for name in ("a.npz", "b.npz"):
        checkpoint.write(tmp_path / name, saved)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    back = checkpoint.read(tmp_path / "a.npz")
    assert back is not None
    assert (back.round, back.meta, back.counts) == (saved.round, saved.meta, saved.counts)
    assert list(back.arrays) == list(arrays)
    for name, array in arrays.items():
        assert back.arrays[name].dtype == array.dtype
        assert back.arrays[name].dtype.isalignedstruct == array.dtype.isalignedstruct
        assert back.arrays[name].shape == array.shape
        assert back.arrays[name].tobytes() == array.tobytes()
        assert back.arrays[name].flags.writeable


def test_objects_never_reach_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="allow_pickle"):
        checkpoint.write(tmp_path / "c.npz", Checkpoint(1, {"x": np.array([{}])}, {}, Counts(1, 1, 1)))
    assert not list(tmp_path.iterdir())


def test_equal_rows_give_equal_bytes_however_they_came_together(tmp_path: Path) -> None:
    """Property: written at once, or appended round by round with a resume (a file read back) between."""
    write_run(tmp_path / "run", 1, finish=False)
    with RunDirectory.resume(tmp_path / "run", PROVENANCE) as run:
        go_on(run, 5)
    rows = [round_row(index, ue_rows(index)) for index in range(1, 6)]
    write_table(tmp_path / "once.parquet", table_of(RoundRecord, rows))
    assert (tmp_path / "once.parquet").read_bytes() == (tmp_path / "run" / files.ROUNDS).read_bytes()
    ues = [row for index in range(1, 6) for row in ue_rows(index)]
    write_table(tmp_path / "once.parquet", table_of(UeRecord, ues))
    assert (tmp_path / "once.parquet").read_bytes() == (tmp_path / "run" / files.UES).read_bytes()


def test_rows_come_back_exactly_and_every_column_is_described(tmp_path: Path) -> None:
    """Oracle: the rows themselves (repr, so that NaN equals NaN), and the dataclass fields."""
    rows = ue_rows(2)
    write_table(tmp_path / "u.parquet", table_of(UeRecord, rows))
    assert repr(records_of(UeRecord, read_table(tmp_path / "u.parquet", UeRecord))) == repr(rows)
    for field in pq.read_schema(tmp_path / "u.parquet"):
        assert field.metadata[b"description"].decode() == DESCRIPTIONS[field.name]
    assert schema_of(RoundRecord).field("downlink_payload_bytes").type == "int64"


def test_a_table_of_another_version_is_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "r.parquet", schema_of(UeRecord).empty_table())
    missing = ", ".join(sorted(set(schema_of(RoundRecord).names) - set(schema_of(UeRecord).names)))
    with pytest.raises(UserError, match=f"no column {missing}; read it with"):
        read_table(tmp_path / "r.parquet", RoundRecord)
