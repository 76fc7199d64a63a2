"""UavOffload: radio, admission and energy by hand; tabular agents and swarm against exact solutions."""

from __future__ import annotations

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from agents.batched import BatchedEnv, Replicas, made
from agents.envs import uav_offload_kernels as kernels
from agents.envs.uav_offload import link
from agents.envs.uav_offload_bounds import Alone, Together
from agents.envs.uav_power import propulsion_power_w
from agents.evaluate import FIRST_TEST_SEED, evaluate
from agents.tabular import backward_induction, learn, policy_value, value_iteration
from channel.air_to_ground import SURROUNDINGS, line_of_sight_probability, mean_path_loss_db
from channel.errors import UserError

SMALL = {"uavs": 1, "users": "fixed", "side": 8, "ues": 12, "hotspots": 2, "tx_power_dbm": 14.0, "steps": 12}
"""One UAV over 64 places and UEs that stay: small enough to solve exactly."""
DISCOUNT = 0.9


def places_of(environment: Any, state: Any) -> np.ndarray:
    """Return the states of independent agents: each UAV's own place."""
    return state.place


def test_path_loss() -> None:
    """Oracle: Friis and the two means by hand, straight below the UAV and where line of sight has probability 1/2."""
    urban = SURROUNDINGS["urban"]
    below_db = 20 * np.log10(4 * np.pi * 2e9 * 100 / 299792458)
    at_90 = 1 / (1 + 9.61 * np.exp(-0.16 * (90 - 9.61)))
    expected = below_db + at_90 * 1.0 + (1 - at_90) * 20.0
    assert mean_path_loss_db(np.zeros(1), 100.0, 2e9, urban)[0] == pytest.approx(expected)
    half = urban.a + np.log(urban.a) / urban.b
    assert line_of_sight_probability(np.array([half]), urban)[0] == pytest.approx(0.5)
    away_m = 100 / np.tan(np.radians(half))
    space_db = 20 * np.log10(4 * np.pi * 2e9 * np.hypot(100, away_m) / 299792458)
    assert mean_path_loss_db(np.array([away_m]), 100.0, 2e9, urban)[0] == pytest.approx(space_db + 10.5)


def test_power_of_flight() -> None:
    """Oracle: the paper's table: P_0 = 79.86 W and P_i = 88.63 W in hover; flying slowly takes less, fast more."""
    assert propulsion_power_w(0.0) == pytest.approx(79.8563 + 88.6279, rel=1e-4)
    slip = 100 / (2 * 4.0284**2)
    parts_w = 79.8563 * (1 + 300 / 14400), 88.6279 * np.sqrt(np.sqrt(1 + slip**2) - slip), 0.3 * 1.225 * 0.05 * 503
    assert propulsion_power_w(10.0) == pytest.approx(sum(parts_w), rel=1e-4)
    speeds = np.arange(0, 31)
    power_w = [propulsion_power_w(speed) for speed in speeds]
    assert 8 <= speeds[np.argmin(power_w)] <= 13
    assert power_w[30] > power_w[0]


def test_bandwidth_that_a_ue_needs() -> None:
    """Oracle: SNR, table and resource elements by hand for every UE from one place."""
    problem = made("uav_offload", {})
    state = problem.start(np.array([5], np.uint64))
    radio = link("quickstart")
    loss_db = mean_path_loss_db(
        np.linalg.norm(state.ue_m[0] - [350.0, 250.0], axis=-1), 100.0, 3.5e9, SURROUNDINGS["urban"]
    )
    snr_db = 20 - 30 - loss_db - 10 * np.log10(radio.noise_w_hz * 10e6)
    efficiency = radio.curve.at(10 ** (snr_db / 10))
    # 51 blocks of 12 subcarriers; DDDSU: three slots of 12 symbols and one of 8, without 12 elements of DMRS each.
    elements_s = 51 * (3 * 132 + 84) / 5 / 0.5e-3
    assert radio.elements == pytest.approx(elements_s / (51 * 12 * 30e3))
    with np.errstate(divide="ignore"):
        needed = 1e6 / (efficiency * radio.elements)
    np.testing.assert_allclose(state.need_hz[0, 23], needed, rtol=1e-6)


