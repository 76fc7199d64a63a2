"""Environments of several agents in PettingZoo's parallel form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv

from agents.batched import Replicas, made
from agents.picture import Screen, picture
from agents.views import Look, View, shared_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Environment, Reward

_FPS = 10


class MultiAgentEnv(ParallelEnv):
    """One replica of an environment of several agents: each has its observation, action and reward.

    Args: as ``agents.single.SingleEnv``; ``reward`` returns [batch, num_agents], ``observation`` a further axis.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["human", "rgb_array"],
        "render_fps": _FPS,
        "name": "airtune",
        "is_parallelizable": True,
    }

    def __init__(
        self,
        environment: str | Environment,
        render_mode: str | None = None,
        reward: Reward | None = None,
        observation: View | Look | None = None,
        **parameters: Any,
    ) -> None:
        self.environment = made(environment, parameters)
        assert self.environment.num_agents is not None, f"{self.environment.title} has one agent; use SingleEnv"
        self.render_mode, self._screen = render_mode, Screen()
        self.replicas = Replicas(self.environment, 1, reward)
        self.view = View.given(observation, self.environment)
        self.possible_agents = [f"{self.environment.agent}_{each}" for each in range(self.environment.num_agents)]
        self.agents: list[str] = []
        options = self.environment.options() if self.environment.discrete else []
        acts: spaces.Space = spaces.Box(-1.0, 1.0, (self.environment.action_size,), np.float32)
        if options:
            acts = spaces.Discrete(options[0]) if len(options) == 1 else spaces.MultiDiscrete(options)
        each = shared_out(self.view.size(self.environment), self.environment.num_agents)
        sees = spaces.Box(-1.0, 1.0, (each,), np.float32)
        self.observation_spaces: dict[str, spaces.Space] = dict.fromkeys(self.possible_agents, sees)
        self.action_spaces: dict[str, spaces.Space] = dict.fromkeys(self.possible_agents, acts)

    def observation_space(self, agent: str) -> spaces.Space:
        """Return what an agent sees."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """Return what an agent may do."""
        return self.action_spaces[agent]

    @property
    def unwrapped(self) -> MultiAgentEnv:
        """Return itself."""
        return self

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, dict[str, Any]]]:
        """Start an episode."""
        if seed is None and self.replicas.state is None:
            seed = int(np.random.default_rng().integers(2**31))
        self.replicas.restart(None if seed is None else np.array([seed]))
        self.agents = list(self.possible_agents)
        return self._observations(), self._infos({})

    def step(self, actions: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """Take one step; returns observations, rewards, terminations, truncations and infos by agent."""
        joint = np.array([actions[agent] for agent in self.possible_agents])
        reward, terminated, truncated, info = self.replicas.step(joint.reshape(1, -1))
        agents = self.agents
        rewards = dict(zip(agents, np.broadcast_to(reward[0], len(agents)).tolist(), strict=True))
        ended, late = bool(terminated[0]), bool(truncated[0])
        answer = (
            self._observations(), rewards, dict.fromkeys(agents, ended), dict.fromkeys(agents, late),
            self._infos(info["terms"]),
        )  # fmt: skip
        if ended or late:
            self.agents = []
        if self.render_mode == "human":
            self.render()
        return answer

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture, or show it on the screen."""
        if self.render_mode is None:
            return None
        image = picture(self.environment, self.replicas.state, 0)
        if self.render_mode == "rgb_array":
            return image
        self._screen.show(image, _FPS)
        return None

    def close(self) -> None:
        """Close the window."""
        self._screen.close()

    def state(self) -> NDArray[np.float32]:
        """Return what all agents see together."""
        return self.view.of(self.environment, self.replicas.state)[0]

    def _observations(self) -> dict[str, NDArray[np.float32]]:
        return dict(zip(self.agents, self.state().reshape(len(self.agents), -1), strict=True))

    def _infos(self, terms: dict[str, NDArray[np.float64]]) -> dict[str, dict[str, Any]]:
        mask = self.environment.mask(self.replicas.state)
        found = dict[str, dict[str, Any]]()
        for place, agent in enumerate(self.agents):
            found[agent] = {
                name: float(np.broadcast_to(value[0], len(self.agents))[place]) for name, value in terms.items()
            }
            if mask is not None:
                found[agent]["action_mask"] = mask[0].reshape(len(self.agents), -1)[place]
        return found
