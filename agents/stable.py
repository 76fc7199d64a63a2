"""Stable-Baselines3 on batched environments."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3 import A2C, DQN, PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.ppo import Progress
from channel.errors import UserError
from ran.policy_file import Activation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.batched import BatchedEnv

ALGORITHMS: dict[str, type[BaseAlgorithm]] = {
    "ppo": PPO, "a2c": A2C, "sac": SAC, "dqn": DQN, "maskable_ppo": MaskablePPO,
}  # fmt: skip


class StableVecEnv(VecEnv):
    """A batched environment as Stable-Baselines3 wants it: one agent, several replicas.

    Args:
        env: the replicas; of environments of several agents all act as one.
    """

    def __init__(self, env: BatchedEnv) -> None:
        self.env = env
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)
        self.actions: NDArray[Any] | None = None
        self.terms, self.counted = dict[str, float](), 0
        self._returns, self._lengths = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)

    def reset(self) -> NDArray[np.float32]:
        """Start an episode in every replica; the first time of the seeds that ``seed`` set."""
        first = self._seeds[0] if self._seeds else None
        self._reset_seeds()
        return self.env.reset(seed=first)[0]

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take note of the actions."""
        self.actions = actions

    def step_wait(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], list[dict[str, Any]]]:
        """Take the step."""
        assert self.actions is not None
        seen, reward, terminated, truncated, info = self.env.step(self.actions)
        done = terminated | truncated
        reward = np.asarray(reward, np.float32)
        reward = reward if reward.ndim == 1 else reward.mean(axis=1)
        self._returns += reward
        self._lengths += 1
        self.counted += 1
        for name, term in info["terms"].items():
            self.terms[name] = self.terms.get(name, 0.0) + float(np.mean(term))
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for replica in np.flatnonzero(done):
            infos[replica]["terminal_observation"] = info["final_obs"][replica]
            infos[replica]["TimeLimit.truncated"] = bool(truncated[replica])
            infos[replica]["episode"] = {"r": self._returns[replica], "l": self._lengths[replica], "t": 0.0}
        self._returns[done], self._lengths[done] = 0.0, 0
        return seen, reward, done, infos

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the batch, once for each replica."""
        return [getattr(self.env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: replicas share their parameters."""
        raise UserError(f"replicas share {attr_name}; make another environment")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **named: Any) -> list[Any]:
        """Return what a method returns of each replica."""
        found = getattr(self.env, method_name)(*args, **named)
        return [found[replica] for replica in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:  # noqa: ARG002
        """Return that nothing wraps the replicas."""
        return [False] * len(list(self._get_indices(indices)))


class Teller(BaseCallback):
    """Tells how training goes, once a rollout and at most once a second."""

    def __init__(self, tell: Callable[[Progress], None]) -> None:
        super().__init__()
        self.tell = tell
        self._told_s, self._told_steps = time.perf_counter(), 0

    def _on_training_start(self) -> None:
        self._told_s, self._told_steps = time.perf_counter(), self.num_timesteps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        if time.perf_counter() - self._told_s > 1.0:
            self._tell()

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._told_steps:
            self._tell()

    def _tell(self) -> None:
        took_s, done = time.perf_counter() - self._told_s, self.num_timesteps - self._told_steps
        env = self.training_env
        assert isinstance(env, StableVecEnv)
        terms = {name: total / max(env.counted, 1) for name, total in env.terms.items()}
        env.terms, env.counted = {}, 0
        ended = [episode["r"] for episode in self.model.ep_info_buffer or ()]
        mean = float(np.mean(ended)) if ended else math.nan
        losses = {name.removeprefix("train/"): float(value) for name, value in self.logger.name_to_value.items()}
        self.tell(Progress(self.num_timesteps, mean, terms, losses, done / took_s))
        self._told_s, self._told_steps = time.perf_counter(), self.num_timesteps


def new_model(name: str, env: BatchedEnv, seed: int, device: str, settings: dict[str, Any]) -> BaseAlgorithm:
    """Return a fresh model of an algorithm with a two-layer policy.

    Raises UserError where the algorithm cannot act in this environment.
    """
    discrete = env.environment.discrete
    if name == "sac" and discrete:
        raise UserError(f"sac acts continuously, and {env.environment.title} wants choices; use ppo or maskable_ppo")
    if name == "dqn" and (not discrete or len(env.environment.options()) > 1):
        raise UserError(f"dqn makes one choice a step, and {env.environment.title} wants more; use ppo")
    if name == "maskable_ppo" and env.action_masks() is None:
        raise UserError(f"{env.environment.title} forbids nothing, there is nothing to mask; use ppo")
    try:
        return ALGORITHMS[name]("MlpPolicy", StableVecEnv(env), seed=seed, device=device, **settings)
    except TypeError as error:
        raise UserError(f"{name} does not know that setting: {error}; see Stable-Baselines3's documentation") from None


def tensors_of(model: BaseAlgorithm) -> dict[str, torch.Tensor]:
    """Return all that goes on training needs: networks, optimisers, replay buffer, steps done."""
    found: dict[str, torch.Tensor] = {"steps": torch.tensor(model.num_timesteps)}
    for module, parameters in model.get_parameters().items():
        if isinstance(parameters, torch.Tensor):
            found[f"tensor/{module}"] = parameters.detach()
            continue
        for way, value in _flat(parameters.get("state", {}) if "param_groups" in parameters else parameters, ()):
            found["/".join(("model", module, *way))] = torch.as_tensor(value).detach()
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        buffer = model.replay_buffer
        for name in _BUFFER:
            found[f"buffer/{name}"] = torch.from_numpy(getattr(buffer, name))
        found["buffer/place"] = torch.tensor([buffer.pos, int(buffer.full)])
    return {name: value.contiguous().clone() for name, value in found.items()}


def restore(model: BaseAlgorithm, tensors: dict[str, torch.Tensor]) -> None:
    """Take over what ``tensors_of`` returned."""
    current = model.get_parameters()
    for module, parameters in current.items():
        if isinstance(parameters, torch.Tensor):
            current[module] = tensors[f"tensor/{module}"]
            continue
        prefix = f"model/{module}/"
        own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        if "param_groups" in parameters:
            state = dict[int, dict[str, torch.Tensor]]()
            for name, value in own.items():
                index, moment = name.split("/")
                state.setdefault(int(index), {})[moment] = value
            current[module] = {**parameters, "state": state}
        else:
            current[module] = own
    model.set_parameters(current, exact_match=True)
    model.num_timesteps = int(tensors["steps"])
    if isinstance(model, OffPolicyAlgorithm) and model.replay_buffer is not None:
        for name in _BUFFER:
            getattr(model.replay_buffer, name)[:] = tensors[f"buffer/{name}"].numpy()
        place, full = tensors["buffer/place"].tolist()
        model.replay_buffer.pos, model.replay_buffer.full = int(place), bool(full)


_BUFFER = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def _flat(tree: dict[Any, Any], above: Sequence[str]) -> list[tuple[tuple[str, ...], Any]]:
    """Return the leaves of nested dictionaries with the way to each."""
    found = []
    for name, value in tree.items():
        way = (*above, str(name))
        found += _flat(value, way) if isinstance(value, dict) else [(way, value)]
    return found


def linear_layers(model: BaseAlgorithm) -> tuple[list[torch.nn.Linear], Activation, str]:
    """Return the layers from observation to action, their activation, and what comes out: mean, tanh or logits."""
    policy: Any = model.policy
    if isinstance(model, SAC):
        modules, head = [*policy.actor.latent_pi, policy.actor.mu], "tanh"
    elif isinstance(model, DQN):
        modules, head = list(policy.q_net.q_net), "logits"
    else:
        modules = [*policy.mlp_extractor.policy_net, policy.action_net]
        head = "logits" if not isinstance(model.action_space, _box()) else "mean"
    layers = [module for module in modules if isinstance(module, torch.nn.Linear)]
    rectified = any(isinstance(module, torch.nn.ReLU) for module in modules)
    return layers, "relu" if rectified else "tanh", head


def _box() -> type:
    from gymnasium.spaces import Box

    return Box
