"""Oracles: the same run again, an uninterrupted run, and PEFT's own loader."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from channel.errors import UserError
from scenarios.cli import main
from scenarios.load import load
from scenarios.results import load as load_results
from scenarios.run import resume, run
from scenarios.run_directory import RunDirectory

# Small enough for seconds, yet every part is in it: fading, HARQ, several UEs, LoRA, central baseline.
SMALL = [
    "name=small", "learning.rounds=4", "ues.count=3", "channel=rayleigh", "learning.partition=iid",
    "learning.algorithm.local_steps=4", "learning.threads=1",
]  # fmt: skip
MAY_DIFFER = {"timing.json", ".lock"}


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file of a run by relative name, but those that hold wall-clock times."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.name not in MAY_DIFFER
    }


def assert_same_files(left: Path, right: Path) -> None:
    one, two = contents(left), contents(right)
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(load("quickstart", SMALL), out=tmp_path_factory.mktemp("runs") / "once", quiet=True).path


def test_an_equal_run_leaves_equal_files(finished, tmp_path):
    """Property: byte-identical files for equal scenario and seed. Catches time stamps, hash order, global state."""
    np.random.seed(1)  # noqa: NPY002 - whatever state the caller's generators are in
    again = run(load("quickstart", SMALL), out=tmp_path / "again", quiet=True).path
    assert_same_files(finished, again)


def test_radio_threads_do_not_change_the_rounds(finished, tmp_path):
    """Property: another number of radio threads gives byte-identical tables, over a channel drawn by Sionna too."""
    more = run(
        load("quickstart", [*SMALL, "radio.threads=2", "report.figures=none"]), out=tmp_path / "threads", quiet=True
    ).path
    assert (finished / "rounds.parquet").read_bytes() == (more / "rounds.parquet").read_bytes()
    umi = [*SMALL, "channel=tr38901", "learning.rounds=1", "learning.central=skip", "report.figures=none"]
    tables = [
        (run(load("quickstart", [*umi, f"radio.threads={n}"]), out=tmp_path / f"umi{n}", quiet=True).path)
        for n in (1, 2)
    ]
    assert (tables[0] / "rounds.parquet").read_bytes() == (tables[1] / "rounds.parquet").read_bytes()


def test_another_seed_differs(finished, tmp_path):
    """Property: the seed reaches the radio and the learning."""
    other = run(load("quickstart", [*SMALL, "seed=2", "report.figures=none"]), out=tmp_path / "other", quiet=True).path
    mine, theirs = load_results(finished).rounds, load_results(other).rounds
    assert (mine["end_s"] != theirs["end_s"]).any()
    assert (mine["test_loss"] != theirs["test_loss"]).all()


def test_accounts_of_the_whole_run_add_up(finished):
    """Properties of honest accounting over files: payloads weigh what safetensors do; the air carries more."""
    results = load_results(finished)
    rounds, ues = results.rounds, results.ues
    for way in ("downlink", "uplink"):
        per_ue = ues.groupby("round")[f"{way}_payload_bytes"].sum().to_numpy()
        assert (rounds[f"{way}_payload_bytes"].to_numpy() == per_ue).all()
        assert (rounds[f"{way}_air_bits"] > 8 * rounds[f"{way}_payload_bytes"]).all()
        sinr = 10 ** (ues[f"{way}_sinr_db"].max() / 10)
        assert (rounds[f"{way}_se_bit_s_hz"] < np.log2(1 + sinr)).all()
    adapter = finished / "adapter" / "adapter_model.safetensors"
    assert rounds["uplink_payload_bytes"].iloc[0] / 3 == pytest.approx(adapter.stat().st_size, rel=0.1)
    assert (rounds["end_s"].to_numpy()[:-1] == rounds["start_s"].to_numpy()[1:]).all()
    events = [json.loads(line) for line in (finished / "events.jsonl").read_text().splitlines()]
    done = [event for event in events if event["event"] == "transfer_done"]
    assert len(done) == 4 * 3 * 2
    assert sum(event["payload_bytes"] for event in done if event["direction"] == "uplink") == sum(
        rounds["uplink_payload_bytes"]
    )


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT 0.21 asks transformers 5 for it
def test_peft_loads_the_adapter(finished):
    """Oracle: PeftModel.from_pretrained on the shipped base gives the final accuracy of the run."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForImageClassification

    from ran.learning.models import MODELS
    from ran.learning.tasks import TASKS

    model, task = MODELS.get("glyph_vit")(), TASKS.get("digits")()
    data = task.load()
    base = AutoModelForImageClassification.from_pretrained(model.source)
    tuned = PeftModel.from_pretrained(base, finished / "adapter").eval()
    inputs = {name: torch.from_numpy(values) for name, values in task.encode(data.test.inputs, model.source).items()}
    with torch.inference_mode():
        labels = tuned(**inputs).logits.argmax(dim=1).numpy()
    accuracy = (labels == data.test.labels).mean()
    assert accuracy == pytest.approx(load_results(finished).rounds["test_accuracy"].iloc[-1], abs=1e-9)


