import time

import numpy as np
import pytest
from scipy import stats

from channel.antenna import AntennaArray, UeArray
from channel.errors import UserError
from channel.sionna_adapter import sionna_state
from channel.tr38901 import Tr38901
from channel.tr38901_sionna import fresh_realisation
from channel.tr38901_tables import _set_topology, _sionna_scenario, read_tables
from channel.units import SPEED_OF_LIGHT_M_S
from tests.channel.sionna_oracle import sionnas_response

DUAL = AntennaArray(rows=2, columns=2)
BANDS_HZ = (np.arange(13) - 6) * 4 * 12 * 30e3
ON_ANCHORS = [(40.0, 12.0, 1.5), (-32.0, 60.0, 1.5), (8.0, -100.0, 1.5), (120.0, 4.0, 1.5), (-64.0, -40.0, 1.5)]


@pytest.fixture
def make_town(make_geometry):
    """Two sites, the first with two sectors, and 5 UEs, at first on anchors, walking at 1.4 m/s."""

    def make(carrier_hz=3.5e9, array=DUAL, cell_height_m=10.0, **changes):
        velocity = np.random.default_rng(1).normal(size=(5, 3)) * (1, 1, 0)
        settings = {
            "ue_velocity_m_s": 1.4 * velocity / np.linalg.norm(velocity, axis=1, keepdims=True),
            "cell_position_m": [(0, 0, cell_height_m), (0, 0, cell_height_m), (250, 0, cell_height_m)],
            "azimuth_deg": [30.0, 150.0, -170.0],
            "downtilt_deg": 5.0,
            "subband_frequency_hz": BANDS_HZ,
        }
        return make_geometry(ON_ANCHORS, array=array, carrier_hz=carrier_hz, **(settings | changes))

    return make


@pytest.mark.parametrize(
    ("parameters", "geometry"),
    [
        ({"scenario": "umi", "los": "no"}, {}),
        ({"scenario": "umi", "los": "yes"}, {"array": AntennaArray(rows=1, columns=2, polarization="single")}),
        ({"scenario": "umi", "los": "no", "indoor_fraction": 1.0, "o2i_model": "high"}, {"carrier_hz": 28e9}),
        ({"scenario": "uma", "los": "no", "spec_version": "16.1"}, {"carrier_hz": 6e9, "cell_height_m": 25.0}),
        ({"scenario": "uma", "los": "yes"}, {"carrier_hz": 700e6, "cell_height_m": 25.0}),
        ({"scenario": "rma", "los": "no"}, {"carrier_hz": 700e6, "cell_height_m": 35.0}),
        ({"scenario": "inh", "los": "no"}, {"cell_height_m": 3.0}),
        ({"scenario": "inf", "los": "yes"}, {"cell_height_m": 8.0}),
        ({"scenario": "umi", "los": "no"}, {"ue_array": UeArray(antennas=3, spacing_wavelengths=0.7)}),
        ({"scenario": "umi", "los": "yes"}, {"ue_array": UeArray(antennas=2, polarization="dual")}),
        ({"scenario": "umi", "los": "no"}, {"ue_array": UeArray(antennas=4, polarization="dual"), "carrier_hz": 28e9}),
        ({"scenario": "uma", "los": "yes"}, {"ue_array": UeArray(antennas=8, polarization="dual")}),
    ],
)
def test_response_at_an_anchor_equals_sionnas(make_town, parameters, geometry):
    """Oracle: Sionna's rays and coefficients (steps 5 to 12) from the same random numbers, to 1e-4 of each link.

    Catches a wrong cluster power, angle, coupling, polarisation, sub-cluster delay, K-factor or steering, and at UEs
    with more antennas their order, direction of arrival, XPR of the horizontal ones and its sign on the direct path.
    """
    town = make_town(**geometry)
    model = Tr38901(weak_below_db=500.0, **parameters)
    world = model.start(town, 7)
    ours = model.realise(town, world, 0.0, 7)[0].gain[0]
    theirs = sionnas_response(model, town, world, los=model.los == "yes")
    scale = np.sqrt(np.mean(np.abs(theirs) ** 2, axis=(1, 3, 4), keepdims=True))
    assert np.abs((ours - theirs) / scale).max() < 1e-4


@pytest.mark.parametrize("scenario", ["umi", "uma", "rma", "inh", "inf"])
def test_tables_equal_sionnas_laws(scenario):
    """Oracle: Sionna's path loss, probability of line of sight and large-scale moments at distances between rows.

    Catches a mixed-up order of parameters, an interpolation in the wrong variable and confused branches.
    """
    model = Tr38901(scenario=scenario)
    height = {"umi": 10.0, "uma": 25.0, "rma": 35.0, "inh": 3.0, "inf": 8.0}[scenario]
    distance = np.array([11.3, 37.7, 93.1, 151.9, 433.3])
    tables = read_tables(model, 6e9, np.array([[height, 1.5]]))
    row = np.zeros(len(distance), int)
    mean, std = tables.moments(row, row, distance)
    with sionna_state(0, precision="double"):
        sionna = _sionna_scenario(model, 6e9)
        for branch, los in enumerate((True, False)):
            _set_topology(sionna, height, 1.5, distance, 5 * [False], 5 * [los])
            loss = sionna.basic_pathloss[0, 0].numpy()
            np.testing.assert_allclose(tables.path_loss_db(row, row, distance)[:, branch], loss, atol=0.02)
            for ours, theirs in ((mean, sionna.lsp_log_mean), (std, sionna.lsp_log_std)):
                np.testing.assert_allclose(ours[:, branch], theirs[0, 0].numpy()[:, [3, 4, 0, 1, 2, 6, 5]], atol=1e-3)
            probability = sionna.los_probability[0, 0].numpy()
            np.testing.assert_allclose(tables.line_of_sight(row, distance), probability, atol=2e-3)


def ten_towns_and_a_drop(make_geometry, num_ues, **arrays):
    """Return UMi links by our model in ten far towns and by Sionna's own drop, [links, num_rx_ant, num_tx_ant, 64]."""
    ues, bands_hz = ring(num_ues, 60.0, 600.0), (np.arange(64) - 32) * 0.5e6
    model, home = Tr38901(), np.arange(num_ues) % 10
    towns = make_geometry(
        ues + np.array([9000.0, 0, 0]) * home[:, None], azimuth_deg=np.zeros(10), subband_frequency_hz=bands_hz,
        cell_position_m=np.column_stack([np.arange(10) * 9000.0, np.zeros(10), np.full(10, 10.0)]), **arrays,
    )  # fmt: skip
    ours = model.realise(towns, model.start(towns, 3), 0.0, 3)[0].gain[0, np.arange(num_ues), :, home]
    drop = make_geometry(ues, subband_frequency_hz=bands_hz, **arrays)
    return ours, fresh_realisation(drop, 4)[:, :, 0]


def test_delay_spreads_and_gains_are_distributed_as_in_sionnas_drops(make_geometry):
    """Oracle: Sionna's own UMi drop (public call): wideband gain and rms delay spread, two-sample KS test."""
    ours, theirs = ten_towns_and_a_drop(make_geometry, 400)
    for statistic in (lambda h: np.log(np.mean(np.abs(h) ** 2, axis=-1)), delay_spread_s):
        assert stats.ks_2samp(statistic(ours[:, 0, 0]), statistic(theirs[:, 0, 0])).pvalue > 0.005


