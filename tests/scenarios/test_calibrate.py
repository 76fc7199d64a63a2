import json
from pathlib import Path

import numpy as np
import pytest

from channel.calibration import LargeScaleMetrics, large_scale_calibration
from channel.errors import UserError
from scenarios.calibrate import Check, Curve, calibrate_large_scale, find_reference, print_checks, read_reference
from scenarios.cli import main


@pytest.fixture
def drawn(monkeypatch):
    """Replace the 15 s of drops by normal draws around a plausible middle."""
    rng = np.random.default_rng(0)
    metrics = LargeScaleMetrics(rng.normal(-100, 20, 900), rng.normal(7, 8, 900), rng.normal(5, 8, 900))
    monkeypatch.setattr("channel.calibration.large_scale_calibration", lambda *args, **options: metrics)


def test_metrics_lie_near_the_companies():
    """Oracle: the medians over companies for UMi at 5, 50 and 95 % (REFERENCE section 3), within 2.5 dB.

    Catches a missing tilt or element gain (8 to 18 dB), the other scenario's power, no wraparound and noise in kHz. The
    companies' ranges at every decile, and UMa, are checked by `airtune calibrate`.
    """
    metrics = large_scale_calibration("umi", num_ues=2000, seed=2)
    assert len(metrics.sir_db) == 2000
    for ours, theirs in (
        (metrics.coupling_gain_db, (-141.9, -111.5, -74.7)),
        (metrics.sir_db, (-1.7, 7.4, 24.9)),
        (metrics.sinr_db, (-6.4, 5.8, 24.0)),
    ):
        assert np.abs(np.percentile(ours, [5, 50, 95]) - theirs).max() < 2.5
    assert (metrics.sinr_db < metrics.sir_db).all()


def collection(tmp_path, broken=False):
    """Return the path of a file like the companies', with three flat companies of which the third filed a SIR."""
    data = {"A": [-120.0, -100.0, -80.0], "B": [-118.0, -98.0, -78.0]}
    metric = {"cdf_percentiles": [0, 50, 100], "data": data}
    metrics = {"coupling_loss": {**metric, "data": {**data, "C": [-5.0, 5.0, 25.0]}}, "wideband_sir": metric}
    scenario = {"metrics": metrics if broken else {**metrics, "geometry_sinr": metric}}
    path = tmp_path / "curves.json"
    path.write_text(json.dumps({"scenarios": {"UMi-6GHz": scenario}}))
    return path


def test_reference_curves(tmp_path):
    """Oracle: by hand. An impossible coupling gain is left out and named; interpolation between percentiles."""
    curves, left_out = read_reference(collection(tmp_path), "umi")
    assert left_out == ["C"]
    assert [curve.company for curve in curves["coupling_gain_db"]] == ["A", "B"]
    np.testing.assert_allclose(curves["sir_db"][0].at(np.array([25, 75])), [-110, -90])
    with pytest.raises(UserError, match="not a collection of 3GPP calibration curves"):
        read_reference(collection(tmp_path, broken=True), "umi")
    with pytest.raises(UserError, match=r"--reference nowhere\.json: no such file"):
        find_reference(Path("nowhere.json"))


def test_table_says_what_holds():
    """Oracle: by hand."""
    lines = []
    print_checks([Check("in", 1.0, 0.5, 1.5), Check("out", 2.0, 0.5, 1.5)], lines.append, digits=1)
    assert lines[1].endswith("holds")
    assert lines[2].endswith("FAILS")
    assert lines[-1] == "1 of 2 hold"
    assert Curve("A", np.array([0.0, 100.0]), np.array([0.0, 10.0])).at(np.array([50])) == 5.0


def test_command_fails_where_a_decile_fails(drawn, tmp_path, monkeypatch, capsys):
    """Oracle: companies at -100 +- 20 dB of SIR: the exit code is 1, the picture is there all the same."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["calibrate", "umi", "--ues", "10", "--reference", str(collection(tmp_path))])
    assert exit_.value.code == 1
    printed = capsys.readouterr().out
    assert "left out: C's coupling gain" in printed
    assert "FAILS" in printed
    assert (tmp_path / "calibration_umi.png").stat().st_size > 10_000


def test_without_curves_ours_alone(drawn, tmp_path):
    """Property: another carrier has no companies; the table has no ranges and nothing fails."""
    lines: list[str] = []
    assert calibrate_large_scale("umi", tmp_path / "a.png", lines.append, carrier_hz=28e9, num_ues=10)
    assert "ours alone" in lines[1]
    assert not any("holds" in line or "nan" in line for line in lines)


def test_the_companies_file_is_read(shared_data):
    """Oracle: REFERENCE section 3's medians over companies at 5, 50, 95 % of UMi's coupling gain."""
    curves, left_out = read_reference(shared_data / "calibration_38901_6ghz.json", "umi")
    at = np.median([curve.at(np.array([5, 50, 95])) for curve in curves["coupling_gain_db"]], axis=0)
    np.testing.assert_allclose(at, [-141.9, -111.5, -74.7], atol=0.3)
    assert left_out == ["NEC"]