def test_admission_by_hand() -> None:
    """Oracle: four UEs and two UAVs on paper: who asks whom, who is admitted, what is left for them."""
    need = np.array([[[2.0, 5.0, 4.0, np.inf], [6.0, 3.0, 5.0, np.inf]]], np.float32)
    server, count, rate = np.empty((1, 4), np.int64), np.empty((1, 2), np.int64), np.empty((1, 2))
    kernels.offer(np.array([[0, 1]]), need, 5.0, 1.0, 4.0, server, count, rate)
    assert server.tolist() == [[0, 1, -1, -1]]
    assert count.tolist() == [[1, 1]]
    np.testing.assert_allclose(rate, [[2.5, 5 / 3]])
    kernels.offer(np.array([[0, 0]]), need, 20.0, 1.0, 4.0, server, count, rate)
    assert server.tolist() == [[0, 0, 0, -1]]
    np.testing.assert_allclose(rate, [[20 / 11, 0.0]])


def test_admission_is_of_most_ues() -> None:
    """Oracle: all subsets of eight UEs that fit; and ``alone`` picks the best of all subsets' worths."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        need = rng.uniform(0.5, 4.0, (1, 1, 8)).astype(np.float32)
        server, count, rate = np.empty((1, 8), np.int64), np.empty((1, 1), np.int64), np.empty((1, 1))
        kernels.offer(np.zeros((1, 1), np.int64), need, 6.0, 1.0, 3.0, server, count, rate)
        most, best = 0, 0.0
        for size in range(1, 9):
            for chosen in combinations(need[0, 0].astype(float), size):
                if sum(chosen) <= 6.0:
                    each = min(6.0 / sum(chosen), 3.0)
                    most, best = size, max(best, size * (0.2 + 0.5 * (each - 1) / 2 + 0.1 * each))
        assert count[0, 0] == most == (server >= 0).sum()
        kernels.alone(need, 6.0, 1.0, 3.0, 0.2, 0.5, 0.1, count, rate)
        assert count[0, 0] * (0.2 + 0.5 * (rate[0, 0] - 1) / 2 + 0.1 * rate[0, 0]) == pytest.approx(best)


def test_a_step_by_hand() -> None:
    """Oracle: moves on the grid, terms from counts and rates, power of hovering and of 10 m/s times 10 s."""
    environment = BatchedEnv("uav_offload", 2)
    environment.reset(seed=0)
    state = environment.state
    state.place[:] = [[0, 11, 99], [9, 50, 45]]
    _, reward, _, _, info = environment.step(np.array([[3, 1, 0], [1, 2, 4]]))
    assert state.place.tolist() == [[0, 12, 99], [9, 60, 35]]
    terms = info["terms"]
    moved = np.array([[False, True, False], [False, True, True]])
    np.testing.assert_allclose(
        terms["energy"], np.where(moved, propulsion_power_w(10.0), propulsion_power_w(0.0)) / 100
    )
    served = (state.server[:, None] == np.arange(3)[:, None]).sum(axis=-1)
    assert served.sum() > 0
    content = (1 + np.minimum((state.rate - 1e6) / 3e6, 1)) / 2
    np.testing.assert_allclose(terms["qos"], np.where(served > 0, served * content / 30, 0.0))
    np.testing.assert_allclose(terms["offloaded"], served * state.rate * 10 / 8 / 1e6)
    np.testing.assert_allclose(reward, terms["qos"] + 0.001 * terms["offloaded"] - 0.02 * terms["energy"])
    used = np.take_along_axis(state.need_hz, state.place[..., None].repeat(30, -1), axis=1)
    own = state.server[:, None] == np.arange(3)[:, None]
    assert (np.where(own, used, 0).sum(axis=-1) <= 10e6).all()


def test_value_iteration_is_exact() -> None:
    """Oracle: the linear system of its own policy, that no single change of an action helps, and a long horizon."""
    problem = made("uav_offload", SMALL).finite()
    assert problem.reward.shape == (64, 5)
    value, action = value_iteration(problem, DISCOUNT)
    np.testing.assert_allclose(policy_value(problem, action, DISCOUNT), value, atol=1e-10)
    assert (problem.reward + DISCOUNT * value[problem.following] <= value[:, None] + 1e-10).all()
    one, first = backward_induction(problem.following, problem.reward, 1)
    np.testing.assert_allclose(one, problem.reward.max(axis=1))
    two, _ = backward_induction(problem.following, problem.reward, 2)
    np.testing.assert_allclose(two, (problem.reward + one[problem.following]).max(axis=1))
    assert (first == problem.reward.argmax(axis=1)).all()


@pytest.mark.parametrize("method", ["sarsa", "q_learning"])
def test_tables_come_to_the_optimum(method: Any) -> None:
    """Oracle: value iteration. The policy learned is worth 99 % of the optimum, mean over states, and never more."""
    environment = made("uav_offload", SMALL)
    problem = environment.finite()
    best, _ = value_iteration(problem, DISCOUNT)
    table = learn(environment, method, places_of, 64, discount=DISCOUNT)
    allowed = np.where(np.isfinite(problem.reward), table.value[0], -np.inf)
    value = policy_value(problem, allowed.argmax(axis=1), DISCOUNT)
    assert (value <= best + 1e-9).all()
    assert value.mean() >= 0.99 * best.mean() > 0
    untrained = policy_value(problem, np.zeros(64, np.int64), DISCOUNT)
    assert untrained.mean() < 0.9 * best.mean()
    assert (table.value[0].max(axis=1) <= best + 1e-9).all()


def test_oracle_is_the_best_and_tables_play() -> None:
    """Property: nobody's mean return is above the oracle's, in episodes of the same seeds; a table plays as a rule."""
    environment = made("uav_offload", SMALL)
    rules = environment.rules()
    oracle = evaluate(environment, rules["oracle"], 20)
    bound = evaluate(environment, rules["bound"], 20)
    assert (oracle.returns <= bound.returns + 1e-9).all()
    table = learn(environment, "q_learning", places_of, 64, steps=3000)
    for rule in (table, *(rules[name] for name in ("random", "hover", "greedy", "particle_swarm"))):
        score = evaluate(environment, rule, 20)
        assert (score.returns <= oracle.returns + 1e-9).all()
    assert evaluate(environment, table, 20).mean > 0.95 * oracle.mean


def test_several_learn_for_themselves() -> None:
    """Property: two independent SARSA tables over fixed UEs do better than hovering, and not above the bound."""
    environment = made("uav_offload", {**SMALL, "uavs": 2, "steps": 20})
    table = learn(environment, "sarsa", places_of, 64)
    assert table.value.shape == (2, 64, 5)
    rules = environment.rules()
    score = evaluate(environment, table, 20)
    assert score.mean > evaluate(environment, rules["hover"], 20).mean + 0.2
    assert score.mean <= evaluate(environment, rules["bound"], 20).mean


def test_seen_from_each_uav() -> None:
    """Property: a UAV's own place plus what it sees of others is where those are."""
    problem = made("uav_offload", {})
    state = problem.start(np.arange(3, dtype=np.uint64))
    seen = problem.values(state)
    for uav in range(3):
        found_m = seen["ues"][:, uav].reshape(3, 30, 2) + seen["place"][:, uav, None]
        np.testing.assert_allclose(found_m, state.ue_m)
        others = [other for other in range(3) if other != uav]
        met_m = seen["others"][:, uav].reshape(3, 2, 2) + seen["place"][:, uav, None]
        np.testing.assert_allclose(met_m, problem.place_m(state.place)[:, others])
        np.testing.assert_array_equal(seen["served"][:, uav] == 1, state.server == uav)
    assert ((state.ue_m >= 0) & (state.ue_m <= 1000)).all()


