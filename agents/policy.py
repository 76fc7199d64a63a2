"""What an agent has learnt, as a rule that acts and as a file that a scenario can name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channel.errors import UserError
from ran.policy_file import Activation, Actor, likeliest, load_actor, save_actor

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from agents.environment import Environment


@dataclass(frozen=True)
class SavedPolicy:
    """A multilayer perceptron that acts without exploring.

    Attributes:
        actor: its layers; ``meta`` names the environment that it was trained in, that one's parameters, and the
            ``head``: "mean" of a continuous action, one that "tanh" squashes, or "logits" of choices.
    """

    actor: Actor

    @staticmethod
    def of(
        environment: Environment, layers: Sequence[torch.nn.Linear], activation: Activation, head: str
    ) -> SavedPolicy:
        """Return the policy of trained layers."""
        weights = tuple(layer.weight.detach().cpu().numpy().copy() for layer in layers)
        biases = tuple(layer.bias.detach().cpu().numpy().copy() for layer in layers)
        meta = {"environment": environment.model_dump(mode="json"), "head": head}
        return SavedPolicy(Actor(weights, biases, activation, meta))

    @staticmethod
    def load(path: Path, environment: Environment) -> SavedPolicy:
        """Return the policy of a file; raises UserError where it is none, or not one for this environment."""
        actor = load_actor(path)
        trained_in = actor.meta.get("environment", {}).get("name")
        sizes = {environment.observation_size, environment.observation_size * (environment.num_agents or 1)}
        if trained_in != environment.name or actor.inputs not in sizes:
            raise UserError(
                f"{path} was trained in {trained_in} on {actor.inputs} values, and {environment.name} shows "
                f"{min(sizes)}; give a policy of this environment with the same parameters"
            )
        return SavedPolicy(actor)

    def save(self, path: Path) -> None:
        """Write it to a safetensors file."""
        save_actor(path, self.actor.weights, self.actor.biases, self.actor.activation, self.actor.meta)

    def __call__(self, environment: Environment, state: Any, seen: NDArray[np.float32]) -> NDArray[Any]:
        """Return the likeliest actions, [batch, size]."""
        agents, batch = environment.num_agents or 1, len(seen)
        look = seen.reshape(batch, -1)
        is_shared = look.shape[1] != self.actor.inputs
        each = seen.reshape(batch * agents, -1) if is_shared else look
        if self.actor.meta["head"] != "logits":
            return self.actor.steered(each).reshape(batch, -1)
        logits = self.actor(each).reshape(batch, -1)
        chosen = likeliest(logits, environment.options() * agents, environment.mask(state))
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen
