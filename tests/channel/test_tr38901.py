import time
from dataclasses import fields

import numpy as np
import pytest
from scipy import stats

from channel.antenna import AntennaArray
from channel.errors import UserError
from channel.seeding import stream_key
from channel.sionna_adapter import sionna_state
from channel.tr38901 import Tr38901
from channel.units import SPEED_OF_LIGHT_M_S

DUAL = AntennaArray(rows=2, columns=2)
BANDS_HZ = (np.arange(13) - 6) * 4 * 12 * 30e3


def ring(num_ues, low_m, high_m, seed=0):
    """Return UE positions around the origin at 1.5 m height."""
    rng = np.random.default_rng(seed)
    distance, angle = rng.uniform(low_m, high_m, num_ues), rng.uniform(-np.pi, np.pi, num_ues)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle), np.full(num_ues, 1.5)], axis=-1)


@pytest.fixture
def town(make_geometry):
    """Two sites, the first with two sectors, and 5 UEs walking at 1.4 m/s."""
    velocity = np.random.default_rng(1).normal(size=(5, 3)) * (1, 1, 0)
    return make_geometry(
        ring(5, 40.0, 150.0),
        ue_velocity_m_s=1.4 * velocity / np.linalg.norm(velocity, axis=1, keepdims=True),
        cell_position_m=[(0, 0, 10), (0, 0, 10), (250, 0, 10)],
        azimuth_deg=[30.0, 150.0, -170.0],
        downtilt_deg=5.0,
        array=DUAL,
        subband_frequency_hz=BANDS_HZ,
    )


def link_power(state):
    """Return the sum of ray powers at the first antenna, [ues, cells]."""
    return np.sum(np.abs(state.amplitude[..., 0].astype(complex)) ** 2, axis=-1)


def sionnas_response(geometry, model, seed, time_step_s, indoor):
    """Return H at times 0 and ``time_step_s`` by Sionna's own public call, [2, ues, cells, antennas, subbands]."""
    with sionna_state(stream_key(seed, "tr38901"), precision="double"):
        from sionna.phy.channel import tr38901

        array = geometry.cell_array
        cell_array = tr38901.PanelArray(
            array.rows, array.columns, array.polarization, {"dual": "cross", "single": "V"}[array.polarization],
            array.pattern, geometry.carrier_hz,
        )  # fmt: skip
        ue_array = tr38901.PanelArray(1, 1, "single", "V", "omni", geometry.carrier_hz)
        orientation = np.zeros((1, geometry.num_cells, 3))
        orientation[0, :, 0], orientation[0, :, 1] = geometry.cell_azimuth_rad, geometry.cell_downtilt_rad
        sionna = {"umi": tr38901.UMi, "uma": tr38901.UMa}[model.scenario](
            geometry.carrier_hz, model.o2i_model, ue_array, cell_array, "downlink", spec_version=model.spec_version
        )
        sionna.set_topology(
            geometry.ue_position_m[None],
            geometry.cell_position_m[None],
            np.zeros((1, geometry.num_ues, 3)),
            orientation,
            np.array(geometry.ue_velocity_m_s)[None],
            np.full((1, geometry.num_ues), indoor),
            los={"random": "random", "yes": True, "no": False}[model.los],
            bs_site_ids=np.array([0, 0, 1]),
        )
        a, tau = (x.numpy() for x in sionna(2, 1 / time_step_s))
    phasor = np.exp(-2j * np.pi * tau[0][..., None] * geometry.subband_frequency_hz)  # [ues, cells, paths, bands]
    return np.einsum("rtmpk,rtpf->krtmf", a[0, :, 0], phasor)


