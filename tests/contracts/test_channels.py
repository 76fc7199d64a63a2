"""What every registered channel model must do, also one added tomorrow."""

import itertools
import os
import pickle
from typing import Annotated

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from channel import CHANNELS
from channel.antenna import AntennaArray, UeArray
from channel.geometry import Geometry
from channel.llvm import find_llvm, llvm_libraries
from channel.model import ChannelModel
from channel.ray_traced import RayTraced
from channel.ray_tracing_files import scene_names
from channel.rayleigh import Rayleigh
from channel.recorded import Recorded
from channel.recording import RecordingWriter

SEED = 11
TIMES_S = (0.0, 0.0049, 0.005, 0.0123, 7.0)
UE_ARRAYS = {"1": UeArray(), "2": UeArray(antennas=2), "4 dual": UeArray(antennas=4, polarization="dual")}
# What `checksum` said at 12.3 ms and 7 s of the code that knew UEs with one antenna only (commit c6d3b06).
ONE_ANTENNA = {
    "cdl": (-0.014371 + 0.030739j, -0.063938 - 0.001370j),
    "free_space": (-0.004304 - 0.010355j, -0.031115 + 0.006418j),
    "ray_traced": (-0.005120 - 0.011941j, -0.034132 + 0.009120j),
    "rayleigh": (-0.006525 + 0.123285j, 0.390679 + 0.088037j),
    "recorded": (-0.006525 + 0.123285j, 0.390679 + 0.088037j),
    "tdl": (-0.055021 - 0.586082j, -0.183334 - 0.367397j),
    "tr38901": (-0.174673 - 0.132608j, 0.017776 - 0.098400j),
}
FIELD = TypeAdapter(Annotated[ChannelModel, CHANNELS.field()])


@pytest.fixture(scope="module", params=UE_ARRAYS)
def geometry(request):
    """Three cells on two sites with 8 antennas each, 5 walking UEs with 1, 2 or 4, 13 subbands."""
    ues = np.array([[60.0, 10, 1.5], [45, -45, 1.5], [-20, 80, 1.5], [130, 40, 1.5], [170, -60, 1.5]])
    return Geometry(
        carrier_hz=3.5e9,
        subband_frequency_hz=(np.arange(13) - 6) * 1.44e6,
        cell_position_m=np.array([[0.0, 0, 25], [0, 0, 25], [200, 0, 25]]),
        cell_azimuth_rad=np.radians([30.0, 150.0, 180.0]),
        cell_downtilt_rad=0.1,
        cell_array=AntennaArray(rows=2, columns=2, polarization="dual"),
        ue_position_m=ues,
        ue_velocity_m_s=np.array([[1.4, 0, 0], [0, 1.4, 0], [0, 0, 0], [-1, -1, 0], [20, 0, 0]]),
        ue_noise_psd_w_hz=3e-20,
        gnb_noise_psd_w_hz=1e-20,
        ue_array=UE_ARRAYS[request.param],
    )


@pytest.fixture(scope="module", params=CHANNELS.names())
def model(request, geometry, tmp_path_factory, monkeypatch_module):
    if request.param == "recorded":
        return recorded(geometry, tmp_path_factory.mktemp("recorded") / "air.h5")
    if request.param == "ray_traced":
        folder = tmp_path_factory.mktemp("ray_traced")
        monkeypatch_module.setenv("AIRTUNE_CACHE", str(folder))
        return flat_ground(folder / "flat.xml")
    return CHANNELS.get(request.param)()


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def flat_ground(path):
    """Return ray tracing over 1 km of flat concrete."""
    llvm = find_llvm(os.environ, llvm_libraries())
    if not llvm.path or not scene_names():
        pytest.skip(f"ray tracing: {llvm.text}")
    path.write_text(
        '<scene version="2.1.0"><bsdf type="itu-radio-material" id="m"><string name="type" value="concrete"/></bsdf>'
        '<shape type="rectangle" id="ground"><transform name="to_world"><scale x="500" y="500"/></transform>'
        '<ref id="m" name="bsdf"/></shape></scene>'
    )
    return RayTraced(scene=str(path), samples=10_000)