def test_fixed_ues_stay_and_others_do_not() -> None:
    """Property: with `users: fixed` all episodes have the same UEs, otherwise each its own."""
    keys = np.array([3, 9], np.uint64)
    fixed, own = (made("uav_offload", {"users": users}).start(keys) for users in ("fixed", "episode"))
    np.testing.assert_array_equal(fixed.ue_m[0], fixed.ue_m[1])
    assert not np.array_equal(own.ue_m[0], own.ue_m[1])


def test_bad_parameters_are_refused() -> None:
    """Property: one sentence that names the remedy."""
    with pytest.raises(UserError, match="lower it"):
        made("uav_offload", {"adequate_bit_s": 9e6})


def test_best_places_of_all_together() -> None:
    """Oracle: every way to place two UAVs within reach, tried by ``offer``; and the sum that the bound counts."""
    sizes = {"uavs": 2, "side": 4, "ues": 8, "hotspots": 2, "spread_m": 20.0, "tx_power_dbm": -5.0, "steps": 9}
    problem = made("uav_offload", sizes)
    state = problem.start(np.array([7], np.uint64))
    found = Together.of(problem, state, 0)
    assert found is not None
    y, x = np.divmod(np.arange(16), 4)
    away = np.abs(y[:, None] - y) + np.abs(x[:, None] - x)
    most = np.zeros(7)
    for pair in product(range(16), repeat=2):
        server, rate = np.empty((1, 8), np.int64), np.empty((1, 2))
        count = problem.offer(np.array([pair]), state.need_hz, server, rate)
        terms = problem.earned(count, rate)
        reach = max(away[place, own] for place, own in zip(pair, state.place[0], strict=True))
        most[reach:] = np.maximum(most[reach:], (terms["qos"] + 0.001 * terms["offloaded"]).sum())
    terms = problem.earned(found.count, found.rate)
    np.testing.assert_allclose((terms["qos"] + 0.001 * terms["offloaded"]).sum(axis=1), most)
    assert most[0] < most[1] < most[6]
    flown_kj = propulsion_power_w(10.0) / 100
    assert found.total(problem) == pytest.approx(most[1:].sum() + 3 * most[6] - 0.02 * flown_kj * 18)


