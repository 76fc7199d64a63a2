"""Ray-traced channels. Oracles: image method, Friis, our own free space, and the solver against itself."""

import os
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from channel import ray_tracing_files
from channel.antenna import AntennaArray, UeArray
from channel.errors import UserError
from channel.free_space import FreeSpace
from channel.llvm import find_llvm, llvm_libraries
from channel.ray_traced import RayTraced
from channel.ray_tracing_files import scene_names
from channel.units import SPEED_OF_LIGHT_M_S

LLVM = find_llvm(os.environ, llvm_libraries())
needs_llvm = pytest.mark.skipif(not LLVM.path or not scene_names(), reason=f"ray tracing: {LLVM.text}")
CANYON = {"scene": "simple_street_canyon", "samples": 20_000}
SCREENS_M = (10.0, 10.0, 5.0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own."""
    monkeypatch.setenv("AIRTUNE_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def canyon(make_geometry):
    """A street between buildings: one panel above it, three walking UEs in it."""
    return make_geometry(
        [(-20, 0, 1.5), (10, 3, 1.5), (40, -4, 1.5)],
        ue_velocity_m_s=[(1.4, 0, 0), (-1.0, 0.2, 0), (0, 0, 0)],
        cell_position_m=[(-60, 0, 20), (-60, 0, 20)],
        azimuth_deg=[0, 120],
        downtilt_deg=8.0,
        array=AntennaArray(),
        subband_frequency_hz=(np.arange(4) - 2) * 5e6,
    )


def rays_of(model, geometry, seed=1):
    return model.start(geometry, seed).rays


def lengths_m(rays, ue=0, cell=0):
    """Return the path lengths of a link, m."""
    there = np.abs(rays.amplitude[ue, 0, cell, :, 0]) > 0
    return np.sort(rays.delay_s[ue, cell, there]) * SPEED_OF_LIGHT_M_S


def images(point, size, low, depth):
    """Return the images of ``point`` in a closed box up to so many reflections (1D images per axis combined)."""
    per_axis = []
    for x, length, start in zip(point, size, low, strict=True):
        found = []
        for n in range(-depth, depth + 1):
            mirrored = (x - start) if n % 2 == 0 else length - (x - start)
            found.append((start + n * length + mirrored, abs(n)))
        per_axis.append(found)
    return [
        np.array((a, b, c))
        for a, i in per_axis[0]
        for b, j in per_axis[1]
        for c, k in per_axis[2]
        if i + j + k <= depth
    ]


@needs_llvm
def test_box_has_the_image_methods_paths(make_geometry):
    """Oracle: a closed box of 10 x 10 x 5 m has, up to depth 2, one path for each of the 25 images of the cell."""
    cell, ue = (1.3, -2.1, 3.2), (-3.4, 1.7, 1.5)
    geometry = make_geometry([ue], cell_position_m=[cell])
    rays = rays_of(RayTraced(scene="box", max_depth=2, interactions=("line_of_sight", "reflection")), geometry)
    expected = np.sort([np.linalg.norm(place - ue) for place in images(cell, SCREENS_M, (-5, -5, 0), 2)])
    np.testing.assert_allclose(lengths_m(rays), expected, rtol=1e-5)
    assert len(expected) == 25


@needs_llvm
def test_reflectors_have_the_image_methods_paths(make_geometry):
    """Oracle: over the large horizontal mirror at z = 0, the direct path and the one from the cell's image."""
    cell, ue = np.array((-10.0, 2.0, 5.0)), np.array((-3.0, 1.0, 1.5))
    geometry = make_geometry([ue], cell_position_m=[cell])
    rays = rays_of(RayTraced(scene="double_reflector", samples=20_000), geometry)
    mirrored = np.linalg.norm(cell * (1, 1, -1) - ue)
    np.testing.assert_allclose(lengths_m(rays), [np.linalg.norm(cell - ue), mirrored], rtol=1e-5)


@needs_llvm
def test_line_of_sight_is_friis_and_every_port_is_free_space(make_geometry):
    """Oracles: Friis' formula at one isotropic antenna; free space between all ports of a tilted panel and of UEs."""
    place = {"cell_position_m": [(-10.0, 2.0, 5.0)]}
    ue_m = [(-3.0, 1.0, 1.5), (-12.0, 5.0, 1.5), (-5.0, -8.0, 2.0)]
    only_direct = RayTraced(scene="double_reflector", interactions=("line_of_sight",), samples=100)
    bare = make_geometry(ue_m, **place)
    gain = only_direct.realise(bare, only_direct.start(bare, 1), 0.0, 1)[0].path_gain[0, :, 0]
    wavelength_m = SPEED_OF_LIGHT_M_S / bare.carrier_hz
    distance_m = np.linalg.norm(bare.offset_at(0.0)[:, 0], axis=-1)
    np.testing.assert_allclose(gain, (wavelength_m / (4 * np.pi * distance_m)) ** 2, rtol=1e-4)

    panel = make_geometry(
        ue_m, **place, azimuth_deg=[30.0], downtilt_deg=6.0, array=AntennaArray(rows=2, columns=3),
        ue_velocity_m_s=(1.0, 0.5, 0.0), subband_frequency_hz=(np.arange(5) - 2) * 4e6,
        ue_array=UeArray(antennas=4, polarization="dual"),
    )  # fmt: skip
    state = only_direct.start(panel, 1)
    for time_s, error in ((0.0, 1e-3), (0.01, 1e-2), (3.0, 1e-3)):
        traced, state = only_direct.realise(panel, state, time_s, 1)
        exact = FreeSpace().realise(panel, None, time_s, 1)[0].gain
        assert np.abs(traced.gain - exact).max() < error * np.abs(exact).max(), time_s


@needs_llvm
def test_paths_turn_with_doppler_between_solves(canyon):
    """Oracle: a fresh solve where the UE has come to; over 0.1 m the paths' phases agree within 0.05 rad or so."""
    often = RayTraced(**CANYON, retrace_interval_s=0.005)
    seldom = RayTraced(**CANYON, retrace_interval_s=10.0)
    time_s = 0.07
    fresh = often.realise(canyon, often.start(canyon, 1), time_s, 1)[0].gain
    turned = seldom.realise(canyon, seldom.start(canyon, 1), time_s, 1)[0].gain
    still = seldom.realise(canyon, seldom.start(canyon, 1), 0.0, 1)[0].gain
    scale = np.sqrt(np.mean(np.abs(fresh) ** 2, axis=(3, 4, 5), keepdims=True))
    assert np.abs((turned - fresh) / scale).mean() < 0.05
    assert np.abs((still - fresh) / scale)[:, :2].mean() > 0.5


@needs_llvm
def test_equal_seeds_give_equal_bits_and_a_replay_equals_a_solve(canyon, cache, monkeypatch):
    """Properties: two solves are identical; so is what the cache gives back, for which no scene is loaded."""
    model = RayTraced(**CANYON, interactions=("line_of_sight", "reflection", "diffuse"), max_depth=2)

    def gains():
        state = model.start(canyon, 3)
        found = []
        for time_s in (0.0, 0.6, 0.2, 0.6):
            snapshot, state = model.realise(canyon, state, time_s, 3)
            found.append(snapshot.gain.tobytes())
        assert found[1] == found[3], "times can be asked for in any order"
        return found

    fresh = gains()
    files = sorted((cache / "paths").glob("*"))
    assert len(files) == 2
    with monkeypatch.context() as patch:
        patch.setattr("channel.ray_tracing.Tracer._solve", lambda *_: pytest.fail("solved again"))
        assert gains() == fresh
    stamp = files[0].read_bytes()
    files[0].write_bytes(stamp[: len(stamp) // 2])  # a damaged file counts as none
    files[1].unlink()
    assert gains() == fresh
    assert files[0].read_bytes() == stamp


@needs_llvm
def test_munich_replayed_equals_munich_solved(make_geometry, cache, monkeypatch):
    """Property: two fresh solves of Munich, and the first one's replay, have equal bits."""
    geometry = make_geometry(
        [(60, 60, 1.5), (110, 90, 1.5), (40, 120, 1.5)], cell_position_m=[(8.5, 21, 35)], array=AntennaArray()
    )
    kinds = ("line_of_sight", "reflection", "refraction", "diffraction")
    model = RayTraced(scene="munich", samples=20_000, interactions=kinds)
    first, replayed = rays_of(model, geometry), rays_of(model, geometry)
    assert len(list((cache / "paths").glob("*.npz"))) == 1
    monkeypatch.setenv("AIRTUNE_CACHE", str(cache / "elsewhere"))
    again = rays_of(model, geometry)
    for other in (replayed, again):
        assert other.amplitude.tobytes() == first.amplitude.tobytes()
        assert other.wave_rad_m.tobytes() == first.wave_rad_m.tobytes()
        assert other.delay_s.tobytes() == first.delay_s.tobytes()


@needs_llvm
def test_what_is_cached_depends_on_every_input(canyon, make_geometry, cache):
    """Property: another seed, option, array or place is another file; the retrace interval is none."""
    base = RayTraced(**CANYON)
    base.start(canyon, 1)
    for model, seed, files in (
        (base.model_copy(update={"retrace_interval_s": 1.0}), 1, 1),
        (base, 2, 2),
        (base.model_copy(update={"max_depth": 1}), 1, 3),
        (base.model_copy(update={"scene": "simple_street_canyon_with_cars"}), 1, 4),
    ):
        model.start(canyon, seed)
        assert len(list((cache / "paths").glob("*.npz"))) == files
    base.start(make_geometry(canyon.ue_position_m, cell_position_m=[(-60, 0, 20)]), 1)
    assert len(list((cache / "paths").glob("*.npz"))) == 5
    for ue_array, files in ((UeArray(antennas=2), 5), (UeArray(antennas=2, polarization="dual"), 6)):
        base.start(replace(canyon, ue_array=ue_array), 1)  # antennas in a row see what was solved for one
        assert len(list((cache / "paths").glob("*.npz"))) == files


@needs_llvm
def test_antennas_of_a_ue_are_where_they_say(canyon):
    """Oracle: UEs with one antenna at the places of a row's, solved there: phases agree within 0.05 rad or so."""
    row = replace(canyon, ue_array=UeArray(antennas=2), subband_frequency_hz=np.zeros(1))
    model = RayTraced(**CANYON)
    ours = model.realise(row, model.start(row, 1), 0.0, 1)[0].gain[0, :, :, :, 0, 0]
    for antenna, place_m in enumerate(SPEED_OF_LIGHT_M_S / 3.5e9 * row.ue_array.places()):
        alone = replace(row, ue_array=UeArray(), ue_position_m=row.ue_position_m + place_m)
        theirs = model.realise(alone, model.start(alone, 1), 0.0, 1)[0].gain[0, :, 0, :, 0, 0]
        assert (np.abs(ours[:, antenna] - theirs) / np.abs(ours).mean(axis=1)).mean() < 0.05
    assert (np.abs(ours[:, 1] - ours[:, 0]) / np.abs(ours).mean(axis=1)).mean() > 0.3


@needs_llvm
def test_global_random_state_is_left_alone(canyon):
    """Property: torch, NumPy and Python draw the same next numbers with and without a solve before."""

    def state():
        return torch.get_rng_state().numpy().tobytes(), np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002

    before = state()
    rays_of(RayTraced(**CANYON), canyon)
    assert state() == before


@needs_llvm
def test_heights_are_above_the_ground(make_geometry, tmp_path):
    """Oracle: a mirror at z = 7 m instead of 0, given by path: the same paths as over a ground at 0."""
    quad = (
        '<shape type="rectangle" id="g"><transform name="to_world"><scale x="50" y="50"/><translate z="{z}"/>'
        '</transform><ref id="m" name="bsdf"/></shape>'
    )
    metal = '<bsdf type="itu-radio-material" id="m"><string name="type" value="metal"/></bsdf>'
    geometry = make_geometry([(20, 5, 1.5)], cell_position_m=[(-10, 0, 10)])
    found = []
    for z in (0, 7):
        scene = tmp_path / f"ground_{z}.xml"
        scene.write_text(f'<scene version="2.1.0">{metal}{quad.format(z=z)}</scene>')
        found.append(rays_of(RayTraced(scene=str(scene), samples=20_000), geometry).delay_s)
    assert found[0].shape == (1, 1, 2)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


@needs_llvm
@pytest.mark.parametrize(
    ("ue_m", "cell_m", "message"),
    [
        (
            (500, 0, 1.5),
            (-60, 0, 20),
            r"UE 1 at \(500.0, 0.0\) m is outside the scene simple_street_canyon",
        ),
        ((0, 30, 1.5), (-60, 0, 20), r"UE 1 at \(0.0, 30.0\) m is inside a building .*nearest open place is \("),
        ((10, 0, 1.5), (0, 30, 2.0), r"cell 0 at \(0.0, 30.0\) m is inside a building .*raise it above the roof"),
    ],
)
def test_nobody_stands_in_a_wall_or_outside(make_geometry, ue_m, cell_m, message):
    """Oracle: the canyon's street lies along y = 0, buildings beside it, and nothing beyond its extent."""
    with pytest.raises(UserError, match=message):
        RayTraced(**CANYON).start(make_geometry([(5, 0, 1.5), ue_m], cell_position_m=[cell_m]), 1)


@needs_llvm
def test_a_ue_that_walks_into_a_wall(make_geometry):
    """The error names the UE, the place and the time; up to then all is well."""
    geometry = make_geometry([(0, 0, 1.5)], ue_velocity_m_s=(0, 10.0, 0), cell_position_m=[(-60, 0, 20)])
    model = RayTraced(**CANYON)
    state = model.realise(geometry, model.start(geometry, 1), 0.5, 1)[1]
    with pytest.raises(UserError, match=r"UE 0 at \(0.0, 30.0\) m, 3.0 s from the start, is inside a building"):
        model.realise(geometry, state, 3.0, 1)


def run_python(code, **environ):
    """Return the last line that a fresh interpreter says, with more environment variables."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environ},
    )  # fmt: skip
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def test_a_wrong_llvm_is_one_clear_line(tmp_path):
    """Oracle: an LLVM 15 by name, made up; nothing may import Dr.Jit, which would take the process with it."""
    old = tmp_path / "libLLVM-15.so.1"
    old.touch()
    code = (
        "import sys\nfrom channel.errors import UserError\nfrom channel.ray_tracing_scene import sionna_rt\n"
        "try: sionna_rt()\nexcept UserError as error: print(error, 'drjit' in sys.modules)"
    )
    said = run_python(code, DRJIT_LIBLLVM_PATH=str(old))
    assert said.startswith(f"ray tracing cannot start: DRJIT_LIBLLVM_PATH={old} is LLVM 15, which breaks Dr.Jit")
    assert said.endswith("False")
    missing = run_python(code, DRJIT_LIBLLVM_PATH=str(tmp_path / "none.so"))
    assert "does not exist; " in missing


def test_nothing_of_sionna_is_imported_before_start():
    """Property: a scenario with a ray-traced channel is checked without importing Dr.Jit, Sionna or NumPy."""
    code = (
        "import sys\nfrom channel import CHANNELS\nCHANNELS.get('ray_traced')(scene='box').problems()\n"
        "print([m for m in ('drjit', 'mitsuba', 'sionna', 'numpy') if m in sys.modules])"
    )
    assert run_python(code) == "[]"


def test_a_scene_that_is_not_there(monkeypatch):
    """Each mistake is one sentence at the field, with the remedy."""
    if not scene_names():
        pytest.skip("Sionna RT is not installed; run `pip install 'airtune[raytracing]'`")
    assert RayTraced(scene="munich").problems() == []
    [typo] = RayTraced(scene="munch").problems()
    assert typo.startswith("`scene`: unknown scene 'munch'; did you mean 'munich'? Known: box, ")
    [missing] = RayTraced(scene="no/such.xml").problems()
    assert missing.startswith("`scene`: there is no file 'no/such.xml'")
    monkeypatch.setattr(ray_tracing_files, "scene_folder", lambda: None)
    assert "pip install 'airtune[raytracing]'" in RayTraced(scene="munich").problems()[0]
    with pytest.raises(ValidationError, match="interactions"):
        RayTraced(scene="munich", interactions=("reflexion",))


@needs_llvm
def test_a_file_that_is_no_scene(make_geometry, tmp_path):
    """The error names the file."""
    scene = tmp_path / "broken.xml"
    scene.write_text("<scene><shape")
    with pytest.raises(UserError, match=r"Sionna RT cannot load .*broken\.xml"):
        RayTraced(scene=str(scene)).start(make_geometry([(0, 0, 1.5)]), 1)