@pytest.mark.parametrize("polarization", ["single", "dual"])
def test_two_by_two_links_are_as_correlated_as_in_sionnas_drops(make_geometry, polarization):
    """Oracle: Sionna's own UMi drop with the same arrays, two-sample KS tests, p > 0.005, of 400 links each.

    The share of power in the weaker singular value, and the correlation of the UE's antennas over 32 MHz. Half a
    wavelength apart, or cross-polarised at both ends. Catches antennas that are independent or copies of one another.
    """
    columns = 2 if polarization == "single" else 1
    ours, theirs = ten_towns_and_a_drop(
        make_geometry, 400, ue_array=UeArray(antennas=2, polarization=polarization),
        array=AntennaArray(rows=1, columns=columns, polarization=polarization, pattern="omni"),
    )  # fmt: skip
    for statistic in (weaker_share, correlation):
        assert stats.ks_2samp(statistic(ours), statistic(theirs)).pvalue > 0.005


def weaker_share(response):
    """Return the share of power in the weaker singular value of [links, 2, 2, bands] at the first band."""
    power = np.linalg.svd(response[..., 0], compute_uv=False) ** 2
    return power[:, 1] / power.sum(axis=1)


def correlation(response):
    """Return |correlation| of a UE's first two antennas over the cell's antennas and the bands, [links]."""
    first, second = np.moveaxis(response[:, :2], 1, 0).reshape(2, len(response), -1)
    scale = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    return np.abs(np.sum(first * second.conj(), axis=-1)) / scale


def test_a_strong_line_of_sight_correlates_antennas_and_scatterers_do_not(make_geometry):
    """Oracle: a plane wave at rank 1 beside 1 / K of diffuse power, for the links with K above 13 dB.

    By Weyl's inequality the weaker singular value holds at most the diffuse power, 1 / K on average; antennas whose
    diffuse parts are independent have a correlation of K / (K + 1), others more. Without a line of sight the median
    correlation is below 19 in 20 of those.
    """
    geometry = make_geometry(
        ring(300, 60.0, 400.0), ue_array=UeArray(antennas=2), subband_frequency_hz=(np.arange(64) - 32) * 0.5e6,
        array=AntennaArray(rows=1, columns=2, polarization="single", pattern="omni"),
    )  # fmt: skip
    direct, scattered = Tr38901(los="yes"), Tr38901(los="no")
    world = direct.start(geometry, 9)
    state = world.large_scale.at(np.arange(300), geometry.ue_position_m, geometry.offset_at(0.0))
    strong = state.k_factor[:, 0] > 20.0
    with_los = direct.realise(geometry, world, 0.0, 9)[0].gain[0, :, :, 0][strong]
    without = scattered.realise(geometry, scattered.start(geometry, 9), 0.0, 9)[0].gain[0, :, :, 0]
    assert strong.sum() > 20
    assert np.mean(weaker_share(with_los) * state.k_factor[strong, 0]) < 1.0
    assert np.median(correlation(with_los)) > 20 / 21
    assert np.median(correlation(without)) < np.quantile(correlation(with_los), 0.05)
    assert np.median(weaker_share(without)) > np.quantile(weaker_share(with_los), 0.95)


def test_vertical_antennas_do_not_care_about_horizontal_ones(make_town):
    """Property: the vertical antennas of cross-polarised pairs hear, bit for bit, what a single-polarised row hears.

    Catches random numbers of horizontal elements that shift the others.
    """
    model = Tr38901()
    heard = {}
    for array in (UeArray(antennas=2), UeArray(antennas=4, polarization="dual")):
        town = make_town(ue_array=array)
        heard[array.polarization] = model.realise(town, model.start(town, 12), 1.435, 12)[0].gain
    np.testing.assert_array_equal(heard["dual"][:, :, :2], heard["single"])