def recorded(geometry, path):
    """Return a replay of Rayleigh fading in the intervals that the tests below ask for."""
    source, state = Rayleigh(), Rayleigh().start(geometry, SEED)
    asked = {source.interval(time_s)[0] for time_s in (*TIMES_S, 0.02, 0.31)}
    with RecordingWriter(path, coherence_interval_s=source.coherence_interval_s) as writer:
        for index in sorted(asked | {index + 1 for index in asked}):
            writer.append(source.realise(geometry, state, (index + 0.5) * source.coherence_interval_s, SEED)[0])
    return Recorded(file=str(path))


@pytest.fixture(scope="module")
def state(model, geometry):
    return model.start(geometry, SEED)


def run(model, geometry, state, times_s, seed=SEED):
    """Return the snapshots at ``times_s``, handing the state on."""
    snapshots = []
    for time_s in times_s:
        snapshot, state = model.realise(geometry, state, time_s, seed)
        snapshots.append(snapshot)
    return snapshots


def test_shapes_and_types(model, geometry, state):
    """Oracle: the snapshot's documented contract."""
    snapshot = run(model, geometry, state, [0.02])[0]
    assert snapshot.gain.shape == (1, 5, geometry.ue_array.antennas, 3, 8, 13)
    assert snapshot.gain.dtype == np.complex64
    assert np.isfinite(snapshot.gain).all()
    assert (snapshot.path_gain > 0).all()
    assert (snapshot.path_gain < 1).all()
    np.testing.assert_array_equal(snapshot.subband_frequency_hz, geometry.subband_frequency_hz)
    np.testing.assert_array_equal(snapshot.cell_position_m, geometry.cell_position_m)
    assert (snapshot.ue_noise_psd_w_hz, snapshot.gnb_noise_psd_w_hz) == (3e-20, 1e-20)
    assert snapshot.ue_position_m.shape == (1, 5, 3)


def checksum(snapshot):
    """Return a weighted sum of all gains over the root of each link's mean power."""
    gain = snapshot.gain / np.sqrt(snapshot.path_gain)[:, :, None, :, None, None]
    weight = np.exp(2j * np.pi * np.sqrt(2) * np.arange(gain.size))
    return weight @ gain.ravel() / np.sqrt(gain.size)


def test_one_antenna_hears_what_it_always_did(model, geometry, state):
    """Oracle: numbers of the code before UEs had arrays, to 1e-3, which processors may differ by in ray tracing.

    Catches another order or number of random draws, and a single antenna away from the UE's position.
    """
    if geometry.ue_array == UeArray() and model.name in ONE_ANTENNA:
        found = [checksum(snapshot) for snapshot in run(model, geometry, state, [0.0123, 7.0])]
        np.testing.assert_allclose(found, ONE_ANTENNA[model.name], atol=1e-3)


def test_antennas_of_a_ue_have_equal_power_and_differ(model, geometry, state):
    """Property: no antenna hears more than another by 4 standard errors over the links, cross-polarised cells serving.

    Catches an antenna left out or summed twice, and one that repeats another. Ray tracing is exempt where dual: the
    ground reflects the two polarisations differently (Brewster).
    """
    if geometry.ue_array.antennas == 1 or (model.name == "ray_traced" and geometry.ue_array.polarization == "dual"):
        return
    gain = np.concatenate([snapshot.gain for snapshot in run(model, geometry, state, TIMES_S[::2])])
    power = np.mean(np.abs(gain) ** 2, axis=(4, 5))  # [times, num_rx, num_rx_ant, num_tx]
    share = (power / power.mean(axis=2, keepdims=True)).mean(axis=0).swapaxes(1, 2).reshape(15, -1) - 1
    error = share.std(axis=0, ddof=1) / np.sqrt(15)
    assert (np.abs(share.mean(axis=0)) < 4 * error + 1e-4).all()
    scale = np.sqrt(power.mean(axis=2))[:, :, :, None, None]
    for a, b in itertools.combinations(range(geometry.ue_array.antennas), 2):
        assert (np.abs(gain[:, :, a] - gain[:, :, b]) / scale).max() > 0.1


