"""`airtune network`: every indicator against the trace of transport blocks, and what is left behind."""

from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from channel.errors import UserError
from ran.metrics.network_kpis import UE_COLUMNS, time_share
from ran.metrics.results import load as load_results
from ran.numerology import Numerology
from scenarios.build import build_world
from scenarios.cli import main
from scenarios.load import load
from scenarios.network_run import FinishedNetworkRun, measure, run_network, with_traffic
from scenarios.progress import open_slot_progress

# Three cells that interfere, two kinds of traffic, UEs that drive between cells; a second of wall-clock time.
SMALL = [
    "name=small", "channel=rayleigh", "ues.count=6", "ues.placement.max_distance_m=150", "ues.placement.sector_deg=360",
    "sites.layout={name: explicit, positions_m: [[0, 0], [200, 0], [100, 170]]}",
    "ues.mobility={name: linear, speed_m_s: 120}",
    "mac.handover={offset_db: 0, hysteresis_db: 0, time_to_trigger_s: 0.01, filter_coefficient: 0}",
    "traffic.flows=[{name: ftp3, file_bytes: 20000, files_per_s: 20}, "
    "{name: cbr, direction: uplink, ues: [1, 4], packet_bytes: 500, rate_bit_s: 800000}]",
]  # fmt: skip
DURATION_S, WARMUP_S = 0.3, 0.1
SLOT_S, NUM_PRBS, BANDWIDTH_HZ = 5e-4, 51, 20e6
MAY_DIFFER = "timing.json"


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> FinishedNetworkRun:
    out = tmp_path_factory.mktemp("network") / "small"
    return run_network(
        load("quickstart", SMALL), duration_s=DURATION_S, warmup_s=WARMUP_S, out=out, trace=True, quiet=True
    )


@pytest.fixture(scope="module")
def trace(done: FinishedNetworkRun) -> pd.DataFrame:
    """Return the transport blocks after the warm-up."""
    rows = pd.read_parquet(done.path / "slots.parquet")
    assert rows["slot"].min() < WARMUP_S / SLOT_S <= rows["slot"].max()
    return rows[rows["time_s"] >= WARMUP_S - 1e-9]


def test_indicators_are_sums_over_the_trace(done, trace):
    """Oracle: pandas sums over the transport blocks. Catches counters that include the warm-up, or the wrong share."""
    slots = round(DURATION_S / SLOT_S)
    # DDDSU, special slots of 10 downlink, 2 guard and 2 sounding symbols: 52 to 16 symbols.
    share, usable = {"downlink": 52 / 68, "uplink": 16 / 68}, {"downlink": 4 / 5, "uplink": 1 / 5}
    assert [way.direction for way in done.measured.kpis.directions] == ["downlink", "uplink"]
    for way in done.measured.kpis.directions:
        rows = trace[trace["direction"] == way.direction]
        acked, first = rows[rows["ack"] == 1], rows[rows["attempt"] == 1]
        resource = BANDWIDTH_HZ * DURATION_S * share[way.direction]
        by_cell = acked.groupby("cell")["payload_bytes"].sum().reindex(range(3), fill_value=0)
        np.testing.assert_allclose(way.cell_se_bit_s_hz, 8 * by_cell / resource)
        users = range(6) if way.direction == "downlink" else [1, 4]
        by_ue = acked.groupby("ue")["payload_bytes"].sum().reindex(users, fill_value=0)
        np.testing.assert_allclose(way.user_se_bit_s_hz, 8 * by_ue / resource)
        assert way.cell_edge_se_bit_s_hz == pytest.approx(np.percentile(way.user_se_bit_s_hz, 5))
        assert way.first_bler == pytest.approx((first["ack"] == 0).mean())
        assert way.mean_rank == pytest.approx(first["rank"].mean())
        prbs = rows.groupby("cell")["prbs"].sum().reindex(range(3), fill_value=0)
        np.testing.assert_allclose(way.prb_utilisation, prbs / (NUM_PRBS * slots * usable[way.direction]))
        assert way.jain_index == pytest.approx(by_ue.sum() ** 2 / (len(by_ue) * (by_ue**2).sum()))
        assert sum(part.carried_bit_s for part in way.slices) == pytest.approx(8 * by_ue.sum() / DURATION_S)