def test_an_antenna_hears_what_a_ue_at_its_place_does(make_geometry):
    """Oracle: UEs with one antenna where the array's antennas are, near an anchor and without a line of sight.

    Their large-scale parameters differ by centimetres' worth. Catches a row along another axis and a wrong sign.
    """
    spacing_m = 0.5 * SPEED_OF_LIGHT_M_S / 3.5e9
    places = [(40.0, 12.0 + spacing_m * k, 1.5) for k in (-1.5, -0.5, 0.5, 1.5)]
    model = Tr38901(los="no")
    alone, row = make_geometry(places), make_geometry([(40.0, 12.0, 1.5)], ue_array=UeArray(antennas=4))
    ours = model.realise(row, model.start(row, 13), 0.0, 13)[0].gain[0, 0, :, 0, 0, 0]
    theirs = model.realise(alone, model.start(alone, 13), 0.0, 13)[0].gain[0, :, 0, 0, 0, 0]
    assert np.abs(ours - theirs).max() < 0.02 * np.abs(theirs).max()
    assert np.abs(ours[1:] - ours[:-1]).max() > 0.2 * np.abs(ours).max()


def ring(num_ues, low_m, high_m, seed=0):
    """Return UE positions around the origin at 1.5 m height."""
    rng = np.random.default_rng(seed)
    distance, angle = rng.uniform(low_m, high_m, num_ues), rng.uniform(-np.pi, np.pi, num_ues)
    return np.stack([distance * np.cos(angle), distance * np.sin(angle), np.full(num_ues, 1.5)], axis=-1)


def delay_spread_s(response):
    """Return the rms delay spread seen through the subbands, [links], 64 of them 0.5 MHz apart."""
    profile = np.abs(np.fft.ifft(response, axis=-1)) ** 2
    delay = np.arange(64) / 32e6
    mean = (profile * delay).sum(-1) / profile.sum(-1)
    return np.sqrt((profile * (delay - mean[:, None]) ** 2).sum(-1) / profile.sum(-1))


def test_paths_and_gains_agree_between_anchors(make_town):
    """Oracle: the DFT of a snapshot's taps at the subband centres, 1e-5. Catches paths that miss a branch or anchor."""
    town = make_town()
    for parameters in ({"los": "yes"}, {}, {"blockage": "portrait"}):
        model = Tr38901(**parameters)
        world = model.start(town, 2)
        for time_s in (0.0, 1.435, 40.0):
            snapshot = model.realise(town, world, time_s, 2)[0]
            response = snapshot.paths.frequency_response(town.subband_frequency_hz)
            scale = np.sqrt(snapshot.path_gain)[:, :, None, :, None, None]
            assert np.abs((response - snapshot.gain) / scale).max() < 1e-5
        assert snapshot.paths.delay_s.min() == 0
        assert snapshot.paths.delay_s.max() < 50e-6


def test_umi_path_loss_follows_table_7_4_1_1_while_ues_walk(make_geometry):
    """Oracle: UMi LOS path loss with its break point, written out. Catches metres for kilometres and a 2D distance."""
    geometry = make_geometry([(20.0, 0.0, 1.5)], ue_velocity_m_s=(10.0, 0, 0))
    model = Tr38901(los="yes")
    world = model.start(geometry, 3)
    for time_s in (0.0, 7.3, 30.0, 150.0):
        distance = 20.0 + 10.0 * time_s
        d3, break_m = np.hypot(distance, 8.5), 4 * 9.0 * 0.5 * 3.5e9 / SPEED_OF_LIGHT_M_S
        near = 32.4 + 21 * np.log10(d3) + 20 * np.log10(3.5)
        far = 32.4 + 40 * np.log10(d3) + 20 * np.log10(3.5) - 9.5 * np.log10(break_m**2 + 8.5**2)
        links = world.large_scale.at(
            np.array([0]), geometry.ue_position_at(time_s), geometry.offset_at(time_s)[:, world.first_cell]
        )
        loss_db = links.shadowing_db[0, 0, 0] - 10 * np.log10(links.gain[0, 0, 0])
        assert loss_db == pytest.approx(near if distance < break_m else far, abs=0.02)