def test_an_existing_run_is_not_overwritten(finished):
    """Property: a second run into the same directory is refused, and nothing there changes."""
    before = contents(finished)
    with pytest.raises(UserError, match="--out"):
        run(load("quickstart", SMALL), out=finished, quiet=True)
    assert contents(finished) == before


def run_signalled(number: int, round_index: int, arguments: Sequence[str]) -> None:
    """Run `airtune run` in this process, which gets a signal while it writes the events of a round."""
    # A shell that runs the tests in the background hands down an ignored SIGINT, so the process takes its default back.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    append = RunDirectory.append_event

    def append_and_die(self: RunDirectory, event: dict[str, Any]) -> None:
        append(self, event)
        if event.get("round") == round_index and event["event"] == "training_done":
            os.kill(os.getpid(), number)

    RunDirectory.append_event = append_and_die  # type: ignore[method-assign]
    main(["run", *arguments])


def printing_into(directory: Path, number: int, round_index: int, arguments: Sequence[str]) -> None:
    os.chdir(directory)
    with Path("stdout").open("w") as sys.stdout, Path("stderr").open("w") as sys.stderr:
        run_signalled(number, round_index, arguments)


def signalled(directory: Path, number: int, round_index: int, *arguments: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of `airtune run` in a process that gets a signal in the midst of a round.

    The processes are forks of one that has imported what they need, and run nothing: imports take longer than runs.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "scenarios.run", "transformers", "peft", "sklearn.datasets"])
    child = processes.Process(target=printing_into, args=(directory, number, round_index, arguments))
    child.start()
    child.join(300)
    assert child.exitcode is not None
    return child.exitcode, (directory / "stdout").read_text(), (directory / "stderr").read_text()


ARGUMENTS = [item for override in SMALL for item in ("--set", override)]


def test_killed_in_two_rounds_and_resumed_equals_uninterrupted(finished, tmp_path):
    """Oracle: the uninterrupted run. SIGKILL while rounds 1 and 3 are being written, resumed each time.

    The two processes hash strings by another seed than the uninterrupted one.
    """
    code, _, errors = signalled(tmp_path, signal.SIGKILL, 1, "quickstart", "--out", "killed", *ARGUMENTS)
    assert code == -signal.SIGKILL, errors
    code, printed, errors = signalled(tmp_path, signal.SIGKILL, 3, "--resume", "killed")
    assert code == -signal.SIGKILL, errors
    assert "round 2/4" in printed
    resume(tmp_path / "killed", quiet=True)
    assert_same_files(finished, tmp_path / "killed")