@pytest.mark.parametrize(
    ("parameters", "carrier_hz", "array"),
    [
        ({"scenario": "umi"}, 3.5e9, DUAL),
        ({"scenario": "umi", "los": "yes"}, 3.5e9, AntennaArray(rows=1, columns=2, polarization="single")),
        ({"scenario": "umi", "indoor_fraction": 1.0, "o2i_model": "high"}, 28e9, DUAL),
        ({"scenario": "uma", "los": "no", "spec_version": "16.1"}, 6e9, DUAL),
        ({"scenario": "uma", "los": "yes"}, 700e6, DUAL),
    ],
)
def test_response_equals_sionnas(town, make_geometry, parameters, carrier_hz, array):
    """Oracle: Sionna's own UMi and UMa, the same draws, at time 0 and 50 ms later (1e-4 of each link).

    Catches a lost K-factor, path loss, shadowing or sub-cluster, a wrong Doppler sign, a wrong ray order.
    """
    geometry = make_geometry(
        town.ue_position_m,
        ue_velocity_m_s=town.ue_velocity_m_s,
        cell_position_m=town.cell_position_m,
        azimuth_deg=np.degrees(town.cell_azimuth_rad),
        downtilt_deg=5.0,
        array=array,
        carrier_hz=carrier_hz,
        subband_frequency_hz=BANDS_HZ,
    )
    model = Tr38901(coherence_interval_s=0.05, **parameters)
    state = model.start(geometry, 7)
    ours = np.stack([model.realise(geometry, state, t, 7)[0].gain[0, :, 0] for t in (0.0, 0.05)])
    theirs = sionnas_response(geometry, model, 7, 0.05, bool(model.indoor_fraction))
    scale = np.sqrt(np.mean(np.abs(theirs) ** 2, axis=(0, 3, 4), keepdims=True))
    assert np.abs((ours - theirs) / scale).max() < 1e-4
    assert np.abs((ours[1] - ours[0]) / scale[0]).max() > 0.05  # 5 cm of walking does change the channel


def test_paths_and_gains_agree(town):
    """Oracle: the DFT of a snapshot's taps at the subband centres. Catches paths that miss the direct ray."""
    model = Tr38901(los="yes")
    snapshot = model.realise(town, model.start(town, 2), 0.123, 2)[0]
    response = snapshot.paths.frequency_response(town.subband_frequency_hz)
    np.testing.assert_allclose(response, snapshot.gain, atol=1e-5 * np.abs(snapshot.gain).max())
    assert snapshot.paths.delay_s.min() == 0
    assert snapshot.paths.delay_s.max() < 20e-6  # no unused cluster left at Sionna's 1 s


def test_umi_path_loss_and_shadowing_follow_table_7_4_1_1(make_geometry):
    """Oracle: UMi LOS path loss with its break point, and N(0, 4 dB) shadowing, over 300 UEs far apart.

    The rays' powers of an omni antenna sum to path loss times shadowing exactly. Catches metres for
    kilometres, a 2D distance, an amplitude for a power, and a K-factor that adds power.
    """
    ues = ring(300, 20.0, 2000.0)
    geometry = make_geometry(ues)
    state = Tr38901(los="yes").start(geometry, 3)
    measured_db = -10 * np.log10(link_power(state)[:, 0])
    distance_2d, distance_3d = np.linalg.norm(ues[:, :2], axis=1), np.linalg.norm(ues - (0, 0, 10), axis=1)
    break_m = 4 * 9.0 * 0.5 * 3.5e9 / SPEED_OF_LIGHT_M_S
    near_db = 32.4 + 21 * np.log10(distance_3d) + 20 * np.log10(3.5)
    far_db = 32.4 + 40 * np.log10(distance_3d) + 20 * np.log10(3.5) - 9.5 * np.log10(break_m**2 + 8.5**2)
    shadowing_db = measured_db - np.where(distance_2d < break_m, near_db, far_db)
    assert abs(shadowing_db.mean()) < 3 * 4.0 / np.sqrt(300)
    assert shadowing_db.std() == pytest.approx(4.0, rel=0.12)
    assert stats.kstest(shadowing_db / 4.0, "norm").pvalue > 0.01


def test_sectors_of_a_site_share_its_large_scale_state(make_geometry):
    """Oracle: equal ray power to omni antennas of one site, unequal to another's at the same distance."""
    geometry = make_geometry(
        [(0.0, 60.0, 1.5), (0.0, -90.0, 1.5)],
        cell_position_m=[(-50, 0, 10), (50, 0, 10), (-50, 0, 10)],
        azimuth_deg=[30.0, 30.0, 150.0],
    )
    power = link_power(Tr38901().start(geometry, 4))
    np.testing.assert_allclose(power[:, 0], power[:, 2], rtol=1e-5)
    assert (np.abs(power[:, 1] / power[:, 0] - 1) > 0.01).all()


