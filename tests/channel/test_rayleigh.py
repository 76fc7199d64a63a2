from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from channel.antenna import AntennaArray, UeArray
from channel.rayleigh import Rayleigh
from channel.units import SPEED_OF_LIGHT_M_S

ARRAY = AntennaArray(rows=2, columns=2)
FRIIS_1M = (SPEED_OF_LIGHT_M_S / 3.5e9 / (4 * np.pi)) ** 2


def draws(model, geometry, num_intervals, seed=1):
    """Return gains of successive intervals over the root of their mean power, [intervals, ues, antennas, bands]."""
    state = model.start(geometry, seed)
    times = np.arange(num_intervals) * model.coherence_interval_s
    gain = np.concatenate([model.realise(geometry, state, float(t), seed)[0].gain for t in times])[:, :, 0, 0]
    return gain / np.sqrt(FRIIS_1M * 10**-model.path_loss_exponent)


@pytest.fixture
def crowd(make_geometry):
    """40 UEs, all 10 m from the cell's antenna."""
    angle = np.linspace(0, 6, 40)
    ues = np.stack([10 * np.cos(angle), 10 * np.sin(angle), np.full(40, 10.0)], axis=-1)
    return make_geometry(ues, array=ARRAY, subband_frequency_hz=np.linspace(-8e6, 8e6, 9))


def test_gains_are_complex_gaussian(crowd):
    """Oracle: |h|^2 is exponential with the power law's mean, real and imaginary parts normal (KS tests)."""
    h = draws(Rayleigh(), crowd, 10)[..., 0].ravel()
    assert stats.kstest(np.abs(h) ** 2, "expon").pvalue > 0.01
    assert stats.kstest(h.real * np.sqrt(2), "norm").pvalue > 0.01
    assert stats.kstest(h.imag * np.sqrt(2), "norm").pvalue > 0.01


def test_intervals_ues_and_antennas_are_independent(crowd):
    """Oracle: sample correlations of independent draws are below 4 / sqrt(n). Catches a reused stream."""
    h = draws(Rayleigh(), crowd, 10)[..., 0]
    for a, b in [(h[1:], h[:-1]), (h[:, 1:], h[:, :-1]), (h[..., 1:], h[..., :-1])]:
        assert np.abs(np.mean(a * b.conj())) < 4 / np.sqrt(a.size)


def test_antennas_of_a_ue_are_independent_and_equal(crowd):
    """Oracle: 3200 draws of each: correlations below 4 / sqrt(n), mean powers within 4 / sqrt(n) of the power law.

    Catches one draw for all antennas of a UE, antennas that are mixed up with the cell's, and power that is split.
    """
    geometry, model = replace(crowd, ue_array=UeArray(antennas=4)), Rayleigh(num_taps=2)
    state = model.start(geometry, 2)
    h = np.concatenate([model.realise(geometry, state, t * 5e-3, 2)[0].gain[:, :, :, 0, :, 0] for t in range(10)])
    h = np.moveaxis(h, 2, 0).reshape(4, -1) / np.sqrt(FRIIS_1M * 10**-3.5)  # [antenna, draws]
    covariance = h @ h.conj().T / h.shape[1]
    assert np.abs(covariance - np.eye(4)).max() < 4 / np.sqrt(h.shape[1])


def test_one_tap_is_flat(crowd):
    """Oracle: a single tap at delay 0 has one gain over all subbands."""
    h = draws(Rayleigh(num_taps=1), crowd, 1)
    np.testing.assert_array_equal(h, np.broadcast_to(h[..., :1], h.shape))


def test_frequency_correlation_is_that_of_an_exponential_profile(crowd):
    """Oracle: |R(df)| = 1 / sqrt(1 + (2 pi df DS)^2) for an exponential profile. Catches a wrong tap spacing."""
    model = Rayleigh(num_taps=32, delay_spread_s=80e-9)
    h = draws(model, crowd, 25)
    correlation = np.abs(np.mean(h * h[..., :1].conj(), axis=(0, 1, 2)))
    shift_hz = crowd.subband_frequency_hz - crowd.subband_frequency_hz[0]
    np.testing.assert_allclose(correlation, 1 / np.hypot(1, 2 * np.pi * shift_hz * 80e-9), atol=0.05)


@pytest.mark.parametrize("num_taps", [2, 5, 64])
def test_profile_has_the_delay_spread_asked_for(num_taps):
    """Oracle: the definition of the rms delay spread. Catches a profile that ignores its truncation."""
    delay_s = Rayleigh(num_taps=num_taps, delay_spread_s=300e-9).tap_delays_s()
    assert np.sqrt(np.mean(delay_s**2) - np.mean(delay_s) ** 2) == pytest.approx(300e-9)
    assert delay_s[0] == 0


def test_mean_power_follows_the_distance_law(make_geometry):
    """Oracle: Friis at 1 m times d^-n. Catches a reference distance other than 1 m and a wrong exponent."""
    ues = [(1.0, 0.0, 10.0), (20.0, 0.0, 10.0), (300.0, 400.0, 10.0)]
    geometry = make_geometry(ues, array=AntennaArray(rows=32, columns=32))
    model = Rayleigh(path_loss_exponent=2.7)
    power = model.realise(geometry, model.start(geometry, 3), 0.0, 3)[0].path_gain[0, :, 0]
    np.testing.assert_allclose(power, FRIIS_1M * np.array([1.0, 20.0, 500.0]) ** -2.7, rtol=0.1)


def test_shadowing_is_drawn_once_per_ue_and_site(make_geometry):
    """Oracle: normal in dB with the given deviation (KS), equal for co-sited sectors, constant over time."""
    geometry = make_geometry(
        np.full((400, 3), 50.0),
        cell_position_m=[(0, 0, 10), (0, 0, 10), (900, 0, 10)],
        azimuth_deg=[30.0, 150.0, 0.0],
    )
    model = Rayleigh(shadowing_std_db=7.0)
    shadowing = model.start(geometry, 5)
    shadowing_db = 10 * np.log10(shadowing)
    assert stats.kstest(shadowing_db[:, 0] / 7.0, "norm").pvalue > 0.01
    np.testing.assert_array_equal(shadowing[:, 0], shadowing[:, 1])
    assert np.abs(np.corrcoef(shadowing_db[:, 0], shadowing_db[:, 2])[0, 1]) < 0.2
    plain = Rayleigh()
    flat = plain.realise(geometry, plain.start(geometry, 5), 0.1, 5)[0].path_gain
    shadowed = model.realise(geometry, shadowing, 0.1, 5)[0].path_gain
    np.testing.assert_allclose(shadowed / flat, shadowing[None], rtol=1e-5)
