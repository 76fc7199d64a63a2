"""Thousands of replicas of an environment in one process, as Gymnasium's VectorEnv."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from agents.draws import episode_keys
from agents.environment import Environment, Reward
from agents.envs import ENVIRONMENTS
from agents.picture import picture
from agents.views import Look, View

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Replicas:
    """An environment's replicas under way: seeds, episodes, time limit and automatic reset; what all forms share.

    Attributes:
        environment: the problem.
        state: of all replicas.
        seeds, episodes: which episode of which seed each replica is in, int64 [batch].
    """

    def __init__(self, environment: Environment, batch: int, reward: Reward | None = None) -> None:
        self.environment, self.reward = environment, reward or environment.reward
        self.seeds, self.episodes = np.zeros(batch, np.int64), np.zeros(batch, np.int64)
        self.state: Any = None

    def restart(self, seeds: NDArray[np.int64] | None, which: NDArray[np.int64] | None = None) -> None:
        """Start new episodes, of new seeds or the next ones of the same, in all replicas or some."""
        everyone = np.arange(len(self.seeds))
        which = everyone if which is None else which
        if seeds is not None:
            self.seeds[which], self.episodes[which] = seeds, 0
        else:
            self.episodes[which] += 1
        fresh = self.environment.start(episode_keys(self.seeds[which], self.episodes[which]))
        if self.state is None or len(which) == len(everyone):
            self.state = fresh
        else:
            self.state.put(which, fresh)

    def step(self, action: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict]:
        """Take one step in all replicas; return rewards, which terminated, which ran out of time, and the info."""
        self.state.step += 1
        outcome = self.environment.advance(self.state, action)
        truncated = (self.state.step >= self.environment.steps) & ~outcome.terminated
        return self.reward(outcome.terms), outcome.terminated, truncated, {**outcome.info, "terms": outcome.terms}


class BatchedEnv(VectorEnv):
    """An environment's native batched form: one call steps all replicas.

    Replica b of ``reset(seed=s)`` does to the last bit what the plain form does after ``reset(seed=s + b)``. An episode
    that ends starts anew in the same step; ``info["final_obs"]`` then holds its last observation, valid where
    ``info["_final_obs"]`` says so. ``info["terms"]`` holds the terms of the reward, and ``info["action_mask"]`` which
    options are allowed.

    Args:
        environment: an Environment, or the name of a registered one.
        num_envs: replicas.
        render_mode: "rgb_array": ``render`` returns pictures of the first replicas.
        reward: instead of the weighted sum of the terms: from terms by name, [batch] each, to rewards [batch].
        observation: instead of the environment's own: from it and its state to values in [-1, 1], [batch, count], or
            [batch, num_agents, count] where there are several agents.
        parameters: of the environment, where it is given by name.

    Raises UserError or a pydantic ValidationError for parameters that do not exist or cannot be.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10, "autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        environment: str | Environment,
        num_envs: int = 1,
        render_mode: str | None = None,
        reward: Reward | None = None,
        observation: View | Look | None = None,
        **parameters: Any,
    ) -> None:
        self.environment = made(environment, parameters)
        self.num_envs, self.render_mode = num_envs, render_mode
        self.replicas = Replicas(self.environment, num_envs, reward)
        self.view = View.given(observation, self.environment)
        self.single_observation_space, self.single_action_space = spaces_of(self.environment, self.view)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @property
    def state(self) -> Any:
        """The state of all replicas."""
        return self.replicas.state

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode in every replica; replica b has seed ``seed`` + b. Without one, the next of the same seeds.

        ``options={"reset_mask": bool [num_envs]}`` restarts some replicas only.
        """
        chosen = np.arange(self.num_envs)
        if options and "reset_mask" in options:
            chosen = np.flatnonzero(options["reset_mask"])
        if seed is None and self.state is None:
            seed = int(np.random.default_rng().integers(2**31))
        seeds: NDArray[np.int64] | None = None
        if seed is not None:
            seeds = (
                seed + np.arange(self.num_envs) if isinstance(seed, int | np.integer) else np.array(seed, np.int64)
            )[chosen]
        self.replicas.restart(seeds, chosen)
        return self.view.of(self.environment, self.state), self._mask({})

    def step(self, actions: NDArray[Any]) -> tuple[NDArray, NDArray, NDArray, NDArray, dict[str, Any]]:
        """Take one step in every replica."""
        reward, terminated, truncated, info = self.replicas.step(np.asarray(actions))
        seen = self.view.of(self.environment, self.state)
        done = np.flatnonzero(terminated | truncated)
        if len(done):
            info["final_obs"], info["_final_obs"] = seen.copy(), terminated | truncated
            self.replicas.restart(None, done)
            seen = self.view.of(self.environment, self.state)
        return seen, reward, terminated, truncated, self._mask(info)

    def action_masks(self) -> NDArray[np.bool_] | None:
        """Return which options are allowed, [num_envs, sum of options]; None: all."""
        return self.environment.mask(self.state)

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Return a picture of each of the first 16 replicas, uint8 [height, width, 3]."""
        if self.render_mode is None:
            return None
        return tuple(picture(self.environment, self.state, each) for each in range(min(self.num_envs, 16)))

    def _mask(self, info: dict[str, Any]) -> dict[str, Any]:
        mask = self.action_masks()
        return info if mask is None else {**info, "action_mask": mask}


def made(environment: str | Environment, parameters: dict[str, Any]) -> Environment:
    """Return the environment of this name with these parameters, or the one given."""
    if isinstance(environment, Environment):
        assert not parameters, "give parameters with a name, not with a ready environment"
        found = environment
    else:
        found = ENVIRONMENTS.get(environment).model_validate(parameters)
    problems = found.problems()
    if problems:
        from channel.errors import UserError

        raise UserError(f"{found.title}: {problems[0]}")
    return found


def spaces_of(environment: Environment, view: View) -> tuple[spaces.Space, spaces.Space]:
    """Return the observation space and the action space of one replica, all agents of it together."""
    agents = environment.num_agents or 1
    if environment.discrete:
        options = environment.options() * agents
        action: gymnasium.Space = spaces.Discrete(options[0]) if len(options) == 1 else spaces.MultiDiscrete(options)
    else:
        action = spaces.Box(-1.0, 1.0, (environment.action_size * agents,), np.float32)
    return spaces.Box(-1.0, 1.0, (view.size(environment),), np.float32), action