# Learning beside other traffic in three cells, UEs fast enough for handovers, and a trace.
BUSY = [
    *SMALL, "name=busy", "ues.count=6", "learning.rounds=3", "learning.central=skip",
    "sites.layout={name: explicit, positions_m: [[0, 0], [200, 0], [100, 170]]}",
    "ues.placement={name: disc, max_distance_m: 150, sector_deg: 360}", "ues.mobility={name: linear, speed_m_s: 120}",
    "mac.handover={offset_db: 0, hysteresis_db: 0, time_to_trigger_s: 0.01}", "report.slot_trace=true",
    "traffic.flows=[{name: ftp3, file_bytes: 20000, files_per_s: 20, direction: both}]", "ues.device.clock_hz=3e8",
]  # fmt: skip


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(load("quickstart", BUSY), out=tmp_path_factory.mktemp("busy") / "once", quiet=True).path


def test_the_network_of_a_run_is_accounted_for_both_slices(busy):
    """Oracles: the trace of every block, and the payloads of the rounds, to which only packet headers are added."""
    results, trace = load_results(busy), pd.read_parquet(busy / "slots.parquet")
    assert results.network.handovers > 0
    assert results.network.duration_s >= results.rounds["end_s"].iloc[-1] - 1e-9
    assert (busy / "figures" / "network.png").is_file()
    for way in results.network.directions:
        learning, traffic = way.slices
        rows = trace[(trace["direction"] == way.direction) & (trace["ack"] == 1)]
        for part in (learning, traffic):
            carried = rows.loc[rows["slice"] == part.name, "payload_bytes"].sum()
            assert part.carried_bit_s * results.network.duration_s / 8 == pytest.approx(carried)
        payload = results.rounds[f"{way.direction}_payload_bytes"].sum()
        pieces = -(-payload // (1500 - 31)) + 9  # at most one short SDU per transfer more
        carried = learning.carried_bit_s * results.network.duration_s / 8
        assert payload < carried <= payload + 31 * pieces
        assert traffic.delivered > 0


def test_a_busy_run_killed_and_resumed_equals_uninterrupted(busy, tmp_path):
    """Oracle: the uninterrupted run. Packets, handover timers, indicators and trace go on as if nothing happened."""
    arguments = [item for override in BUSY for item in ("--set", override)]
    code, _, errors = signalled(tmp_path, signal.SIGKILL, 2, "quickstart", "--out", "killed", *arguments)
    assert code == -signal.SIGKILL, errors
    resume(tmp_path / "killed", quiet=True)
    assert_same_files(busy, tmp_path / "killed")


def test_a_run_without_other_traffic_has_no_network_files(finished):
    assert not {"kpis.json", "network_ues.parquet", "slots.parquet"} & {path.name for path in finished.iterdir()}
    assert load_results(finished).network is None


def test_interrupt_leaves_a_readable_run_and_says_how_to_go_on(tmp_path):
    """Property: Ctrl-C exits with 130, names the command that resumes, and what was done can be read."""
    code, _, errors = signalled(tmp_path, signal.SIGINT, 2, "quickstart", "--out", "stopped", *ARGUMENTS)
    assert code == 130, errors
    assert "airtune run --resume stopped" in errors
    assert "Traceback" not in errors
    results = load_results(tmp_path / "stopped")
    assert not results.finished
    assert len(results.rounds) == 1


def test_nothing_but_ray_tracing_needs_llvm(tmp_path):
    """Property: with no usable LLVM a whole run over a channel by Sionna succeeds, and never imports Dr.Jit."""
    code = (
        "import sys; from scenarios.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "assert 'sionna.phy' in sys.modules and 'drjit' not in sys.modules"
    )
    arguments = ["run", "quickstart", "--quiet", "--out", "run", "--set", "learning.rounds=1", "--set", "ues.count=2"]
    subprocess.run(
        [sys.executable, "-c", code, *arguments, "--set", "learning.central=skip"],
        cwd=tmp_path, check=True, env={**os.environ, "DRJIT_LIBLLVM_PATH": "nowhere.so"},
    )  # fmt: skip
    assert (tmp_path / "run" / "summary.json").is_file()


def test_a_model_that_does_not_fit_the_data_is_one_message(tmp_path, capsys):
    """Property: 12x12 images and a model made for 8x8: exit code 2, both shapes, the remedy, no traceback."""
    images = np.zeros((40, 12, 12), np.uint8)
    labels = np.arange(40) % 10
    np.savez(tmp_path / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    task = f"learning.task={{name: image_classification, train: {tmp_path / 'data.npz'}}}"
    with pytest.raises(SystemExit) as stop:
        main(["run", "quickstart", "--out", str(tmp_path / "run"), "--set", task, "--set", "ues.count=2"])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "12" in message
    assert "8" in message
    assert "resize" in message
    assert "Traceback" not in message


def test_a_run_ends_early_when_every_battery_is_empty(tmp_path):
    """Oracle: the log: rounds until the joules of all UEs are spent, then an event that says so, and a summary."""
    settings = [
        *SMALL,
        "learning.rounds=50",
        "ues.device={battery_j: 0.5}",
        "learning.central=skip",
        "report.figures=none",
    ]
    done = run(load("quickstart", settings), out=tmp_path / "empty", quiet=True)
    results = load_results(done.path)
    assert 0 < len(results.rounds) < 50
    spent_j = results.ues.groupby("ue")[["transmit_energy_j", "receive_energy_j", "compute_energy_j"]].sum().sum(axis=1)
    assert (spent_j >= 0.5).all()
    assert results.events[-1]["event"] == "no_ues_left"
    assert done.summary.rounds == len(results.rounds)


def test_a_run_without_anybody_is_refused(tmp_path):
    """Oracle: the sentence."""
    trace = tmp_path / "trace.csv"
    trace.write_text("ue,start_s,end_s\n")
    nobody = f"learning.participation={{name: all, availability: {{name: trace, path: '{trace}'}}}}"
    with pytest.raises(UserError, match="no UE is ever there"):
        run(load("quickstart", [*SMALL, nobody]), out=tmp_path / "nobody", quiet=True)


# Nobody waits: at the end of any server step payloads, trainings and a part of a buffer are under way.
ASYNCHRONOUS = [
    *SMALL, "name=asynchronous", "ues.count=4", "learning.rounds=6", "learning.model=mlp", "learning.adapter=full",
    "learning.central=skip", "learning.schedule={name: fedbuff, buffer: 2}",
    "learning.compression.uplink={name: top_k, density: 0.2}", "ues.device.clock_hz=4e8", "report.figures=none",
]  # fmt: skip


def test_a_run_without_rounds_killed_and_resumed_equals_uninterrupted(tmp_path):
    """Oracle: the uninterrupted run, every file of it: rows, events, summary and adapter."""
    once = run(load("quickstart", ASYNCHRONOUS), out=tmp_path / "once", quiet=True)
    assert once.summary.mean_staleness > 0
    arguments = [item for override in ASYNCHRONOUS for item in ("--set", override)]
    events = [json.loads(line) for line in (tmp_path / "once" / "events.jsonl").read_text().splitlines()]
    step = next(event["round"] for event in events if event["event"] == "training_done" and event["round"] > 2)
    code, _, errors = signalled(tmp_path, signal.SIGKILL, step, "quickstart", "--out", "killed", *arguments)
    assert code == -signal.SIGKILL, errors
    resume(tmp_path / "killed", quiet=True)
    assert_same_files(tmp_path / "once", tmp_path / "killed")


@pytest.mark.parametrize("schedule", ["synchronous", "fedbuff"])
def test_a_run_ends_when_its_time_is_over(schedule, tmp_path):
    """Oracle: the rows: the last round alone ends after the time; without the limit there are more."""
    limited = [*ASYNCHRONOUS, f"learning.schedule={schedule}", "learning.rounds=1000", "learning.until_s=1.5"]
    rounds = load_results(run(load("quickstart", limited), out=tmp_path / "r", quiet=True).path).rounds
    ends_s = rounds["end_s"].to_numpy()
    assert 1 < len(ends_s) < 1000
    assert ends_s[-1] >= 1.5 > ends_s[-2]
