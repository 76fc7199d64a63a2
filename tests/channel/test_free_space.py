import numpy as np
import pytest

from channel.antenna import AntennaArray, UeArray
from channel.free_space import FreeSpace
from channel.tr38901 import Tr38901
from channel.units import SPEED_OF_LIGHT_M_S

WAVELENGTH_M = SPEED_OF_LIGHT_M_S / 3.5e9


def gain_of(geometry, time_s=0.0):
    return FreeSpace().realise(geometry, None, time_s, 0)[0].gain


def test_power_is_friis(make_geometry):
    """Oracle: Friis' closed form (lambda / 4 pi d)^2. Catches a 2D distance, a power for an amplitude."""
    ues = [(3.0, 4.0, 10.0), (30.0, 40.0, 1.5), (-500.0, 0.0, 1.5)]
    distance_m = np.linalg.norm(np.array(ues) - (0, 0, 10), axis=1)
    power = np.abs(gain_of(make_geometry(ues))[0, :, 0, 0, 0, 0]) ** 2
    np.testing.assert_allclose(power, (WAVELENGTH_M / (4 * np.pi * distance_m)) ** 2, rtol=1e-6)


def test_phase_turns_with_frequency_and_distance(make_geometry):
    """Oracle: closed form exp(-j 2 pi (f_c + f) d / c). Catches a wrong sign and a lost carrier phase."""
    bands = np.array([-9e6, -1e6, 0.0, 4e6])
    gain = gain_of(make_geometry([(100.0, 0.0, 10.0)], subband_frequency_hz=bands))[0, 0, 0, 0, 0]
    expected = np.exp(-2j * np.pi * (3.5e9 + bands) * 100.0 / SPEED_OF_LIGHT_M_S)
    np.testing.assert_allclose(gain / np.abs(gain), expected, atol=1e-5)


def test_antennas_of_a_ue_see_a_plane_wave(make_geometry):
    """Oracle: closed form exp(j 2 pi d sin(theta) / lambda) from one antenna to the next, theta from +x towards +y.

    Catches a sign, a departure for an arrival angle, degrees or half wavelengths for wavelengths.
    """
    theta = np.radians(np.array([0.0, 20.0, 90.0, -130.0]))
    cells = [(100 * np.cos(a), 100 * np.sin(a), 10.0) for a in theta]
    for spacing in (0.5, 0.3):
        array = UeArray(antennas=4, spacing_wavelengths=spacing)
        place = {"cell_position_m": cells, "azimuth_deg": np.zeros(4)}
        gain = gain_of(make_geometry([(0.0, 0.0, 10.0)], **place, ue_array=array))[0, 0, :, :, 0, 0]
        expected = np.exp(2j * np.pi * spacing * np.sin(theta))
        np.testing.assert_allclose(gain[1:] / gain[:-1], np.broadcast_to(expected, (3, 4)), atol=1e-4)
        middle = gain_of(make_geometry([(0.0, 0.0, 10.0)], **place))[0, 0, 0, :, 0, 0]
        np.testing.assert_allclose(gain[1] * gain[2] / middle**2, np.ones(4), atol=1e-4)


def test_an_antenna_of_a_ue_hears_what_a_ue_at_its_place_would(make_geometry):
    """Oracle: UEs with one antenna where the array's antennas are, 2 km away, where waves are plane within 1e-3.

    At the carrier: over the band an array's phases do not follow the frequency.
    """
    array = UeArray(antennas=3, spacing_wavelengths=0.7)
    place = {"cell_position_m": [(1500.0, -1300.0, 30.0)], "array": AntennaArray()}
    ours = gain_of(make_geometry([(3.0, 2.0, 1.5)], ue_array=array, **place))[0, 0]
    alone = [(3.0, 2.0 + 0.7 * k * WAVELENGTH_M, 1.5) for k in (-1, 0, 1)]
    theirs = gain_of(make_geometry(alone, **place))[0, :, 0]
    assert np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max()


@pytest.mark.parametrize("polarization", ["single", "dual"])
def test_maximum_ratio_transmission_gains_one_per_element(make_geometry, polarization):
    """Oracle: MRT over M antennas gives M times one antenna's power. Catches unequal or wrongly scaled ports."""
    array = AntennaArray(rows=4, columns=3, polarization=polarization, pattern="omni")
    gain = gain_of(make_geometry([(60.0, 25.0, 10.0)], array=array))[0, 0, 0, 0, :, 0]
    assert np.linalg.norm(gain) ** 2 == pytest.approx(array.num_antennas * np.abs(gain[0]) ** 2, rel=1e-5)


def test_walking_away_turns_the_phase_by_doppler(make_geometry):
    """Oracle: Doppler shift -v / lambda. Catches positions that do not move or move the wrong way."""
    geometry = make_geometry([(100.0, 0.0, 10.0)], ue_velocity_m_s=(3.0, 0.0, 0.0))
    before, after = gain_of(geometry, 0.0).item(), gain_of(geometry, 5e-3).item()
    turn = np.angle(after / before)
    assert turn == pytest.approx(np.angle(np.exp(-2j * np.pi * 3.0 * 5e-3 / WAVELENGTH_M)), abs=1e-3)


def test_a_ue_inside_the_panel_counts_as_one_wavelength_away(make_geometry):
    """Oracle: the documented bound. Catches a division by zero."""
    assert np.abs(gain_of(make_geometry([(0.0, 0.0, 10.0)])).item()) <= 1 / (4 * np.pi) + 1e-6


def test_array_response_equals_sionnas_direct_path(make_geometry):
    """Oracle: Sionna's line-of-sight term (eq. 7.5-29) of tilted, turned 38.901 panels, dual-polarised at both ends.

    Catches a wrong slant sign, port order, rotation, tilt direction, phase sign, or field projection.
    """
    geometry = make_geometry(
        [(80.0, 10.0, 1.5), (-30.0, 60.0, 1.5), (20.0, -90.0, 20.0)],
        cell_position_m=[(0, 0, 25), (0, 0, 25), (300, 50, 25)],
        azimuth_deg=[30.0, 150.0, 270.0],
        downtilt_deg=8.0,
        array=AntennaArray(rows=4, columns=2, polarization="dual", pattern="38.901"),
        ue_array=UeArray(antennas=4, polarization="dual", spacing_wavelengths=0.6),
    )
    ours = gain_of(geometry)[0, ..., 0]  # [num_ues, 4, num_cells, num_antennas]
    model = Tr38901(los="yes")  # its direct path, which test_tr38901 compares with Sionna's
    sionnas = model.realise(geometry, model.start(geometry, 1), 0.0, 1)[0].paths.gain[0, ..., 0]
    np.testing.assert_allclose(
        ours / np.linalg.norm(ours, axis=(1, 3), keepdims=True),
        sionnas / np.linalg.norm(sionnas, axis=(1, 3), keepdims=True),
        atol=2e-5,
    )
