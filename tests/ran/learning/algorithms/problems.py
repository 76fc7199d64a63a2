"""Problems with known answers, and the smallest federation, for tests of algorithms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from channel.seeding import stream
from ran.learning.algorithms import Algorithm, Server

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, ClientUpdate, Problem


class Quadratic:
    """f(x) = a/2 (x - b)^2 on every one of its samples, from x = 0."""

    flops_per_sample = 3.0
    forward_flops_per_sample = 1.0
    initial: ClassVar[Arrays] = {"x": np.zeros(1)}

    def __init__(self, a: float, b: float, num_samples: int = 1) -> None:
        self.a, self.b, self.num_samples = a, b, num_samples
        self.x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def load(self, arrays):
        with torch.no_grad():
            self.x.copy_(torch.from_numpy(arrays["x"]))

    def merge(self, arrays):
        assert not arrays, "a quadratic has no LoRA factors"

    def read(self):
        return {"x": self.x.detach().numpy().copy()}

    def parameters(self):
        return [self.x]

    def loss(self, batch):
        return (self.a / 2 * (self.x - self.b) ** 2).mean()


class Perceptron:
    """Classification by a perceptron: a frozen hidden layer with LoRA, a head, and a temperature without dimensions.

    Clients of different seeds see different shares of the three classes.
    """

    flops_per_sample = 6.0 * (5 * 8 + 8 * 3)
    forward_flops_per_sample = flops_per_sample / 3

    def __init__(self, seed: int, num_samples: int) -> None:
        rng, shared = np.random.default_rng(seed), np.random.default_rng(0)
        self.num_samples = num_samples
        labels = rng.choice(3, num_samples, p=rng.dirichlet(np.ones(3)))
        self.labels = torch.from_numpy(labels)
        inputs = 2 * np.eye(3, 5)[labels] + rng.normal(size=(num_samples, 5))
        self.inputs = torch.from_numpy(inputs.astype(np.float32))
        self.frozen = torch.from_numpy(shared.normal(size=(8, 5)).astype(np.float32))
        self.initial = {
            "body.lora_A.weight": shared.normal(size=(2, 5)).astype(np.float32),
            "body.lora_B.weight": np.zeros((8, 2), np.float32),
            "head.bias": np.zeros(3, np.float32),
            "head.weight": shared.normal(size=(3, 8)).astype(np.float32) / 3,
            "temperature": np.array(1.0, np.float32),
        }
        self.merged = torch.zeros(8, 5)
        self.named = {name: torch.nn.Parameter(torch.from_numpy(array.copy())) for name, array in self.initial.items()}

    def load(self, arrays):
        assert arrays.keys() == self.named.keys()
        self.merged.zero_()
        with torch.no_grad():
            for name, parameter in self.named.items():
                parameter.copy_(torch.from_numpy(arrays[name]))

    def merge(self, arrays):
        a, b = (arrays[f"body.lora_{letter}.weight"].astype(np.float32) for letter in "AB")
        self.merged += torch.from_numpy(b @ a / max(len(a), 1))

    def read(self):
        return {name: parameter.detach().numpy().copy() for name, parameter in self.named.items()}

    def parameters(self):
        return list(self.named.values())

    def loss(self, batch):
        a, b, bias, head, temperature = self.named.values()
        hidden = torch.tanh(self.inputs[batch] @ (self.frozen + self.merged + b @ a / 2).T)
        return torch.nn.functional.cross_entropy((hidden @ head.T + bias) * temperature, self.labels[batch])


TWO = (1.0, 10.0), (0.0, 1.0)
"""Curvatures and minima of the two clients of REFERENCE section 4; the optimum is 10/11."""


def two_clients() -> list[Quadratic]:
    """Return them, equal in weight."""
    return [Quadratic(a, b) for a, b in zip(*TWO, strict=True)]


class Fleet:
    """Clients, what they remember, and a server; ``round`` is all that a federation does but the network."""

    def __init__(
        self,
        algorithm: Algorithm,
        problems: Sequence[Problem],
        model: Arrays,
        clients: Sequence[Algorithm] | None = None,
    ) -> None:
        """``clients``: the algorithm as each client runs it, where settings differ."""
        self.algorithm, self.problems, self.clients = algorithm, problems, clients or [algorithm] * len(problems)
        self.server: Server = algorithm.start(model, [problem.num_samples for problem in problems])
        self.memories: dict[int, Arrays] = {}
        self.updates: list[ClientUpdate] = []

    def round(self, chosen: Iterable[int] | None = None) -> None:
        """Run one round of ``chosen`` clients, or of all."""
        members = list(range(len(self.problems))) if chosen is None else list(chosen)
        received = self.algorithm.broadcast(self.server)
        self.updates = [
            self.clients[each].client_step(
                self.algorithm.tailor(received, self.problems[each].initial),
                self.problems[each],
                stream(0, "order", self.server.round, each),
                self.memories.get(each, {}),
            )
            for each in members
        ]
        self.memories |= {each: update.memory for each, update in zip(members, self.updates, strict=True)}
        arrays, reports = [each.arrays for each in self.updates], [each.report for each in self.updates]
        self.server = self.algorithm.aggregate(self.server, arrays, reports)

    @property
    def x(self) -> float:
        """The model of a fleet of quadratics."""
        return float(self.server.model["x"][0])


def federate(algorithm: Algorithm, problems: Sequence[Problem], rounds: int, model: Arrays | None = None) -> Fleet:
    """Return the fleet after some rounds of everyone, from x = 0 by default."""
    fleet = Fleet(algorithm, problems, {"x": np.zeros(1)} if model is None else model)
    for _ in range(rounds):
        fleet.round()
    return fleet
