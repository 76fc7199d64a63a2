"""Closed forms of papers, against the conditions that they solve, numerical minimisation and brute force."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from agents.closed_forms.assignment import assign, packet_error
from agents.closed_forms.equal_finish import bandwidth_hz, finish_together
from agents.closed_forms.tdma import energy_j, slot_s

RNG = np.random.default_rng(9)


def test_shi_all_finish_together_over_the_whole_band():
    """Oracle: the definition: b log2(1 + x / b) (T - t_cmp) = S for every device, and the b add up (2007.07174)."""
    for count in (1, 2, 5, 9):
        compute_s, reach_hz = RNG.uniform(0.001, 0.5, count), 10 ** RNG.uniform(4, 10, count)
        bits = 10 ** RNG.uniform(3, 6, count)
        time_s, band = finish_together(compute_s, bits, reach_hz, 1e6)
        assert band.sum() == pytest.approx(1e6, rel=1e-12)
        rate = band * np.log2(1 + reach_hz / band)
        np.testing.assert_allclose(compute_s + bits / rate, time_s, rtol=1e-9)


def test_shi_below_the_cap_of_the_highest_mcs():
    """Oracle: the definition with rate min(b log2(1 + x / b), cap b): nobody later, the sum full, rates as wanted."""
    compute_s, reach_hz, bits = np.array([0.1, 0.0, 0.2]), np.array([1e9, 3e5, 1e7]), np.array([1e5, 2e5, 5e4])
    time_s, band = finish_together(compute_s, bits, reach_hz, 1e6, cap=4.0)
    rate = np.minimum(band * np.log2(1 + reach_hz / band), 4 * band)
    assert rate[0] == pytest.approx(4 * band[0])
    np.testing.assert_allclose(compute_s + bits / rate, time_s, rtol=1e-9)


def test_shi_knows_what_no_band_can_do():
    """Oracle: the rate of infinite bandwidth, x / ln 2: just below it takes a wide band, from it on an infinite one."""
    limit = 1e5 / np.log(2)
    needed = bandwidth_hz(np.ones(3), limit * np.array([0.99, 1.0, 1.5]), np.full(3, 1e5))
    assert 1e6 < needed[0] < np.inf
    assert np.isinf(needed[1:]).all()
    assert needed[0] * np.log2(1 + 1e5 / needed[0]) == pytest.approx(0.99 * limit, rel=1e-9)
    assert np.isinf(bandwidth_hz(np.array([-1.0]), np.array([1e3]), np.array([1e6]))[0])


def test_fedl_tdma_optimum():
    """Oracle: golden-section minimisation of E(tau) + kappa tau, and the stationary point to 1e-8 (1910.13067)."""
    bits, gain, noise, band = 10 ** RNG.uniform(4, 6, 50), 10 ** RNG.uniform(-12, -7, 50), 4e-21, 1e6
    for worth in (1e-3, 1.0, 30.0):
        best = slot_s(bits, gain, noise, band, worth)
        unit = noise * band / gain
        y = bits / (band * best) * np.log(2)
        # dE/dtau + kappa = a (e^y (1 - y) - 1) + kappa = 0.
        np.testing.assert_allclose(unit * (np.exp(y) * (y - 1) + 1), worth, rtol=1e-8)
        for each in range(0, 50, 10):
            one = bits[each : each + 1], gain[each : each + 1], noise, band
            found = minimize_scalar(
                lambda t, one=one, worth=worth: float(energy_j(np.exp(t), *one)[0] + worth * np.exp(t)),
                bracket=(np.log(best[each]) - 1, np.log(best[each]) + 1), tol=1e-12,
            )  # fmt: skip
            reached = energy_j(best[each], *one)[0] + worth * best[each]
            assert reached <= found.fun * (1 + 1e-8)


def test_chen_packet_error_is_rayleigh_outage():
    """Oracle: Monte Carlo: SNR P h |g|^2 / (I + B N0) with |g|^2 ~ Exp(1) falls below m."""
    power, gain, interference, band, noise, waterfall = 0.01, 1e-10, 2e-15, 1e6, 4e-21, 0.9
    drawn = np.random.default_rng(1).exponential(size=400_000)
    lost = np.mean(power * gain * drawn < waterfall * (interference + band * noise))
    said = packet_error(np.array(power), np.array(gain), np.array(interference), band, noise, waterfall)
    assert float(said) == pytest.approx(float(lost), rel=0.05)
    assert 0.003 < float(said) < 0.5


@pytest.mark.parametrize(("devices", "blocks"), [(4, 4), (5, 3), (3, 6)])
def test_chen_assignment(devices, blocks):
    """Oracle: brute force: every way to hand out the blocks, also with some forbidden."""
    for _ in range(10):
        samples, error = RNG.uniform(10, 100, devices), RNG.uniform(0, 1, (devices, blocks))
        allowed = RNG.random((devices, blocks)) < 0.8
        for mask in (None, allowed):
            ok = np.ones_like(allowed) if mask is None else mask
            found = assign(samples, error, mask)
            used = found[found >= 0]
            assert len(set(used.tolist())) == len(used)
            assert all(ok[k, n] for k, n in enumerate(found) if n >= 0)
            worth = np.pad(np.where(ok, samples[:, None] * (1 - error), 0.0), ((0, 0), (0, max(0, devices - blocks))))
            ways = permutations(range(worth.shape[1]), devices)
            best = max(sum(worth[k, n] for k, n in enumerate(way)) for way in ways)
            assert sum(worth[k, n] for k, n in enumerate(found) if n >= 0) == pytest.approx(best)
