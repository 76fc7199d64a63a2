"""Proximal policy optimisation for batched environments, in one file to be read from top to bottom.

PPO with a clipped objective (Schulman et al., arXiv 1707.06347) and generalised advantages (arXiv 1506.02438), with the
details that matter in practice (Huang et al., "The 37 implementation details of PPO", ICLR blog track 2022):
orthogonal initialisation, advantages normalised in each minibatch, a learning rate that falls to 0, gradients clipped,
rewards divided by the running deviation of the return. Several agents share one network. Options that are not allowed
are masked out (arXiv 2006.14171). Time running out is no end: the value of the last observation goes on counting.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from agents.views import shared_out
from channel.seeding import stream, stream_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agents.batched import BatchedEnv

_MASKED = -1e8


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        total_steps: environment steps, all replicas together.
        rollout: steps of every replica between two updates.
        epochs, minibatches: passes over a rollout, and parts of each.
        learning_rate: at the start; it falls to 0 linearly.
        discount, trace: gamma and lambda of generalised advantages.
        clip: of the probability ratio.
        entropy, value: weights of the entropy bonus and of the value's squared error.
        max_gradient: norm at which gradients are clipped.
        hidden: units of each of two hidden layers.
        first_deviation: of continuous actions at the start.
    """

    total_steps: int = 1_000_000
    rollout: int = 32
    epochs: int = 4
    minibatches: int = 8
    learning_rate: float = 1e-3
    discount: float = 0.99
    trace: float = 0.95
    clip: float = 0.2
    entropy: float = 0.0
    value: float = 0.5
    max_gradient: float = 0.5
    hidden: int = 64
    first_deviation: float = 0.5