def test_rows_of_bearers_are_sums_over_the_trace(done, trace):
    """Oracle: pandas again, bearer by bearer; mean SINR and MCS are those of first transmissions."""
    ues = load_results(done.path).network_ues
    assert list(ues.columns) == list(UE_COLUMNS)
    assert len(ues) == 8
    for row in ues.itertuples():
        rows = trace[(trace["ue"] == row.ue) & (trace["direction"] == row.direction) & (trace["slice"] == row.slice)]
        first = rows[rows["attempt"] == 1]
        assert row.delivered_bytes == rows.loc[rows["ack"] == 1, "payload_bytes"].sum()
        assert row.rate_bit_s == pytest.approx(8 * row.delivered_bytes / DURATION_S)
        assert row.prb_slots == rows["prbs"].sum()
        assert row.mcs == pytest.approx(first["mcs"].mean())
        assert row.sinr_db == pytest.approx(first["sinr_db"].mean(), rel=1e-5)
        assert row.bler == pytest.approx((first["ack"] == 0).mean())
        if not row.handovers:
            assert row.cell == trace[trace["ue"] == row.ue]["cell"].iloc[-1]


def test_both_tables_tell_the_same(done):
    """Properties: energy, packets, delays and handovers of the bearers add up to the indicators."""
    kpis, ues = done.measured.kpis, done.measured.bearers.to_pandas()
    assert kpis.handovers == ues.drop_duplicates("ue")["handovers"].sum() > 0
    for way in kpis.directions:
        rows, traffic = ues[ues["direction"] == way.direction], way.slices[1]
        assert way.ue_energy_j_bit * way.carried_bit_s * DURATION_S == pytest.approx(rows["energy_j"].sum())
        assert traffic.delivered == rows["packets"].sum() > 0
        assert traffic.delay_mean_s == pytest.approx(np.average(rows["delay_mean_s"], weights=rows["packets"]))
        assert traffic.delay_mean_s < traffic.delay_p95_s <= traffic.delay_max_s
    uplink = kpis.directions[1].slices[1]
    assert uplink.offered_bit_s == pytest.approx(2 * 800e3, rel=0.05)


def test_files_hold_what_was_measured(done):
    """Property: kpis.json gives back every number, histograms included; the figure is drawn."""
    again = load_results(done.path).network
    assert again.to_json().keys() == done.measured.kpis.to_json().keys()
    assert json.dumps(_plain(again.to_json())) == json.dumps(_plain(done.measured.kpis.to_json()))
    assert (done.path / "figures" / "network.png").read_bytes()[:4] == b"\x89PNG"


def _plain(value):
    from ran.metrics.files import plain

    return plain(value)


def test_an_equal_run_leaves_equal_files(done, tmp_path):
    """Property: byte-identical files but for wall-clock times; a file that is told apart by its trace too."""
    run_network(
        load("quickstart", SMALL), duration_s=DURATION_S, warmup_s=WARMUP_S, out=tmp_path / "b", trace=True, quiet=True
    )
    for path in sorted(done.path.rglob("*")):
        if path.is_file() and path.name != MAY_DIFFER:
            assert path.read_bytes() == (tmp_path / "b" / path.relative_to(done.path)).read_bytes(), path.name


def test_an_existing_directory_is_left_alone(done):
    with pytest.raises(UserError, match="--out"):
        run_network(load("quickstart", SMALL), out=done.path, quiet=True)


def test_a_measurement_cannot_be_resumed(done, capsys):
    """Property: `airtune run --resume` does not start a learning run in the directory of a measurement."""
    with pytest.raises(SystemExit) as stop:
        main(["run", "--resume", str(done.path)])
    assert stop.value.code == 2
    assert "airtune network" in capsys.readouterr().err
    assert not (done.path / "events.jsonl").exists()


def test_report_shows_a_measurement_again(done, capsys):
    main_ok(["report", str(done.path)])
    printed = capsys.readouterr().out
    assert "cell spectral efficiency" in printed
    assert "network.png" in printed


