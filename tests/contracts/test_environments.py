"""Every registered environment, also one added tomorrow; the oracles are Gymnasium's, PettingZoo's, SB3's checkers."""

from __future__ import annotations

import pickle
import re
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.batched import BatchedEnv, made
from agents.envs import ENVIRONMENTS
from agents.evaluate import Score, compare, is_bound
from agents.fields import table
from agents.registration import gymnasium_id, make_parallel, make_vec
from agents.single import SingleEnv

NAMES = ENVIRONMENTS.names()
MULTI = [name for name in NAMES if made(name, {}).num_agents is not None]


def plain(name: str) -> SingleEnv:
    return gymnasium.make(gymnasium_id(name)).unwrapped


@pytest.mark.parametrize("name", NAMES)
def test_gymnasium_has_nothing_to_complain_about(name: str) -> None:
    """Oracle: gymnasium's own checker, with every warning an error, in all render modes."""
    environment = gymnasium.make(gymnasium_id(name), render_mode="rgb_array")
    check_env(environment.unwrapped)
    assert environment.unwrapped.environment.title == gymnasium_id(name).split("/")[1][:-3]


@pytest.mark.parametrize("name", NAMES)
def test_stable_baselines_has_nothing_to_complain_about(name: str) -> None:
    """Oracle: stable-baselines3's checker, with every warning an error."""
    from stable_baselines3.common.env_checker import check_env as check

    check(plain(name))


@pytest.mark.parametrize("name", MULTI)
def test_pettingzoo_has_nothing_to_complain_about(name: str) -> None:
    """Oracle: PettingZoo's parallel_api_test and parallel_seed_test."""
    from pettingzoo.test import parallel_api_test, parallel_seed_test

    parallel_api_test(make_parallel(name), num_cycles=30)
    parallel_seed_test(lambda: make_parallel(name), num_cycles=10)


def actions_of(space: gymnasium.Space, mask: Any, rng: np.random.Generator) -> Any:
    """Return a random action that the mask allows."""
    if isinstance(space, gymnasium.spaces.Box):
        return rng.uniform(-1, 1, space.shape).astype(np.float32)
    sizes = [int(space.n)] if isinstance(space, gymnasium.spaces.Discrete) else space.nvec.tolist()
    parts = np.split(np.ones(sum(sizes), bool) if mask is None else mask, np.cumsum(sizes)[:-1])
    chosen = np.array([rng.choice(np.flatnonzero(part)) for part in parts])
    return chosen[0] if isinstance(space, gymnasium.spaces.Discrete) else chosen


@pytest.mark.parametrize("name", NAMES)
def test_batched_and_plain_forms_do_the_same(name: str) -> None:
    """Property: replica b of seed s is the plain form of seed s + b, to the last bit, beyond an episode's end."""
    batch, rng = 3, np.random.default_rng(0)
    short = {"steps": 4}
    many, alone = make_vec(name, batch, **short), [SingleEnv(name, **short) for _ in range(batch)]
    seen, info = many.reset(seed=7)
    own = [each.reset(seed=7 + b) for b, each in enumerate(alone)]
    np.testing.assert_array_equal(seen, [each[0] for each in own])
    for _ in range(10):
        masks = info.get("action_mask", [None] * batch)
        actions = np.array([actions_of(alone[b].action_space, masks[b], rng) for b in range(batch)])
        seen, reward, terminated, truncated, info = many.step(actions)
        for b, each in enumerate(alone):
            one = each.step(actions[b])
            assert (one[2], one[3]) == (terminated[b], truncated[b])
            np.testing.assert_array_equal(one[1], np.mean(reward[b]))
            last = info["final_obs"][b] if one[2] or one[3] else seen[b]
            np.testing.assert_array_equal(one[0], last)
            if one[2] or one[3]:
                np.testing.assert_array_equal(each.reset()[0], seen[b])


