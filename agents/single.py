"""The plain form of an environment: one replica, as Gymnasium's Env."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from agents.batched import Replicas, made, spaces_of
from agents.picture import Screen, picture
from agents.views import Look, View

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.environment import Environment, Reward


class SingleEnv(gymnasium.Env):
    """One replica of an environment; see ``BatchedEnv`` for its arguments, of which this has all but ``num_envs``.

    ``info["terms"]`` holds the terms of the reward, ``info["action_mask"]`` and ``action_masks()`` which options are
    allowed. Without a seed, ``reset`` starts the next episode of the last one.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(
        self,
        environment: str | Environment,
        render_mode: str | None = None,
        reward: Reward | None = None,
        observation: View | Look | None = None,
        **parameters: Any,
    ) -> None:
        self.environment = made(environment, parameters)
        self.render_mode, self._screen = render_mode, Screen()
        self.replicas = Replicas(self.environment, 1, reward)
        self.view = View.given(observation, self.environment)
        self.observation_space, self.action_space = spaces_of(self.environment, self.view)

    @property
    def state(self) -> Any:
        """The state, with a replica axis of 1."""
        return self.replicas.state

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed, options=options)
        if seed is None and self.state is None:
            seed = int(self.np_random.integers(2**31))
        self.replicas.restart(None if seed is None else np.array([seed]))
        if self.render_mode == "human":
            self.render()
        return self.view.of(self.environment, self.state)[0], self._info({})

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Take one step."""
        reward, terminated, truncated, info = self.replicas.step(np.asarray(action)[None])
        if self.render_mode == "human":
            self.render()
        seen = self.view.of(self.environment, self.state)[0]
        return seen, float(reward.mean()), bool(terminated[0]), bool(truncated[0]), self._info(info)

    def action_masks(self) -> NDArray[np.bool_] | None:
        """Return which options are allowed, [sum of options], as sb3-contrib asks; None: all."""
        mask = self.environment.mask(self.state)
        return None if mask is None else mask[0]

    def render(self) -> NDArray[np.uint8] | None:
        """Return a picture, uint8 [height, width, 3], or show it on the screen."""
        if self.render_mode is None:
            return None
        image = picture(self.environment, self.state, 0)
        if self.render_mode == "rgb_array":
            return image
        self._screen.show(image, self.metadata["render_fps"])
        return None

    def close(self) -> None:
        """Close the window."""
        self._screen.close()

    def _info(self, info: dict[str, Any]) -> dict[str, Any]:
        first = {name: value[0] for name, value in info.items() if name != "terms"}
        if "terms" in info:
            first["terms"] = {name: value[0] for name, value in info["terms"].items()}
        mask = self.action_masks()
        return first if mask is None else {**first, "action_mask": mask}
