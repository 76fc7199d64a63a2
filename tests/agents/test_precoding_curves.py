"""Points of the precoding notebook's curves."""

import pytest

from agents.precoding_curves import mean_rates
from ran.phy.precoding import PRECODERS, RZF


def test_reference_rates():
    """Oracle: reference rates at 8 x 8, 10 dB, in bit/s/Hz; ZF by the closed form of ``test_zf.py``."""
    precoders = {name: PRECODERS.get(name)() for name in ("mrt", "zf", "rzf", "wmmse")}
    rates = mean_rates(precoders, antennas=8, streams=8, snr_db=10, draws=2000)
    expected = {"mrt": 8.45, "rzf": 16.01, "wmmse": 18.57}
    assert {name: rates[name] for name in expected} == pytest.approx(expected, rel=0.01)
    assert rates["zf"] == pytest.approx(7.98, rel=0.03)  # heavy tails


def test_errors_of_estimates_cost_and_robust_regularisation_costs_less():
    """Properties: no error is perfect knowledge; with errors of 10 % at 20 dB robust RZF is above RZF, both below."""
    error = 0.1
    precoders = {"rzf": RZF(), "robust": RZF(csi_error_variance=error / (1 - error))}
    size = {"antennas": 8, "streams": 8, "snr_db": 20.0, "draws": 300}
    wrong, right = mean_rates(precoders, csi_error=error, **size), mean_rates({"rzf": RZF()}, **size)
    assert wrong["rzf"] < wrong["robust"] < 0.8 * right["rzf"]
