"""Choosing precoders, against the packages' own rates, hand-counted operations and every choice tried."""

import numpy as np
import pytest
import torch

from agents.batched import Replicas
from agents.envs.precoding import FLOP_PER_S, GROUPS, PRECODERS, SHARES, Precoding, flop
from agents.envs.precoding_draws import drawn, served, solved
from agents.evaluate import evaluate
from channel.seeding import stream
from ran.phy.precoding import RZF, ZF, sum_rate

QUICK = {"channel": "rayleigh", "draws": 60, "users": 6, "antennas": 8}


def cells(users: int = 5, antennas: int = 8, draws: int = 30):
    return drawn("rayleigh", draws, users, antennas, stream(3, "test of precoding", users), 0)


def with_true_channels(found):
    """Return the cells where estimates and reports hold."""
    return type(found)(found.h, found.h, found.power, found.noise, found.noise, torch.full_like(found.error, 1e-12))


def test_perfect_knowledge_gives_the_packages_own_rates():
    """Oracle: ``sum_rate`` of the precoder called by hand on channels over the root of noise."""
    found = with_true_channels(cells())
    rows = found.h / found.noise.sqrt()[..., None]
    for name, precoder, factor in (("zf", ZF(), 1.0), ("rzf", RZF(), 1.0), ("rzf x 10", RZF(), 10.0)):
        expected = sum_rate(rows, precoder.precode(rows, factor, found.power), 1.0)
        np.testing.assert_allclose(solved(name, found, 5), expected.numpy(), rtol=2e-4)
    robust = solved("robust rzf", found, 5)  # nothing to be robust against
    np.testing.assert_allclose(robust, solved("rzf", found, 5), rtol=1e-4)


def test_factors_multiply_the_regularisation():
    """Oracle: columns of H^H (H H^H + f K sigma^2/P I)^-1 with equal powers, in NumPy."""
    found = with_true_channels(cells(4, 6, 8))
    rows = (found.h / found.noise.sqrt()[..., None]).numpy().astype(complex)
    for place, factor in ((0, 0.1), (3, 1.0), (6, 100.0)):
        h, power = rows[place], float(found.power[place])
        v = h.conj().T @ np.linalg.inv(h @ h.conj().T + factor * 4 / power * np.eye(4))
        v *= np.sqrt(power / 4) / np.linalg.norm(v, axis=0)
        gain = np.abs(h @ v) ** 2
        rate = np.log2(1 + np.diag(gain) / (gain.sum(1) - np.diag(gain) + 1)).sum()
        name = "rzf" if factor == 1.0 else f"rzf x {factor:g}"
        assert solved(name, found, 4)[place] == pytest.approx(rate, rel=1e-3)


def test_estimates_err_as_said_and_errors_cost():
    """Properties: the error's variance is e |h|^2, uncorrelated with the estimate; it costs, robust RZF less."""
    found = cells(4, 16, 4000)
    wrong = (found.h - found.known).abs().square().sum((-2, -1)) / found.h.abs().square().sum((-2, -1))
    for error in set(found.error.tolist()):
        assert float(wrong[found.error == error].mean()) == pytest.approx(error, rel=0.05)
    bad = found.error > 0.4
    product = (found.known.conj() * (found.h - found.known)).sum((-2, -1)).real[bad].mean()
    assert abs(float(product / found.known.abs().square().sum((-2, -1))[bad].mean())) < 0.02
    assert solved("rzf", found, 4).mean() < 0.95 * solved("rzf", with_true_channels(found), 4).mean()
    full = cells(8, 8, 2000)
    bad = (full.error > 0.2).numpy()
    assert solved("robust rzf", full, 8)[bad].mean() > 1.02 * solved("rzf", full, 8)[bad].mean()


def test_the_neighbours_beams_move_on():
    """Property: interference as reported and as it comes are alike in the mean, and differ interval by interval."""
    found = cells(5, 8, 4000)
    reported, real = (each.log().mean() for each in (found.reported - 1, found.noise - 1))
    assert float(reported) == pytest.approx(float(real), abs=0.1)
    assert float((10 * torch.log10((found.reported - 1) / (found.noise - 1))).abs().median()) > 1.0


