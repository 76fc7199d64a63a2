import numpy as np
import pytest
from pydantic import ValidationError

from channel.antenna import AntennaArray, UeArray

PATTERN = AntennaArray(pattern="38.901")


@pytest.mark.parametrize(
    ("zenith_deg", "azimuth_deg", "gain_dbi"),
    [
        (90, 0, 8.0),
        (90, 32.5, 5.0),  # half the 65 degree beamwidth: -3 dB
        (57.5, 0, 5.0),
        (90, -65, -4.0),
        (57.5, 32.5, 2.0),  # the cuts add in dB
        (90, 180, -22.0),  # no more than 30 dB down
        (0, 180, -22.0),
        (180, 0, 8 - 12 * (90 / 65) ** 2),
    ],
)
def test_element_pattern_has_the_values_of_table_7_3_1(zenith_deg, azimuth_deg, gain_dbi):
    """Oracle: TR 38.901 table 7.3-1 by hand. Catches radians for degrees, a wrong beamwidth, a missing clip."""
    assert PATTERN.element_gain_db(np.radians(zenith_deg), np.radians(azimuth_deg)) == pytest.approx(gain_dbi)


def test_columns_see_the_phase_of_half_a_wavelength():
    """Oracle: closed form exp(j pi sin(azimuth)) between columns. Catches wrong spacing, sign or port order."""
    array = AntennaArray(rows=1, columns=4, polarization="single", pattern="omni")
    angle = np.radians(25.0)
    response = array.response(np.array([np.cos(angle), np.sin(angle), 0.0]), np.array(0.0), 0.0)
    np.testing.assert_allclose(response[1:] / response[:-1], np.exp(1j * np.pi * np.sin(angle)), atol=1e-12)
    np.testing.assert_allclose(np.prod(response), 1.0, atol=1e-12)  # phases are relative to the panel's centre


def test_rows_see_a_downward_wave_later():
    """Oracle: closed form exp(-j pi cos(zenith)) down the rows. Catches rows numbered upwards or as columns."""
    array = AntennaArray(rows=3, columns=2, polarization="single", pattern="omni")
    zenith = np.radians(110.0)
    response = array.response(np.array([np.sin(zenith), 0.0, np.cos(zenith)]), np.array(0.0), 0.0)
    np.testing.assert_allclose(response[1] / response[0], np.exp(-1j * np.pi * np.cos(zenith)), atol=1e-12)
    np.testing.assert_allclose(response[3:], response[:3], atol=1e-12)


def test_downtilt_and_azimuth_steer_the_boresight():
    """Oracle: the element's 8 dBi maximum lies where the panel points. Catches an upward tilt or a lost azimuth."""
    array = AntennaArray(rows=1, columns=1, polarization="single")
    azimuth, tilt = np.radians(150.0), np.radians(12.0)
    boresight = np.array([np.cos(tilt) * np.cos(azimuth), np.cos(tilt) * np.sin(azimuth), -np.sin(tilt)])
    assert np.abs(array.response(boresight, azimuth, tilt)) ** 2 == pytest.approx(10**0.8)


def test_slanted_pair_splits_the_power():
    """Oracle: a vertical antenna receives cos(45 degrees)^2 of each slant. Catches a lost polarisation loss."""
    dual = AntennaArray(rows=1, columns=1, polarization="dual", pattern="omni")
    response = dual.response(np.array([1.0, 0.0, 0.0]), np.array(0.0), 0.0)
    np.testing.assert_allclose(np.abs(response) ** 2, [0.5, 0.5])


def test_a_horizontal_antenna_takes_what_a_vertical_one_leaves():
    """Oracle: F_theta^2 + F_phi^2 = 1 at every isotropic port; the slants of a pair are orthogonal (7.3-4, 7.3-5).

    Catches a horizontal component that is not orthogonal to the vertical one, or scaled.
    """
    array = AntennaArray(rows=1, columns=1, polarization="dual", pattern="omni")
    direction = np.random.default_rng(1).normal(size=(50, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    azimuth, tilt = np.radians(40.0), np.radians(7.0)
    heard = np.stack([array.response(direction, azimuth, tilt, wave) for wave in ("vertical", "horizontal")], axis=-1)
    np.testing.assert_allclose(heard @ heard.swapaxes(1, 2), np.broadcast_to(np.eye(2), (50, 2, 2)), atol=1e-12)


def test_a_wave_is_projected_on_the_antennas_that_face_the_panel():
    """Oracle: fields by hand. Ahead of a panel towards +x a port slanted by z sends (0, sin z, -cos z).

    For the UE, which sees the wave come from -x, zenith grows downwards and azimuth towards -y. Catches a lost sign
    between the two ends.
    """
    array = AntennaArray(rows=1, columns=1, polarization="dual", pattern="omni")
    sent = np.array([(0.0, np.sin(slant), -np.cos(slant)) for slant in (-np.pi / 4, np.pi / 4)])
    ahead = np.array([1.0, 0.0, 0.0])
    for wave, axis in (("vertical", (0.0, 0.0, -1.0)), ("horizontal", (0.0, -1.0, 0.0))):
        np.testing.assert_allclose(array.response(ahead, np.array(0.0), 0.0, wave), sent @ axis, atol=1e-12)


def test_ue_antennas_lie_along_y_around_the_ue():
    """Oracle: places by hand, in wavelengths. Catches a corner at the UE, another axis and pairs spread out."""
    np.testing.assert_allclose(UeArray().places(), [[0, 0, 0]])
    four = UeArray(antennas=4, spacing_wavelengths=0.4)
    np.testing.assert_allclose(four.places(), [[0, -0.6, 0], [0, -0.2, 0], [0, 0.2, 0], [0, 0.6, 0]])
    pairs = UeArray(antennas=4, polarization="dual")
    np.testing.assert_allclose(pairs.places(), [[0, -0.25, 0], [0, 0.25, 0]])
    assert pairs.waves == ("vertical", "horizontal")
    with pytest.raises(ValidationError, match="3 antennas do not make cross-polarised pairs; set antennas to an even"):
        UeArray(antennas=3, polarization="dual")
    with pytest.raises(ValidationError, match="antennas"):
        UeArray(antennas=9)
