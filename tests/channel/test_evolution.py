import numpy as np
import pytest
from scipy import stats
from scipy.special import j0

from channel.antenna import AntennaArray
from channel.evolution import _anchors_around
from channel.tr38901 import Tr38901
from channel.tr38901_tables import LOS, NLOS, read_tables
from channel.units import SPEED_OF_LIGHT_M_S

WAVELENGTH_M = SPEED_OF_LIGHT_M_S / 3.5e9
DUAL = AntennaArray(rows=2, columns=2)


def crowd(num_ues, side_m, seed, clear_m=40.0):
    """Return UE positions uniform over a square, 1.5 m high, none within ``clear_m`` of the origin."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(-side_m / 2, side_m / 2, (4 * num_ues, 2))
    place = place[np.linalg.norm(place, axis=1) > clear_m][:num_ues]
    return np.column_stack([place, np.full(num_ues, 1.5)])


def in_all_directions(num_ues, speed_m_s, seed):
    """Return horizontal velocities in random directions."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, num_ues)
    return speed_m_s * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=-1)


def large_scale(model, geometry, world, time_s):
    """Return the LinkState of all UEs at a time."""
    offset = geometry.offset_at(time_s)[:, world.first_cell]
    return world.large_scale.at(np.arange(geometry.num_ues), geometry.ue_position_at(time_s), offset)


@pytest.mark.parametrize(("branch", "share"), [(LOS, 0.999), (NLOS, 0.985)])
def test_a_step_of_1_cm_hardly_changes_shadowing(make_geometry, branch, share):
    """Oracle: the acceptance bound, 0.05 dB, at 3.9 sigma of the field's gradient with and 2.6 without line of sight.

    Catches shadowing that is drawn per UE or a field with the exponential's corner.
    """
    geometry = make_geometry(crowd(2000, 4000, 1), ue_velocity_m_s=in_all_directions(2000, 1.0, 2))
    model = Tr38901()
    world = model.start(geometry, 3)
    before, after = (large_scale(model, geometry, world, t).shadowing_db[:, 0, branch] for t in (0.0, 0.01))
    change_db = np.abs(after - before)
    assert np.mean(change_db < 0.05) > share
    assert change_db.max() < 0.1
    assert np.median(change_db) > 0.001


def test_shadowing_decorrelates_by_table_7_5_6(make_geometry):
    """Oracle: exp(-d / d_corr) within 0.05, d_corr 10 m with and 13 m without line of sight in UMi, as UEs walk."""
    geometry = make_geometry(crowd(3000, 6000, 4), ue_velocity_m_s=in_all_directions(3000, 1.0, 5))
    model = Tr38901()
    world = model.start(geometry, 6)
    start = large_scale(model, geometry, world, 0.0).shadowing_db[:, 0]
    for distance_m in (1.0, 3.0, 6.0, 10.0, 20.0, 40.0):
        now = large_scale(model, geometry, world, distance_m).shadowing_db[:, 0]
        measured = np.mean(start * now, axis=0) / np.sqrt(np.mean(start**2, axis=0) * np.mean(now**2, axis=0))
        np.testing.assert_allclose(measured, np.exp(-distance_m / np.array([10.0, 13.0])), atol=0.06)


def test_two_ues_at_one_place_hear_the_same(make_geometry):
    """Property: 7.6.3 spatial consistency down to the rays, however far the rest of the world differs."""
    pair = make_geometry([(60.3, 20.7, 1.5), (90.0, -10.0, 1.5), (60.3, 20.7, 1.5)], array=DUAL)
    alone = make_geometry([(60.3, 20.7, 1.5)], array=DUAL)
    model = Tr38901()
    both = model.realise(pair, model.start(pair, 8), 0.0, 8)[0].gain[0]
    one = model.realise(alone, model.start(alone, 8), 0.0, 8)[0].gain[0]
    np.testing.assert_array_equal(both[0], both[2])
    np.testing.assert_array_equal(both[0], one[0])
    assert not np.array_equal(both[0], both[1])