class Actor(nn.Module):
    """From observations to a distribution of actions: independent normals, or independent choices.

    Args:
        size: values of an observation.
        outputs: values of a continuous action.
        options: options of every choice; empty: the action is continuous.
        settings: of the training.
    """

    def __init__(self, size: int, outputs: int, options: list[int], settings: Settings) -> None:
        super().__init__()
        self.options = options
        self.layers = mlp(size, settings.hidden, sum(options) or outputs, last_gain=0.01)
        deviation = torch.full((0 if options else outputs,), math.log(settings.first_deviation))
        self.log_deviation = nn.Parameter(deviation)

    def distribution(self, seen: torch.Tensor, mask: torch.Tensor | None) -> list[torch.distributions.Distribution]:
        """Return one distribution a choice, or one of all continuous values."""
        out = self.layers(seen)
        if not self.options:
            return [torch.distributions.Normal(out, self.log_deviation.exp().expand_as(out), validate_args=False)]
        if mask is not None:
            out = torch.where(mask, out, _MASKED)
        if len(set(self.options)) == 1:
            alike = out.view(*out.shape[:-1], len(self.options), self.options[0])
            return [torch.distributions.Categorical(logits=alike, validate_args=False)]
        parts = out.split(self.options, dim=-1)
        return [torch.distributions.Categorical(logits=part, validate_args=False) for part in parts]

    def sample(self, seen: torch.Tensor, mask: torch.Tensor | None, source: torch.Generator) -> torch.Tensor:
        """Return actions, [..., size]."""
        found = self.distribution(seen, mask)
        if not self.options:
            normal = found[0]
            return normal.mean + normal.stddev * torch.randn(normal.mean.shape, generator=source, device=seen.device)
        drawn = []
        for choice in found:
            noise = torch.rand(choice.logits.shape, generator=source, device=seen.device)  # type: ignore[attr-defined]
            # Gumbel's trick: the largest of logits plus Gumbel noise is drawn from the softmax.
            drawn.append((choice.logits - (-noise.clamp_min(1e-20).log()).log()).argmax(-1))  # type: ignore[attr-defined]
        return drawn[0] if drawn[0].ndim == seen.ndim else torch.stack(drawn, dim=-1)

    def log_prob(
        self, seen: torch.Tensor, mask: torch.Tensor | None, action: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log probabilities of actions, and entropies, [...]."""
        found = self.distribution(seen, mask)
        if len(found) == 1:
            return found[0].log_prob(action).sum(-1), found[0].entropy().sum(-1)
        terms = [choice.log_prob(action[..., place]) for place, choice in enumerate(found)]
        return torch.stack(terms).sum(0), torch.stack([choice.entropy() for choice in found]).sum(0)


def mlp(size: int, hidden: int, outputs: int, last_gain: float) -> nn.Sequential:
    """Return two hidden layers of tanh, initialised orthogonally."""
    layers = [nn.Linear(size, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, outputs)]
    for layer, gain in zip(layers, (math.sqrt(2), math.sqrt(2), last_gain), strict=True):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


@dataclass
class Rollout:
    """What all replicas did in some steps; [steps, batch, ...] each, batch being replicas times agents."""

    seen: torch.Tensor
    action: torch.Tensor
    log_prob: torch.Tensor
    value: torch.Tensor
    reward: torch.Tensor
    ended: torch.Tensor
    mask: torch.Tensor | None


@dataclass
class Progress:
    """What training tells after each update.

    Attributes:
        steps: environment steps done.
        episode_return: mean return of the episodes that ended in the rollout (mean over agents); NaN: none did.
        terms: mean of every reward term in a step.
        losses: of policy and value, entropy, clipped part of the ratios, and KL divergence.
        steps_per_s: environment steps per second, updates included.
    """

    steps: int
    episode_return: float
    terms: dict[str, float]
    losses: dict[str, float]
    steps_per_s: float


@dataclass
class Trainer:
    """Trains an actor and a critic on a batched environment.

    Attributes:
        env: the replicas.
        settings: how to train.
        seed: of initial weights, actions and episodes.
        device: of the networks.
    """

    env: BatchedEnv
    settings: Settings = field(default_factory=Settings)
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        problem = self.env.environment
        self.agents = problem.num_agents or 1
        size = shared_out(self.env.view.size(problem), self.agents)
        options = problem.options() if problem.discrete else []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_key(self.seed, "ppo weights"))
            self.actor = Actor(size, problem.action_size, options, self.settings).to(self.device)
            self.critic = mlp(size, self.settings.hidden, 1, last_gain=1.0).to(self.device)
        self.parameters = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=self.settings.learning_rate, eps=1e-5, foreach=True)
        self.source = torch.Generator(self.device).manual_seed(stream_key(self.seed, "ppo actions"))
        self.order = stream(self.seed, "ppo minibatches")
        self.steps, self.returns = 0, RunningDeviation()
        self.running = np.zeros((self.env.num_envs, self.agents))
        self.episode = np.zeros(self.env.num_envs)

    def train(self, tell: Callable[[Progress], None] = lambda progress: None) -> None:
        """Train to the end, telling ``tell`` after each update."""
        for progress in self.updates():
            tell(progress)

    def updates(self) -> Iterator[Progress]:
        """Train an update at a time."""
        seed = stream_key(self.seed, "ppo episodes", self.steps) % 2**30
        seen, info = self.env.reset(seed=seed)
        per_update = self.settings.rollout * self.env.num_envs
        while self.steps < self.settings.total_steps:
            start_s = time.perf_counter()
            left = 1 - self.steps / self.settings.total_steps
            for group in self.optimizer.param_groups:
                group["lr"] = self.settings.learning_rate * left
            rollout, seen, info, ended_returns, terms = self._collect(seen, info)
            losses = self._update(rollout, self._tensor(seen))
            self.steps += per_update
            mean = float(np.mean(ended_returns)) if ended_returns else math.nan
            yield Progress(self.steps, mean, terms, losses, per_update / (time.perf_counter() - start_s))

    def _collect(self, seen: Any, info: Any) -> tuple[Rollout, Any, Any, list[float], dict[str, float]]:
        """Let all replicas act for some steps."""
        parts: dict[str, list[torch.Tensor]] = {name: [] for name in ("seen", "action", "log_prob", "value", "mask")}
        rewards, ends, finished = [], [], list[float]()
        terms = dict[str, float]()
        for _ in range(self.settings.rollout):
            look, mask = self._tensor(seen), self._mask(info)
            with torch.no_grad():
                action = self.actor.sample(look, mask, self.source)
                log_prob, _ = self.actor.log_prob(look, mask, action)
                value = self.critic(look)[..., 0]
            seen, reward, terminated, truncated, info = self.env.step(self._act(action))
            ended = terminated | truncated
            reward = np.reshape(reward, (self.env.num_envs, -1)) + np.zeros((1, self.agents))
            self._count(reward, ended, finished)
            scaled = torch.as_tensor(reward / self.returns.deviation, dtype=torch.float32, device=self.device)
            if truncated.any():
                # The episode would have gone on: what its last observation is worth counts as reward.
                with torch.no_grad():
                    beyond = self.critic(self._tensor(info["final_obs"]))[..., 0].view(self.env.num_envs, self.agents)
                scaled += self.settings.discount * beyond * torch.as_tensor(truncated, device=self.device)[:, None]
            kept = {"seen": look, "action": action, "log_prob": log_prob, "value": value}
            for name, part in kept.items():
                parts[name].append(part)
            if mask is not None:
                parts["mask"].append(mask)
            rewards.append(scaled.reshape(-1))
            ends.append(torch.as_tensor(np.repeat(ended, self.agents), device=self.device))
            for name, term in info["terms"].items():
                terms[name] = terms.get(name, 0.0) + float(np.mean(term)) / self.settings.rollout
        stacked = {name: torch.stack(part) if part else None for name, part in parts.items()}
        return Rollout(**stacked, reward=torch.stack(rewards), ended=torch.stack(ends)), seen, info, finished, terms  # type: ignore[arg-type]

    def _update(self, rollout: Rollout, last: torch.Tensor) -> dict[str, float]:
        """Improve actor and critic by a rollout; return losses."""
        settings = self.settings
        with torch.no_grad():
            advantage = advantages(rollout, self.critic(last)[..., 0], settings.discount, settings.trace)
        target = (advantage + rollout.value).reshape(-1)
        advantage = advantage.reshape(-1)
        flat = {name: getattr(rollout, name) for name in ("seen", "action", "log_prob", "mask")}
        flat = {name: None if part is None else part.flatten(0, 1) for name, part in flat.items()}
        told = np.zeros(5)
        for _ in range(settings.epochs):
            order = torch.as_tensor(self.order.permutation(len(target)), device=self.device)
            for part in order.chunk(settings.minibatches):
                mask = None if flat["mask"] is None else flat["mask"][part]
                log_prob, entropy = self.actor.log_prob(flat["seen"][part], mask, flat["action"][part])
                change = log_prob - flat["log_prob"][part]
                ratio, gain = change.exp(), advantage[part]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                policy = -torch.min(ratio * gain, ratio.clamp(1 - settings.clip, 1 + settings.clip) * gain).mean()
                value = 0.5 * (self.critic(flat["seen"][part])[..., 0] - target[part]).square().mean()
                loss = policy + settings.value * value - settings.entropy * entropy.mean()
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.parameters, settings.max_gradient)
                self.optimizer.step()
                with torch.no_grad():
                    clipped = (ratio - 1).abs().gt(settings.clip).float().mean()
                    divergence = (ratio - 1 - change).mean()
                    now = torch.stack([policy, value, entropy.mean(), clipped, divergence])
                told += now.cpu().numpy() / (settings.epochs * settings.minibatches)
        return dict(zip(("policy", "value", "entropy", "clipped", "kl"), told.tolist(), strict=True))

    def _tensor(self, seen: NDArray[np.float32]) -> torch.Tensor:
        return torch.as_tensor(seen, device=self.device).reshape(self.env.num_envs * self.agents, -1)

    def _mask(self, info: dict[str, Any]) -> torch.Tensor | None:
        mask = info.get("action_mask")
        if mask is None:
            return None
        return torch.as_tensor(mask, device=self.device).reshape(self.env.num_envs * self.agents, -1)

    def _act(self, action: torch.Tensor) -> NDArray[Any]:
        """Return actions as the space has them."""
        joint = action.reshape(self.env.num_envs, -1).cpu().numpy()
        if self.actor.options:
            return joint[:, 0] if joint.shape[1] == 1 else joint
        return np.clip(joint, -1.0, 1.0)

    def _count(self, reward: NDArray[np.float64], ended: NDArray[np.bool_], finished: list[float]) -> None:
        """Follow returns, discounted ones for the scale of rewards and whole episodes' to be told."""
        self.running = self.running * self.settings.discount + reward
        self.returns.see(self.running)
        self.running[ended] = 0.0
        self.episode += reward.mean(axis=1)
        finished.extend(self.episode[ended].tolist())
        self.episode[ended] = 0.0

    def save(self, path: Path) -> None:
        """Write everything but the episodes under way, which start anew on ``load``, to a safetensors file."""
        state = self.optimizer.state_dict()["state"]
        tensors = {f"actor/{name}": value for name, value in self.actor.state_dict().items()}
        tensors |= {f"critic/{name}": value for name, value in self.critic.state_dict().items()}
        for index, values in state.items():
            tensors |= {f"adam/{index}/{name}": torch.as_tensor(value) for name, value in values.items()}
        counts = [self.steps, self.returns.count, self.returns.mean, self.returns.squares]
        tensors |= {"counts": torch.tensor(counts, dtype=torch.float64), "source": self.source.get_state()}
        settings = {name: repr(value) for name, value in asdict(self.settings).items()}
        save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata=settings)

    def load(self, path: Path) -> None:
        """Take over what ``save`` wrote."""
        tensors = load_file(path, device=self.device)

        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

        self.actor.load_state_dict(part("actor/"))
        self.critic.load_state_dict(part("critic/"))
        moments = dict[int, dict[str, torch.Tensor]]()
        for name, value in part("adam/").items():
            index, moment = name.split("/")
            moments.setdefault(int(index), {})[moment] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        steps, count, mean, squares = tensors["counts"].tolist()
        self.steps, self.returns = int(steps), RunningDeviation(count, mean, squares)
        self.source.set_state(tensors["source"].cpu())
        self.order = stream(self.seed, "ppo minibatches", self.steps)


