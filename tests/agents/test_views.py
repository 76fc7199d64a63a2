"""Observations and rewards of a user's own; the oracle is the function itself, called on the same state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.batched import BatchedEnv
from agents.parallel import MultiAgentEnv
from agents.ppo import Settings, Trainer
from agents.single import SingleEnv
from channel.errors import UserError


def together(environment: Any, state: Any) -> np.ndarray:
    """Return two values of a replica."""
    return np.stack([state.rate.mean(axis=1) / 1e7, state.there.mean(axis=1) * 2], axis=1)


def each(environment: Any, state: Any) -> np.ndarray:
    """Return two values of every UE."""
    return np.stack([state.rate / 1e7, state.there - 0.5], axis=-1)


def test_an_observation_is_one_function() -> None:
    """Oracle: the function, cut off at 1, in all forms."""
    many = BatchedEnv("handover", 3, observation=together)
    alone = SingleEnv("handover", observation=together)
    seen, own = many.reset(seed=4)[0], alone.reset(seed=4)[0]
    assert many.single_observation_space.shape == alone.observation_space.shape == seen[0].shape == own.shape == (2,)
    np.testing.assert_allclose(seen, np.clip(together(None, many.state), -1, 1), rtol=1e-6)
    np.testing.assert_array_equal(seen[0], own)


def test_of_each_of_several_agents() -> None:
    """Oracle: the function's row of each agent, also for PettingZoo; and our PPO trains on it."""
    several = MultiAgentEnv("handover", observation=each)
    seen, _ = several.reset(seed=4)
    expected = np.clip(each(None, several.replicas.state)[0], -1, 1)
    for place, agent in enumerate(several.possible_agents):
        np.testing.assert_allclose(seen[agent], expected[place], rtol=1e-6)
        assert several.observation_space(agent).contains(seen[agent])
    trainer = Trainer(BatchedEnv("handover", 2, observation=each), Settings(total_steps=8, rollout=4, minibatches=1))
    trainer.train()
    assert trainer.actor.layers[0].in_features == 2


def test_what_cannot_be_shared_out_is_refused() -> None:
    """Property: one sentence that names the remedy, before anything is trained."""
    with pytest.raises(UserError, match=r"2 values cannot be shared out among 15 agents; return \[batch, num_agents"):
        Trainer(BatchedEnv("handover", 2, observation=together), Settings())
    wrong = BatchedEnv("handover", 2, observation=lambda environment, state: np.zeros(3))
    with pytest.raises(UserError, match=r"shape \[3\], expected \[2, 3\]: return values for every replica"):
        wrong.reset(seed=0)


def test_qos_by_zone_of_tolerance_is_a_reward() -> None:
    """Oracle: the term itself, chosen by weights and by a function of one's own."""
    by_weights = BatchedEnv("handover", 2, weights={"qos": 1.0, "utility": 0.0, "handover": 0.0})
    by_function = BatchedEnv("handover", 2, reward=lambda terms: terms["qos"])
    for environment in (by_weights, by_function):
        environment.reset(seed=1)
        _, reward, _, _, info = environment.step(np.ones((2, 15), np.int64))
        np.testing.assert_array_equal(reward, info["terms"]["qos"])
        assert -1 <= reward.min() < reward.max() <= 1