def test_the_channel_changes_no_faster_than_doppler_allows(make_geometry):
    """Property: |h(x + dx) - h(x)| <= (2 pi / lambda) |dx| sum |A_r| plus what fades and shadowing change, over 30 m.

    Walks cross anchors, regions and lines of sight. Catches clusters that are replaced at once or redrawn phases.
    """
    step_m = 0.002
    geometry = make_geometry(
        crowd(12, 300, 9), ue_velocity_m_s=in_all_directions(12, 1.0, 10), array=AntennaArray(pattern="omni"),
    )  # fmt: skip
    model = Tr38901(coherence_interval_s=step_m)
    world = model.start(geometry, 11)
    los = []
    for begin_s in np.arange(0.0, 30.0, 0.5):
        here = model.realise(geometry, world, begin_s + step_m, 11)[0].gain[0, :, 0]
        inputs = world.inputs(geometry, begin_s)
        bound = np.sum(ray_amplitudes(world, *inputs[2:4], inputs[5]), axis=(1, 2)) + inputs[6][:, 0]
        there = model.realise(geometry, world, begin_s + 2 * step_m, 11)[0].gain[0, :, 0]
        change = np.abs(there - here).max(axis=(1, 2, 3))
        assert (change <= 1.5 * 2 * np.pi / WAVELENGTH_M * step_m * bound).all()
        los.append(large_scale(model, geometry, world, begin_s).los[:, 0])
    assert np.ptp(los, axis=0).max() == 1.0  # some line of sight did come or go


def test_nothing_jumps_between_two_anchors(make_geometry):
    """Property: over 6 m of places 2 mm apart, twice the step makes up to twice the change. A jump's is its own size.

    Catches anchors that take over at once, which rarely shows in a few places.
    """
    along = np.arange(0, 6, 0.002)[:, None] * np.array([0.8, 0.6])
    for parameters in ({"los": "no"}, {}, {"los": "yes", "blockage": "portrait"}):
        places = np.column_stack([61.0 + along[:, 0], 33.0 + along[:, 1], np.full(len(along), 1.5)])
        geometry = make_geometry(places)
        model = Tr38901(**parameters)
        h = model.realise(geometry, model.start(geometry, 19), 0.0, 19)[0].gain[0, :, 0, 0, 0, 0]
        assert np.abs(h[2:] - h[:-2]).max() > 1.7 * np.abs(h[1:] - h[:-1]).max()


def ray_amplitudes(world, slot, node_weight, diffuse):
    """Return the largest port's sum of ray amplitudes for every UE, anchor and branch of site 0, [num_ues, 4, 2]."""
    total = np.zeros((*slot.shape[:2], 2))
    for ue, node, branch in np.argwhere(slot[:, :, 0] != -1):
        place = slot[ue, node, 0, branch]
        pool, place = (world.strong.arrays, place) if place >= 0 else (world.weak.arrays, -2 - place)
        rays = pool[3][place, pool[4][place]]
        amplitude = np.hypot(pool[0][place, :rays], pool[1][place, :rays]).sum(axis=0).max()
        total[ue, node, branch] = amplitude * np.sqrt(node_weight[ue, node]) * diffuse[ue, 0, branch]
    return total


def test_temporal_autocorrelation_is_clarkes(make_geometry):
    """Oracle: J0(2 pi f_D t) to its first zero within 0.05, averaged over UEs that walk in all directions.

    UMi without line of sight; arrivals are near the horizon. Catches a Doppler of departure angles, a wavelength off by
    2 and rays that share one phase.
    """
    num = 1500
    geometry = make_geometry(
        crowd(num, 3000, 12), ue_velocity_m_s=in_all_directions(num, 1.0, 13),
        subband_frequency_hz=(-200e6, -70e6, 60e6, 200e6),
    )  # fmt: skip
    model = Tr38901(los="no", coherence_interval_s=1e-4)
    world = model.start(geometry, 14)
    h = [model.realise(geometry, world, t * WAVELENGTH_M, 14)[0].gain[0, :, 0, 0, 0] for t in np.linspace(0, 0.4, 9)]
    power = np.mean(np.abs(np.array(h)) ** 2, axis=(0, 2), keepdims=True)[0]
    for k, moved in enumerate(np.linspace(0, 0.4, 9)):
        measured = np.mean(h[k] * np.conj(h[0]) / power)
        assert abs(measured - j0(2 * np.pi * moved)) < 0.05