def advantages(rollout: Rollout, last_value: torch.Tensor, discount: float, trace: float) -> torch.Tensor:
    """Return generalised advantages, [steps, batch].

    A_t = delta_t + gamma lambda A_{t+1}, delta_t = r_t + gamma V_{t+1} - V_t; both stop where an episode ended.
    """
    found, following, value = torch.zeros_like(rollout.value), torch.zeros_like(last_value), last_value
    for step in reversed(range(len(found))):
        goes_on = (~rollout.ended[step]).float()
        delta = rollout.reward[step] + discount * value * goes_on - rollout.value[step]
        following = delta + discount * trace * goes_on * following
        found[step], value = following, rollout.value[step]
    return found


@dataclass
class RunningDeviation:
    """Standard deviation of all that was seen (Welford 1962, in batches)."""

    count: float = 1e-4
    mean: float = 0.0
    squares: float = 1e-4

    def see(self, values: NDArray[np.float64]) -> None:
        """Count more values."""
        apart, total = float(values.mean()) - self.mean, self.count + values.size
        self.squares += float(values.var()) * values.size + apart**2 * self.count * values.size / total
        self.mean += apart * values.size / total
        self.count = total

    @property
    def deviation(self) -> float:
        """Standard deviation, at least 1e-8."""
        return max(math.sqrt(self.squares / self.count), 1e-8)
