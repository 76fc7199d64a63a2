"""Oracles: the MSE as Cao et al. write it, worked out from channels; numerical minimisation; properties."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from agents.batched import Replicas, made
from agents.evaluate import evaluate
from channel.errors import UserError
from ran.phy.aircomp.power_control import optimal_static


def started(batch: int) -> Replicas:
    """Return replicas of the default at their first step."""
    replicas = Replicas(made("air_comp_power", {}), batch)
    replicas.restart(np.arange(batch) + 30)
    return replicas


def test_a_step_by_hand() -> None:
    """Oracle: sum_k (b_k |h_k| x - 1)^2 + x^2 over K, from the action's decibels."""
    replicas = started(3)
    reach, there = replicas.state.reach.copy(), replicas.state.there.copy()
    action = np.random.default_rng(0).uniform(-1, 1, (3, 9))
    *_, info = replicas.step(action)
    for b in range(3):
        x = reach[b].sum() / (1 + (reach[b] ** 2).sum()) * 10 ** ((action[b, 8] + 1) / 2 * 45 / 20)
        error = x**2
        for ue in range(there[b].sum()):
            error += (reach[b, ue] * 10 ** ((action[b, ue] - 1) / 2 * 45 / 20) * x - 1) ** 2
        assert info["terms"]["nmse"][b] == pytest.approx(error / there[b].sum())
        assert info["sum_mse"][b] == pytest.approx(error)


def test_the_oracle_is_the_closed_form() -> None:
    """Oracle: Cao's MSE from the channels themselves: the action's range holds all of it, also in the deepest fades."""
    replicas = started(500)
    environment = replicas.environment
    rule = environment.rules()["oracle"]
    for _ in range(environment.steps):
        state = replicas.state
        received, factor = optimal_static(state.reach.T, np.ones(environment.ues), 1.0)
        error = (np.where(state.there, received.T * factor[:, None] - 1, 0) ** 2).sum(axis=1) + factor**2
        expected = error / state.there.sum(axis=1)
        *_, info = replicas.step(rule(environment, state, environment.observe(state)))
        np.testing.assert_allclose(info["terms"]["nmse"], expected, rtol=1e-9)


def test_nothing_found_by_search_is_better() -> None:
    """Oracle: bounded numerical minimisation over all actions, from the optimum and from elsewhere."""
    replicas = started(4)
    environment, state = replicas.environment, replicas.state
    optimum = environment.rules()["oracle"](environment, state, environment.observe(state))

    def error(action: np.ndarray, b: int) -> float:
        one = state.replicas(np.array([b]))
        return float(environment.advance(one, action[None]).terms["nmse"][0])

    for b in range(4):
        least = error(optimum[b], b)
        for first in (optimum[b], np.zeros(9)):
            found = minimize(error, first, (b,), method="L-BFGS-B", bounds=[(-1, 1)] * 9)
            assert found.fun >= least * (1 - 1e-9)


def test_ues_are_numbered_by_strength_and_as_many_as_said() -> None:
    """Property: strongest first, those that are not there last and silent; 4 .. 8 take part."""
    state = started(400).state
    assert (np.diff(state.reach, axis=1) <= 0).all()
    assert (state.reach[~state.there] == 0).all()
    assert set(state.there.sum(axis=1)) == {4, 5, 6, 7, 8}
    again = started(400).state.reach
    np.testing.assert_array_equal(again, state.reach)


def test_rules_come_in_their_order() -> None:
    """Property: the optimum is best, full power next: to invert all channels drowns the strong in noise."""
    environment = made("air_comp_power", {})
    rules = environment.rules()
    scores = {name: evaluate(environment, rule, 20).returns for name, rule in rules.items()}
    for name in ("random", "full_power", "inversion"):
        assert (scores["oracle"] >= scores[name] - 1e-9).all()
    assert scores["full_power"].mean() > scores["inversion"].mean()


def test_bad_parameters_are_refused() -> None:
    """Property: one sentence that names the remedy."""
    with pytest.raises(UserError, match="lower it"):
        made("air_comp_power", {"least_ues": 9})
