"""What an agent has learnt, as a rule that acts and as a file that a scenario can name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from channel.errors import UserError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from agents.environment import Environment


@dataclass(frozen=True)
class SavedPolicy:
    """A multilayer perceptron that acts without exploring.

    Attributes:
        weights, biases: of every layer, [outputs, inputs] and [outputs].
        activation: between layers, "tanh" or "relu".
        head: what comes out: "mean" of a continuous action, one that "tanh" squashes, or "logits" of choices.
        environment: name of the environment that it was trained in, and what it saw there.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    activation: str
    head: str
    environment: str

    @staticmethod
    def of(environment: Environment, layers: Sequence[torch.nn.Linear], activation: str, head: str) -> SavedPolicy:
        """Return the policy of trained layers."""
        weights = tuple(layer.weight.detach().cpu().numpy().copy() for layer in layers)
        biases = tuple(layer.bias.detach().cpu().numpy().copy() for layer in layers)
        return SavedPolicy(weights, biases, activation, head, environment.name)

    @staticmethod
    def load(path: Path, environment: Environment) -> SavedPolicy:
        """Return the policy of a file; raises UserError where it is none, or not one for this environment."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "np") as file:
                told = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dictionary
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{path} is no policy ({error}); give a policy.safetensors of `airtune train-agent`"
            ) from None
        layers = range(len(tensors) // 2)
        found = SavedPolicy(
            tuple(tensors[f"weight{layer}"] for layer in layers), tuple(tensors[f"bias{layer}"] for layer in layers),
            told["activation"], told["head"], told["environment"],
        )  # fmt: skip
        wide = found.weights[0].shape[1]
        sizes = {environment.observation_size, environment.observation_size * (environment.num_agents or 1)}
        if found.environment != environment.name or wide not in sizes:
            raise UserError(
                f"{path} was trained in {found.environment} on {wide} values, and {environment.name} shows "
                f"{min(sizes)}; give a policy of this environment with the same parameters"
            )
        return found

    def save(self, path: Path) -> None:
        """Write it to a safetensors file."""
        from safetensors.numpy import save_file

        tensors = {f"weight{layer}": weight for layer, weight in enumerate(self.weights)}
        tensors |= {f"bias{layer}": bias for layer, bias in enumerate(self.biases)}
        told = {"activation": self.activation, "head": self.head, "environment": self.environment}
        save_file(tensors, path, metadata=told)

    def outputs(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the last layer says, [..., outputs]."""
        hidden = seen
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden @ weight.T + bias
            if place < len(self.weights) - 1:
                hidden = np.tanh(hidden) if self.activation == "tanh" else np.maximum(hidden, 0)
        return np.tanh(hidden) if self.head == "tanh" else hidden

    def __call__(self, environment: Environment, state: Any, seen: NDArray[np.float32]) -> NDArray[Any]:
        """Return the likeliest actions, [batch, size]."""
        agents = environment.num_agents or 1
        batch = len(seen)
        look = seen.reshape(batch, -1)
        shared = look.shape[1] != self.weights[0].shape[1]
        out = self.outputs(seen.reshape(batch * agents, -1) if shared else look).reshape(batch, -1)
        if self.head != "logits":
            return np.clip(out, -1.0, 1.0)
        mask = environment.mask(state)
        if mask is not None:
            out = np.where(mask, out, -np.inf)
        edges = np.cumsum([0, *environment.options() * agents])
        chosen = [out[:, low:high].argmax(axis=1) for low, high in pairwise(edges)]
        return chosen[0] if len(chosen) == 1 else np.stack(chosen, axis=1)