@pytest.mark.parametrize("is_crowded", [True, False])
def test_no_episode_is_above_the_bound(is_crowded: bool) -> None:
    """Property: in every episode of several UAVs, no baseline has more; nor has the bound more than UAVs alone."""
    far = {"uavs": 3, "ues": 4, "spacing_m": 300.0, "hotspots": 1}
    problem = made("uav_offload", {"steps": 20, **({} if is_crowded else far)})
    rules = problem.rules()
    bound = evaluate(problem, rules["bound"], 12)
    for name in ("random", "hover", "greedy", "particle_swarm"):
        assert (evaluate(problem, rules[name], 12).returns <= bound.returns + 1e-9).all()
    replicas = Replicas(problem, 12)
    replicas.restart(np.arange(12) + FIRST_TEST_SEED)
    alone = Alone.of(problem, replicas.state).total / 3
    assert (bound.returns <= alone + 1e-9).all()
    assert not is_crowded or bound.mean < 0.95 * alone.mean()


def test_learners_are_baselines_of_fixed_ues() -> None:
    """Property: a user finds SARSA and Q-learning among the rules, where a table can hold the problem."""
    assert not {"sarsa", "q_learning", "oracle"} & set(made("uav_offload", {}).rules())
    assert not {"sarsa", "q_learning"} & set(made("uav_offload", {**SMALL, "side": 23}).rules())
    environment = made("uav_offload", SMALL)
    rules = environment.rules()
    best = evaluate(environment, rules["oracle"], 20)
    for name in ("sarsa", "q_learning"):
        score = evaluate(environment, rules[name], 20)
        assert 0.95 * best.mean < score.mean <= best.mean + 1e-9