def test_validity_intervals_tile_time(model, geometry, state):
    """Property: every snapshot holds the time asked for, is the same all through its interval, and UEs move on."""
    for time_s, snapshot in zip(TIMES_S, run(model, geometry, state, TIMES_S), strict=True):
        assert snapshot.valid_from_s <= time_s < snapshot.valid_until_s
        middle, after = run(
            model, geometry, state, [(snapshot.valid_from_s + snapshot.valid_until_s) / 2, snapshot.valid_until_s]
        )
        np.testing.assert_array_equal(middle.gain, snapshot.gain)
        assert after.valid_from_s == snapshot.valid_until_s
        np.testing.assert_allclose(snapshot.ue_position_m[0], geometry.ue_position_at(snapshot.valid_from_s))


def test_equal_arguments_give_equal_bits(model, geometry, state):
    """Property: start and realise are functions. A resumed run draws its state again and goes on with equal bits."""
    first = run(model, geometry, state, TIMES_S)
    again = run(model, geometry, FIELD.validate_python(model.model_dump(mode="json")).start(geometry, SEED), TIMES_S)
    for a, b in zip(first, again, strict=True):
        assert a.gain.tobytes() == b.gain.tobytes()
        assert a.ue_position_m.tobytes() == b.ue_position_m.tobytes()


def test_time_can_be_asked_for_in_any_order(model, geometry, state):
    """Property: no memory: forwards, backwards and in jumps give the same bits."""
    forwards = run(model, geometry, state, TIMES_S)
    backwards = run(model, geometry, state, TIMES_S[::-1])[::-1]
    for a, b in zip(forwards, backwards, strict=True):
        assert a.gain.tobytes() == b.gain.tobytes()


def test_another_seed_differs_unless_deterministic(model, geometry, state):
    """Property: the seed is used, by all but free space, recordings and ray tracing without scattering."""
    gain = run(model, geometry, state, [0.0])[0].gain
    other = run(model, geometry, model.start(geometry, SEED + 1), [0.0], SEED + 1)[0].gain
    assert np.array_equal(gain, other) == (model.name in ("free_space", "ray_traced", "recorded"))


def test_gains_are_the_paths_response(model, geometry, state):
    """Oracle: the DFT of the paths at the subband centres, where a model has paths."""
    snapshot = run(model, geometry, state, [0.31])[0]
    if snapshot.paths is not None:
        assert snapshot.paths.gain.shape[:-1] == snapshot.gain.shape[:-1]
        assert snapshot.paths.delay_s.shape == (1, 5, 3, snapshot.paths.gain.shape[-1])
        response = snapshot.paths.frequency_response(geometry.subband_frequency_hz)
        scale = np.sqrt(snapshot.path_gain)[:, :, None, :, None, None]
        assert np.abs((response - snapshot.gain) / scale).max() < 1e-5


def test_yaml_and_pickle_round_trips(model):
    """Property: a component survives YAML, through the registry's field, and pickling."""
    text = yaml.safe_dump(model.model_dump(mode="json"))
    assert FIELD.validate_python(yaml.safe_load(text)) == model
    if not any(field.is_required() for field in type(model).model_fields.values()):
        assert FIELD.validate_python(model.name) == model
    assert pickle.loads(pickle.dumps(model)) == model


def test_parameters_are_checked_and_described(model):
    """Property: a misspelt parameter is refused, and `airtune list` has a line to show."""
    with pytest.raises(ValidationError, match="coherence_intervall_s"):
        type(model)(coherence_intervall_s=1.0)
    with pytest.raises(ValidationError):
        type(model)(coherence_interval_s=0.0)
    assert model.summary().endswith(".")