def test_who_is_served():
    """Oracle: by hand, of two parallel users the louder, and the weak one; who waits gets nothing, others all power."""
    rows = torch.tensor([[[2.0, 0, 0], [3.0, 0, 0], [0, 1.0, 0]]], dtype=torch.complex64)
    assert served(rows, 2).tolist() == [[False, True, True]]
    assert served(rows, 3).all()
    found = with_true_channels(cells(4, 8, 20))
    best = found.h / found.noise.sqrt()[..., None]
    alone = torch.log2(1 + found.power[:, None] * best.abs().square().sum(-1)).amax(-1)
    np.testing.assert_allclose(solved("mrt", found, 1), alone.numpy(), rtol=1e-4)


def test_operations_by_hand():
    """Oracle: K = 2, M = 4 counted term by term; WMMSE is 50 iterations of an inverse."""
    two = np.array(2)
    assert flop("mrt", two, 4) == 64
    assert flop("rzf", two, 4) == 64 + 12 * 16 + 64
    assert flop("wmmse", two, 4) == flop("rzf", two, 4) + 50 * 64
    assert flop("icgnn", two, 4) == 64 + 192 + (2 * 3 + 2) * 64 + 3 * (8 * 4 * 16 + 4 * (192 + 6 * 256))
    table = Precoding(**QUICK).table()
    most = table.users == 6
    expected = 1e3 * GROUPS * float(flop("wmmse", np.array(round(0.75 * 6)), 8)) / FLOP_PER_S
    np.testing.assert_allclose(table.compute_ms[most, PRECODERS.index("wmmse"), 1], expected)


def test_a_step_is_a_place_in_the_table():
    """Oracle: the table; the oracle rule's reward is the largest of a loop over all choices."""
    environment = Precoding(**QUICK)
    table, replicas = environment.table(), Replicas(environment, 5)
    replicas.restart(np.arange(5))
    before = replicas.state.draw.copy()
    best = environment.rules()["oracle"](environment, replicas.state, environment.observe(replicas.state))
    for b, place in enumerate(before):
        options = [
            table.se[place, p, s] - table.compute_ms[place, p, s]
            for p in range(len(PRECODERS))
            for s in range(len(SHARES))
        ]
        assert table.se[place, *best[b]] - table.compute_ms[place, *best[b]] == max(options)
    action = np.array([[p, p % 3] for p in range(5)])
    reward, _, _, info = replicas.step(action)
    np.testing.assert_array_equal(info["terms"]["se"], table.se[before, action[:, 0], action[:, 1]])
    np.testing.assert_allclose(reward, info["terms"]["se"] - info["terms"]["compute"])


def test_what_is_seen_comes_from_estimates():
    """Oracle: NumPy on the estimates; other true channels change nothing that is seen."""
    found = cells(3, 6, 4)
    seen, known = found.seen(), found.known.numpy().astype(complex)
    for place in range(4):
        norm = np.linalg.norm(known[place], axis=1)
        rho = np.abs(known[place] @ known[place].conj().T / np.outer(norm, norm)) ** 2
        assert seen["load"][place] == pytest.approx((rho.sum() - 3) / 3, rel=1e-4)
        snr_db = 10 * np.log10(float(found.power[place]) * norm**2 / found.reported[place].numpy())
        assert seen["snr"][place] == pytest.approx(snr_db.mean(), abs=1e-3)
        assert seen["nearest"][place] == pytest.approx((rho - np.eye(3)).max(), rel=1e-4)
    other = type(found)(found.known, found.known, found.power, found.reported, found.reported, found.error)
    for name, values in other.seen().items():
        np.testing.assert_array_equal(values, seen[name])


def test_nothing_fixed_is_best_and_other_drawings_are_others():
    """Property: no episode of the best fixed choice returns more than the oracle's; another drawing, another table."""
    environment = Precoding(**QUICK)
    rules = environment.rules()
    fixed, oracle, rzf = (evaluate(environment, rules[name], 100) for name in ("best_fixed", "oracle", "rzf"))
    assert (oracle.returns >= fixed.returns).all()
    assert oracle.mean > fixed.mean >= rzf.mean
    assert not np.array_equal(Precoding(**QUICK, drawing=1).table().se, environment.table().se)
    assert Precoding(least_users=5, users=4).problems()