def test_sectors_of_a_site_share_its_rays(make_geometry):
    """Oracle: omni antennas of one site hear the same, another site at that distance does not."""
    geometry = make_geometry(
        [(0.0, 60.0, 1.5), (0.0, -90.0, 1.5)],
        cell_position_m=[(-50, 0, 10), (50, 0, 10), (-50, 0, 10)],
        azimuth_deg=[30.0, 30.0, 150.0],
    )
    model = Tr38901()
    gain = model.realise(geometry, model.start(geometry, 4), 0.0, 4)[0].gain[0, :, 0, :, 0, 0]
    np.testing.assert_allclose(gain[:, 0], gain[:, 2], rtol=1e-4)
    assert (np.abs(gain[:, 1] / gain[:, 0] - 1) > 0.01).all()


def test_los_decides_on_the_direct_path(make_town):
    """Oracle: the first path, at delay 0, has power with a line of sight and none without, or indoors."""
    town = make_town()

    def direct(**parameters):
        model = Tr38901(**parameters)
        return np.abs(model.realise(town, model.start(town, 5), 0.0, 5)[0].paths.gain[..., 0])

    assert (direct(los="yes").max(axis=-1) > 0).all()
    assert not direct(los="no").any()
    assert not direct(los="yes", indoor_fraction=1.0).any()


def test_a_standing_ue_hears_a_constant_channel(make_geometry):
    """Oracle: no motion, no Doppler. Catches fading that is redrawn per interval."""
    geometry = make_geometry([(50.0, 0.0, 1.5)])
    model = Tr38901()
    state = model.start(geometry, 1)
    assert model.realise(geometry, state, 0.0, 1)[0].gain == model.realise(geometry, state, 9.0, 1)[0].gain


def test_wraparound_images_are_one_place(make_geometry):
    """Property: with wraparound a UE hears each site from its nearest image, at that image's path loss."""
    from dataclasses import replace

    period = np.array([[1000.0, 0.0], [0.0, 1000.0]])
    geometry = replace(make_geometry([(930.0, 20.0, 1.5)]), wraparound_m=period)
    model = Tr38901(los="yes")
    world = model.start(geometry, 6)
    links = world.large_scale.at(np.array([0]), geometry.ue_position_m, geometry.offset_at(0.0)[:, world.first_cell])
    loss_db = links.shadowing_db[0, 0, 0] - 10 * np.log10(links.gain[0, 0, 0])
    distance_m = np.linalg.norm([70.0, 20.0, 8.5])
    assert loss_db == pytest.approx(32.4 + 21 * np.log10(distance_m) + 20 * np.log10(3.5), abs=0.02)
    assert np.isfinite(model.realise(geometry, world, 0.0, 6)[0].gain).all()


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


def test_bare_yaml_words_mean_what_they_say():
    """Oracle: YAML 1.1 reads yes, no and 19.2 as a boolean and a float; blockage A is not defined in factories."""
    model = Tr38901.model_validate({"los": True, "spec_version": 16.1})
    assert (model.los, model.spec_version) == ("yes", "16.1")
    assert Tr38901.model_validate({"los": False}).los == "no"
    assert Tr38901(scenario="inf", blockage="portrait").problems()[0].startswith("`blockage`:")


def test_a_small_world_is_realised_within_1_5_ms(make_geometry):
    """Oracle: the speed asked for: 8 UEs, 1 cell, 8 antennas, 13 subbands, one thread (0.5 ms when written)."""
    geometry = make_geometry(
        ring(8, 20.0, 100.0), ue_velocity_m_s=(1.4, 0, 0), array=DUAL, subband_frequency_hz=BANDS_HZ
    )
    model = Tr38901()
    state = model.start(geometry, 1)
    times = []
    for k in range(60):
        begin = time.perf_counter()
        model.realise(geometry, state, k * 5e-3, 1)
        times.append(time.perf_counter() - begin)
    assert min(times) < 1.5e-3
