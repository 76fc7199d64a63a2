"""`airtune map`. Oracles: Friis and thermal noise in closed form, and our own free space under Sionna RT's solver."""

import os

import numpy as np
import pytest

from channel.errors import UserError
from channel.llvm import find_llvm, llvm_libraries
from channel.ray_tracing_files import scene_names
from channel.units import SPEED_OF_LIGHT_M_S, thermal_noise_w
from scenarios.cli import main
from scenarios.load import load
from scenarios.map import coverage, walk

LLVM = find_llvm(os.environ, llvm_libraries())
TWO_CELLS = [
    "channel=free_space", "sites.gnb.antenna.pattern=omni", "sites.gnb.antenna.polarization=single",
    "sites.layout={name: explicit, positions_m: [[-50, 0], [50, 0]]}", "ues.mobility=static",
]  # fmt: skip
FLAT = """<scene version="2.1.0"><bsdf type="itu-radio-material" id="m"><string name="type" value="concrete"/></bsdf>
<shape type="rectangle" id="ground"><transform name="to_world"><scale x="60" y="40"/>
<translate x="10" z="3"/></transform><ref id="m" name="bsdf"/></shape></scene>"""


def friis(distance_m):
    return (SPEED_OF_LIGHT_M_S / 3.5e9 / (4 * np.pi * distance_m)) ** 2


def distances_m(found, x_m):
    """Return the distance from a 10 m high cell at (x, 0) to UEs of 1.5 m on the map, [num_y, num_x]."""
    return np.sqrt((found.x_m - x_m) ** 2 + found.y_m[:, None] ** 2 + 8.5**2)


def test_coverage_of_any_channel_is_its_closed_form():
    """Oracle: Friis for each cell, P g / (P g' + k T B F) for the SINR, and the nearer cell as the server."""
    scenario = load("quickstart", TWO_CELLS)
    found = coverage(scenario, spacing_m=10.0)
    gain = np.stack([friis(distances_m(found, x_m)) for x_m in (-50, 50)])
    np.testing.assert_allclose(found.path_gain, gain, rtol=1e-4)
    noise_w = thermal_noise_w(51 * 12 * 30e3, scenario.ues.noise_figure_db)
    power_w = 10 ** (scenario.sites.gnb.tx_power_dbm / 10) / 1e3
    np.testing.assert_allclose(found.sinr, power_w * gain.max(0) / (power_w * gain.min(0) + noise_w), rtol=1e-3)
    west = np.flatnonzero(np.abs(found.x_m) > 1e-6)
    assert np.array_equal(found.server[:, west], np.broadcast_to((found.x_m > 0)[west], found.server[:, west].shape))


def test_nobody_stands_nearer_to_a_site_than_the_channel_holds():
    """Oracle: TR 38.901 UMi starts at 10 m; nearer squares are left out, all others have a gain."""
    found = coverage(load("quickstart"), spacing_m=15.0)
    near = np.hypot(*np.meshgrid(found.x_m, found.y_m)) < 10.0
    assert near.any()
    np.testing.assert_array_equal(np.isnan(found.path_gain[0]), near)
    assert (found.path_gain[0][~near] > 0).all()


@pytest.mark.skipif(not LLVM.path or not scene_names(), reason=f"ray tracing: {LLVM.text}")
@pytest.mark.parametrize(
    ("antenna", "tilt"), [("{pattern: omni, polarization: single}", 0), ("{pattern: '38.901', polarization: dual}", 12)]
)
def test_coverage_of_a_scene_is_free_space_where_nothing_else_is_traced(tmp_path, monkeypatch, antenna, tilt):
    """Oracle: with the line of sight alone, our free space on the same grid: places, tilt, sectors and share per port.

    A tilted vertical element also sends horizontally, which only the map's receiver collects (0.1 dB at 12 degrees).
    """
    scene = tmp_path / "flat.xml"
    scene.write_text(FLAT)
    options = [
        "sites.layout={name: explicit, positions_m: [[-20, -10], [30, 5]], azimuths_deg: [70, 200]}",
        f"sites.gnb.antenna={antenna}", f"sites.gnb.downtilt_deg={tilt}", "ues.mobility=static",
    ]  # fmt: skip
    traced = f"channel={{name: ray_traced, scene: {scene}, interactions: [line_of_sight]}}"
    found = coverage(load("quickstart", [*options, traced]), spacing_m=5.0)
    assert found.path_gain.shape == (2, 16, 24)
    np.testing.assert_allclose([found.x_m[0], found.x_m[-1], found.y_m[0]], [-47.5, 67.5, -37.5], atol=1e-3)
    monkeypatch.setattr("scenarios.map._ground", lambda *_: (found.x_m, found.y_m))
    exact = coverage(load("quickstart", [*options, "channel=free_space"])).path_gain
    ratio_db = 10 * np.log10(found.path_gain / exact)
    assert np.median(np.abs(ratio_db)) < 0.15
    assert np.abs(np.median(ratio_db)) < 0.05
    assert found.roof_m.max() < 1e-3


def test_a_walk_in_free_space_is_friis():
    """Oracle: Friis along the way, dBm."""
    scenario = load("quickstart", TWO_CELLS)
    found = walk(scenario, (0.0, 20.0), (30.0, 60.0))
    assert len(found.distance_m) == 501
    np.testing.assert_allclose(found.position_m[[0, -1]], [(0, 20), (30, 60)], atol=1e-9)
    for cell, x_m in enumerate((-50, 50)):
        distance_m = np.sqrt((found.position_m[:, 0] - x_m) ** 2 + found.position_m[:, 1] ** 2 + 8.5**2)
        expected_dbm = scenario.sites.gnb.tx_power_dbm + 10 * np.log10(friis(distance_m))
        np.testing.assert_allclose(found.power_dbm[:, cell], expected_dbm, atol=0.01)
    with pytest.raises(UserError, match="two different points"):
        walk(scenario, (1.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize("walk_", [[], ["--walk=20,0,40,0"]])
def test_the_command_writes_a_picture(tmp_path, capsys, walk_):
    """Property: a PNG file where it was asked for, whose path is printed."""
    out = tmp_path / "map.png"
    with pytest.raises(SystemExit) as exit_:
        main(["map", "smoke", "-o", str(out), *walk_])
    assert not exit_.value.code
    assert out.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.strip() == str(out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--walk=1,2,3"], "expected four numbers"),
        (["--walk=1,2,3,x"], "expected four numbers"),
        (["-o", "no/such/folder/map.png"], "no/such/folder/map.png: cannot be written"),
        (["--set", "channel={name: ray_traced, scene: munch}"], "did you mean 'munich'?"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as exit_:
        main(["map", "smoke", *arguments])
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