def test_los_decides_on_the_direct_path(town):
    """Oracle: the direct ray's power is positive with a line of sight and zero without, or indoors."""
    direct = {los: np.abs(Tr38901(los=los).start(town, 5).amplitude[:, :, -1]) for los in ("yes", "no")}
    assert (direct["yes"] > 0).all()
    assert not direct["no"].any()
    assert not Tr38901(los="yes", indoor_fraction=1.0).start(town, 5).amplitude[:, :, -1].any()


def test_channel_changes_no_faster_than_doppler_allows(town):
    """Property: |h(t + dt) - h(t)| <= 2 pi (v / lambda) dt sum |A_r|, also after an hour. Catches redrawn phases."""
    model = Tr38901(coherence_interval_s=1e-3)
    state = model.start(town, 6)
    bound = 2 * np.pi * 1.4 * 3.5e9 / SPEED_OF_LIGHT_M_S * 1e-3 * np.abs(state.amplitude).sum(axis=2)
    for start_s in (0.0, 0.5, 3600.0):
        h = [model.realise(town, state, start_s + k * 1e-3, 6)[0].gain[0, :, 0] for k in range(5)]
        steps = np.abs(np.diff(h, axis=0))
        assert (steps <= bound[..., None] * (1 + 1e-4)).all()
        assert (steps.max(axis=(0, -1)) > 0.01 * bound).all()


def test_a_standing_ue_hears_a_constant_channel(make_geometry):
    """Oracle: no motion, no Doppler. Catches fading that is redrawn per interval."""
    geometry = make_geometry([(50.0, 0.0, 1.5)])
    model = Tr38901()
    state = model.start(geometry, 1)
    assert model.realise(geometry, state, 0.0, 1)[0].gain == model.realise(geometry, state, 9.0, 1)[0].gain


def test_the_drop_depends_on_the_seed_alone(town):
    """Oracle: bit equality for one seed, also after a failed draw, and difference for another."""
    first, again, other = (Tr38901().start(town, seed) for seed in (8, 8, 9))
    for field in fields(first):
        np.testing.assert_array_equal(getattr(first, field.name), getattr(again, field.name))
    assert not np.array_equal(first.amplitude, other.amplitude)


@pytest.mark.parametrize(
    ("scenario", "ue", "message"),
    [
        ("umi", (6.0, 7.0, 1.5), r"UE 1 stands 9.2 m from cell 0, but TR 38.901 umi holds from 10 m; move it away"),
        ("uma", (0.0, 34.0, 1.5), r"UE 1 stands 34.0 m from cell 0, but TR 38.901 uma holds from 35 m"),
        ("umi", (50.0, 0.0, 1.0), r"a UE at 1 m height is outside TR 38.901 umi's 1.5 to 22.5 m; set ues.height_m"),
        ("umi", (50.0, 0.0, 30.0), r"a UE at 30 m height"),
    ],
)
def test_worlds_outside_the_model_are_refused(make_geometry, scenario, ue, message):
    """Oracle: TR 38.901 table 7.4.1-1 applicability ranges; one sentence with the remedy."""
    with pytest.raises(UserError, match=message):
        Tr38901(scenario=scenario).start(make_geometry([(80.0, 0.0, 1.5), ue]), 1)


def test_a_missing_device_is_refused(town):
    """Oracle: no machine has a 100th GPU."""
    with pytest.raises(UserError, match="device 'cuda:99' is not available"):
        Tr38901().start(town, 1, device="cuda:99")


def test_bare_yaml_words_mean_what_they_say():
    """Oracle: YAML 1.1 reads yes, no and 19.2 as a boolean and a float."""
    model = Tr38901.model_validate({"los": True, "spec_version": 16.1})
    assert (model.los, model.spec_version) == ("yes", "16.1")
    assert Tr38901.model_validate({"los": False}).los == "no"


def test_a_small_world_is_realised_within_1_5_ms(make_geometry):
    """Oracle: the speed asked for: 8 UEs, 1 cell, 8 antennas, 13 subbands, one thread (0.1 ms when written)."""
    geometry = make_geometry(
        ring(8, 20.0, 100.0), ue_velocity_m_s=(1.4, 0, 0), array=DUAL, subband_frequency_hz=BANDS_HZ
    )
    model = Tr38901()
    state = model.start(geometry, 1)
    times = []
    for k in range(30):
        begin = time.perf_counter()
        model.realise(geometry, state, k * 5e-3, 1)
        times.append(time.perf_counter() - begin)
    assert min(times) < 1.5e-3