@pytest.mark.parametrize("name", NAMES)
def test_an_episode_is_its_seeds_alone(name: str) -> None:
    """Property: reset(seed) replays, other seeds differ, and pickling in mid-episode changes nothing."""
    rng = np.random.default_rng(1)
    first = plain(name)
    seen, info = first.reset(seed=3)
    actions = [actions_of(first.action_space, info.get("action_mask"), rng)]
    one = first.step(actions[0])
    again = pickle.loads(pickle.dumps(first))
    action = actions_of(first.action_space, one[4].get("action_mask"), rng)
    for left, right in zip(first.step(action)[:4], again.step(action)[:4], strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(first.reset(seed=3)[0], seen)
    np.testing.assert_array_equal(first.step(actions[0])[0], one[0])
    assert any(not np.array_equal(first.reset(seed=seed)[0], seen) for seed in range(4, 12))


@pytest.mark.parametrize("name", NAMES)
def test_runs_in_processes_of_its_own(name: str) -> None:
    """Oracle: gymnasium's SyncVectorEnv; AsyncVectorEnv pickles environments and must give the same."""
    from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv

    makers = [lambda: gymnasium.make(gymnasium_id(name))] * 2
    here, there = SyncVectorEnv(makers), AsyncVectorEnv(makers, context="fork")
    try:
        np.testing.assert_array_equal(here.reset(seed=5)[0], there.reset(seed=5)[0])
        rng = np.random.default_rng(0)
        actions = np.array(
            [actions_of(here.single_action_space, each.unwrapped.action_masks(), rng) for each in here.envs]
        )
        for left, right in zip(here.step(actions)[:4], there.step(actions)[:4], strict=True):
            np.testing.assert_array_equal(left, right)
    finally:
        there.close()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**31 - 1))
def test_a_step_never_leaves_the_spaces(name: str, seed: int) -> None:
    """Property: 10,000 steps of random policies (in batches) stay in the observation space, with finite terms."""
    environment = make_vec(name, 64, steps=20)
    rng = np.random.default_rng(seed)
    seen, info = environment.reset(seed=seed)
    for _ in range(53):
        assert environment.observation_space.contains(seen)
        masks = info.get("action_mask", [None] * 64)
        actions = np.array([actions_of(environment.single_action_space, mask, rng) for mask in masks])
        seen, reward, *_, info = environment.step(actions)
        assert np.isfinite(reward).all()
        assert set(info["terms"]) == {term.name for term in environment.environment.terms()}
        assert all(np.isfinite(term).all() for term in info["terms"].values())


@pytest.mark.parametrize("name", NAMES)
def test_the_docstring_holds_the_table(name: str) -> None:
    """Oracle: the table that the declared fields make."""
    environment = made(name, {})
    doc = re.sub(r"\n +", "\n", ENVIRONMENTS.get(name).__doc__ or "")
    assert table(environment.observed(), environment.acted(), environment.terms()) in doc


@pytest.mark.parametrize("name", NAMES)
def test_nobody_beats_an_oracle(name: str) -> None:
    """Property: no baseline's mean return is above an oracle's or bound's beyond the interval of their differences.

    All play episodes of the same seeds, so differences vary less than returns, and short episodes tell enough.
    """
    scores = compare(made(name, {"steps": min(made(name, {}).steps, 100)}), {}, episodes=24)
    best = [score for rule, score in scores.items() if is_bound(rule)]
    assert best, f"{name} has no oracle and no bound"
    for score in scores.values():
        for bound in best:
            above = Score(score.returns - bound.returns, {})
            assert above.mean <= above.half_width


@pytest.mark.parametrize("name", NAMES)
def test_reward_is_one_function(name: str) -> None:
    """Property: a custom reward sees the terms by name, and weights scale them."""
    terms = made(name, {}).terms()
    zero = BatchedEnv(name, 2, weights={term.name: 0.0 for term in terms})
    ones = BatchedEnv(name, 2, reward=lambda found: 0 * found[terms[0].name] + 1.0)
    for environment, expected in ((zero, 0.0), (ones, 1.0)):
        environment.reset(seed=0)
        rng = np.random.default_rng(0)
        mask = environment.action_masks()
        rows = [None, None] if mask is None else mask
        actions = np.array([actions_of(environment.single_action_space, row, rng) for row in rows])
        reward = environment.step(actions)[1]
        np.testing.assert_array_equal(reward, np.full_like(reward, expected))


@pytest.mark.parametrize("name", NAMES)
def test_yaml_round_trip(name: str) -> None:
    """Property: an environment is its parameters."""
    environment = made(name, {})
    parameters = {key: value for key, value in environment.model_dump(mode="json").items() if key != "name"}
    assert ENVIRONMENTS.get(name).model_validate(parameters) == environment


@pytest.mark.parametrize("name", NAMES)
def test_a_misspelt_parameter_is_refused(name: str) -> None:
    """Property: no form swallows a parameter that the environment does not have."""
    forms = [lambda: make_vec(name, 2, stepz=3), lambda: gymnasium.make(gymnasium_id(name), stepz=3)]
    if name in MULTI:
        forms.append(lambda: make_parallel(name, stepz=3))
    for form in forms:
        with pytest.raises(ValidationError, match="stepz"):
            form()
