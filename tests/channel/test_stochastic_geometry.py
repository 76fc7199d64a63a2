import numpy as np
import pytest
from scipy import integrate

from channel.stochastic_geometry import nearest_coverage, simulate_coverage, strongest_coverage


@pytest.fixture(scope="module")
def samples():
    return simulate_coverage(drops=250, seed=3)


@pytest.mark.parametrize(
    ("association", "threshold_db", "tolerance"),
    # At 10 dB, where one UE in five is covered, three standard errors of these 37,500 UEs are 3.5 %; `airtune calibrate
    # ppp` draws enough for 1.5 %.
    [
        ("nearest", -10, 0.015),
        ("nearest", 0, 0.015),
        ("strongest", 0, 0.015),
        ("nearest", 10, 0.035),
        ("strongest", 10, 0.035),
    ],
)
def test_coverage_of_poisson_networks(samples, association, threshold_db, tolerance):
    """Oracle: Andrews, Baccelli & Ganti 2011 and Dhillon et al. 2012 in closed form.

    Catches one association taken for the other (14 % at 0 dB), amplitudes for powers, path loss with another exponent,
    a disc not filled uniformly and sites of a fixed number.
    """
    threshold = 10 ** (threshold_db / 10)
    exact = (nearest_coverage if association == "nearest" else strongest_coverage)(threshold)
    assert samples.coverage(association, threshold) == pytest.approx(exact, rel=tolerance)


@pytest.mark.parametrize("threshold", [0.1, 1.0, 10.0])
def test_nearest_closed_form(threshold):
    """Oracle: the defining integral 1 / (1 + sqrt(T) int_{T^-1/2}^inf du / (1 + u^2)), and REFERENCE section 3."""
    tail, _ = integrate.quad(lambda u: 1 / (1 + u**2), threshold**-0.5, np.inf)
    assert nearest_coverage(threshold) == pytest.approx(1 / (1 + np.sqrt(threshold) * tail), rel=1e-9)


def test_equal_seeds_give_equal_networks():
    """Property: named streams only."""
    one, two, other = (simulate_coverage(drops=2, seed=seed) for seed in (5, 5, 6))
    assert one.nearest.tobytes() == two.nearest.tobytes()
    assert one.nearest.tobytes() != other.nearest.tobytes()
    assert (one.strongest >= one.nearest).all()