def main_ok(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code


@pytest.mark.parametrize(
    ("overrides", "direction", "slice_name"),
    [
        ([], "both", "traffic"),
        (["radio.tdd_pattern=D", "learning.transport=ideal"], "downlink", "traffic"),
        (["radio.tdd_pattern=U", "learning.transport=ideal"], "uplink", "traffic"),
        (["radio.tdd_pattern=D", "radio.duplex=fdd"], "both", "traffic"),
        (["mac.slices={learning: {share: 1}}"], "both", "traffic"),
        (["mac.slices={learning: {share: 0.5}, video: {share: 0.5}}"], "both", "video"),
    ],
)
def test_a_scenario_without_traffic_gets_full_buffers(overrides, direction, slice_name):
    """Property: all UEs, the directions that the duplex pattern has, a slice that exists, and one line that says so."""
    scenario, note = with_traffic(load("quickstart", overrides))
    (flow,) = scenario.traffic.flows
    assert (flow.name, flow.ues, flow.direction, flow.slice) == ("full_buffer", "all", direction, slice_name)
    assert slice_name in scenario.mac.slices
    assert slice_name in note
    again, nothing = with_traffic(scenario)
    assert again is scenario
    assert nothing == ""


def test_full_buffers_fill_the_resource():
    """Oracle: full buffers use every PRB of every cell that serves a UE, in both directions."""
    scenario, _ = with_traffic(load("quickstart", ["channel=rayleigh", "ues.count=3"]))
    measured = measure(build_world(scenario), duration_s=0.05, warmup_s=0.05)
    for way in measured.kpis.directions:
        assert way.prb_utilisation.tolist() == pytest.approx([1.0], abs=0.02)
        assert way.slices[1].delivered == 0


def test_shares_of_time_follow_the_duplex_ratio():
    """Oracle: by hand. DDDSU: 3 x 14 + 10 against 14 + 2 symbols; FDD: everything, twice."""
    tdd = Numerology.of(3.5e9, 20e6, 30e3, "DDDSU")
    assert (time_share(tdd, "downlink"), time_share(tdd, "uplink")) == (52 / 68, 16 / 68)
    fdd = Numerology.of(2e9, 20e6, 15e3, "", duplex="fdd")
    assert time_share(fdd, "downlink") == time_share(fdd, "uplink") == 1.0


@pytest.mark.parametrize(("at_slot", "measured_slots"), [(150, None), (300, 100)])
def test_ctrl_c_keeps_what_was_measured(at_slot, measured_slots):
    """Property: the slot under way ends, the indicators cover what ran; before the warm-up ends there is nothing."""
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def press(slots: int) -> None:
        if slots == at_slot:
            os.kill(os.getpid(), signal.SIGINT)

    world = build_world(load("quickstart", SMALL))
    try:
        if measured_slots is None:
            with pytest.raises(KeyboardInterrupt):
                measure(world, duration_s=0.3, warmup_s=200 * SLOT_S, after_slot=press)
        else:
            measured = measure(world, duration_s=0.3, warmup_s=200 * SLOT_S, after_slot=press)
            assert measured.interrupted
            assert measured.kpis.duration_s == pytest.approx(measured_slots * SLOT_S)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_command_prints_a_table_and_is_quiet_when_asked(tmp_path: Path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments = ["network", "quickstart", "--duration", "0.02", "--warmup", "0.01", "--set", "report.figures=none"]
    arguments += ["--set", "channel=rayleigh", "--set", "ues.count=2"]
    main_ok(arguments)
    printed = capsys.readouterr().out
    assert "full buffer" in printed.splitlines()[0]
    assert printed.count("x real time") == 10
    for words in ("5th percentile user SE", "mean rank", "energy per bit", "handovers", "downlink", "uplink"):
        assert words in printed
    main_ok([*arguments, "--quiet"])
    assert capsys.readouterr().out == ""
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"quickstart-network", "quickstart-network-2"}


def test_slot_progress_says_nothing_when_quiet_and_moves_a_bar_on_a_terminal():
    """Property: nothing when quiet; on a terminal, a bar with slots per second."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for quiet, stream in ((True, io.StringIO()), (False, Terminal())):
        with open_slot_progress(40, SLOT_S, quiet=quiet, stream=stream) as after_slot:
            for done in range(1, 41):
                after_slot(done)
        assert ("slots/s" in stream.getvalue()) is not quiet