def test_after_100_m_the_large_scale_is_still_38901s(make_geometry):
    """Oracle: Sionna's means and deviations of shadowing, delay spread and K-factor (Kolmogorov-Smirnov, p > 0.01)."""
    num = 600
    ues = crowd(num, 12000, 15, clear_m=300.0)
    geometry = make_geometry(ues, ue_velocity_m_s=in_all_directions(num, 1.0, 16))
    model = Tr38901()
    world = model.start(geometry, 17)
    tables = read_tables(model, 3.5e9, np.array([[10.0, 1.5]]))
    ue, site = np.arange(num), np.zeros(num, int)
    for time_s in (0.0, 100.0):
        position, offset = geometry.ue_position_at(time_s), geometry.offset_at(time_s)
        links = large_scale(model, geometry, world, time_s)
        distance = np.linalg.norm(offset[:, 0, :2], axis=-1)
        for branch in (LOS, NLOS):
            mean, std = (m[:, branch] for m in tables.moments(site, site, distance))
            spread = world.large_scale.spreads(ue, site, np.full(num, branch), position, distance)[0]
            normal = [links.shadowing_db[:, 0, branch] / (10 * std[:, 0])]
            normal.append((np.log10(spread[:, 0]) - mean[:, 2]) / std[:, 2])
            if branch == LOS:
                normal.append((np.log10(links.k_factor[:, 0]) - mean[:, 1]) / std[:, 1])
            for sample in normal:
                assert stats.kstest(sample, "norm").pvalue > 0.01


def test_line_of_sight_is_as_frequent_as_table_7_4_2_1_says(make_geometry):
    """Oracle: 18 / d + exp(-d / 36) (1 - 18 / d) in UMi, and a state that changes softly as UEs walk."""
    num = 4000
    for distance in (30.0, 80.0, 200.0):
        # One UE at a distance from each of many sites: lines of sight are correlated over 50 m.
        cells = np.column_stack([np.arange(40) * 5000.0, np.zeros(40), np.full(40, 10.0)])
        angle = np.linspace(0, 2 * np.pi, num // 40, endpoint=False)
        ring = distance * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        ues = np.column_stack([(cells[:, None, :2] + ring).reshape(-1, 2), np.full(num, 1.5)])
        geometry = make_geometry(ues, cell_position_m=cells, azimuth_deg=np.zeros(40))
        model = Tr38901()
        los = large_scale(model, geometry, model.start(geometry, 18), 0.0).los
        own = los[np.arange(num), np.repeat(np.arange(40), num // 40)]
        expected = 18 / distance + np.exp(-distance / 36) * (1 - 18 / distance)
        assert own.mean() == pytest.approx(expected, abs=0.12)


def test_anchors_share_a_ue_smoothly():
    """Property: weights sum to 1, change by little over 1 cm and stay with their anchor as UEs walk."""
    walk = np.column_stack([np.arange(0, 20, 0.01), 0.37 * np.arange(0, 20, 0.01), np.zeros(2000)])
    node, weight = _anchors_around(walk)
    np.testing.assert_allclose(weight.sum(axis=1), 1.0)
    kept = (node[1:] == node[:-1]).all(axis=-1)
    assert np.abs(np.diff(weight, axis=0))[kept].max() < 0.02
    assert weight[1:][~kept].max() == 0.0 or weight[1:][~kept].max() < 1e-12
    assert weight[:-1][~kept].max() == 0.0
