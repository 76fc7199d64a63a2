"""A node's side of a split network: its parameters, and the graphs that wait for gradients."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from ran.learning.tasks.task import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.split.cut import Node
    from ran.learning.split.draws import Draws
    from ran.learning.split.split_network import SplitNetwork


@dataclass(frozen=True)
class Outcome:
    """What a batch came to, where the loss is known.

    Attributes:
        loss: mean cross-entropy, nats, at the width that was sent.
        label_losses: of every label, 0 where there is none; [num_samples, ...].
        labels: of the same shape.
    """

    loss: float
    label_losses: torch.Tensor
    labels: torch.Tensor

    @property
    def losses(self) -> NDArray[np.float32]:
        """The loss of every sample (its mean over tokens that have a label), [num_samples]."""
        there = (self.labels != IGNORED).reshape(len(self.labels), -1).sum(1).clamp(min=1)
        means: NDArray[np.float32] = (self.label_losses.reshape(len(self.labels), -1).sum(1) / there).cpu().numpy()
        return means


@dataclass(frozen=True)
class _Graph:
    """What arrived, what was made of it, and with which parameters."""

    arriving: torch.Tensor | None
    output: torch.Tensor
    leaves: dict[str, torch.nn.Parameter]


@dataclass
class Party:
    """The trainable arrays of one node and the batches in flight there.

    The frozen weights are the network's own, shared by all parties; the trainable ones are this party's, put in place
    while it computes. Gradients add up in the leaves' ``grad`` until ``step``.

    Attributes:
        split: the network.
        node: whose side it is.
        leaves: the trainable arrays by name.
        optimizer: of the leaves; None where something else moves them.
        in_flight: the graphs by batch and stage, until the gradient comes.
        steps: taken so far.
    """

    split: SplitNetwork
    node: Node
    leaves: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.Optimizer | None = None
    in_flight: dict[tuple[Hashable, int], _Graph] = field(default_factory=dict)
    steps: int = 0

    @staticmethod
    def of(split: SplitNetwork, node: Node, arrays: Arrays) -> Party:
        """Return a party with a copy of ``arrays``, which have the names of ``split.names(node)``."""
        assert sorted(arrays) == split.names(node), "these arrays belong to another node"
        device = next(split.module.parameters()).device
        leaves = {name: torch.nn.Parameter(torch.tensor(arrays[name], device=device)) for name in sorted(arrays)}
        return Party(split, node, leaves)

    @property
    def stashed_bytes(self) -> int:
        """Bytes of the parameters that only batches in flight still use: copies of before the last steps."""
        now = {id(leaf) for leaf in self.leaves.values()}
        used = {id(leaf): leaf for graph in self.in_flight.values() for leaf in graph.leaves.values()}
        return sum(leaf.numel() * leaf.element_size() for key, leaf in used.items() if key not in now)

    def read(self) -> Arrays:
        """Return a copy of the trainable arrays."""
        return {name: leaf.detach().cpu().numpy().copy() for name, leaf in self.leaves.items()}

    def freeze(self, number: int) -> None:
        """Train nothing of a stage from now on; of the first stage, that is client-frozen mode."""
        for name in self.split.stage_names(number):
            self.leaves[name].requires_grad_(False)

    def learns(self, number: int) -> bool:
        """Return whether a stage of this node has anything that is trained."""
        return any(self.leaves[name].requires_grad for name in self.split.stage_names(number))

    def forward(
        self,
        key: Hashable,
        number: int,
        inputs: Mapping[str, torch.Tensor],
        arriving: torch.Tensor | None,
        *,
        draws: Draws | None = None,
        width: float = 1.0,
    ) -> torch.Tensor:
        """Return what a stage sends on, without a graph; the graph is kept here where a gradient will be of use.

        Args:
            key: names the batch.
            number: of the stage.
            inputs: the stage's view of the batch.
            arriving: what came across the cut before; it requires gradients where the parties before learn.
            draws: the batch's random stream; None: torch's own.
            width: of the code for the next cut.
        """
        learns = self.learns(number) or (arriving is not None and arriving.requires_grad)
        with torch.set_grad_enabled(learns), draws.continued() if draws else nullcontext():
            output = self.split.run(number, inputs, arriving, self.leaves, width)
        if learns:
            names = [name for name in self.split.stage_names(number) if self.leaves[name].requires_grad]
            self.in_flight[key, number] = _Graph(arriving, output, {name: self.leaves[name] for name in names})
        return output.detach()

    def backward(self, key: Hashable, number: int, gradient: torch.Tensor) -> torch.Tensor | None:
        """Return the gradient at the cut before a stage, None at the first; the graph is let go."""
        graph = self.in_flight.pop((key, number))
        torch.autograd.backward(graph.output, gradient)
        for name, stashed in graph.leaves.items():
            # Those that are trained by now: a step in between may have put new ones in place.
            if (leaf := self.leaves[name]) is not stashed and stashed.grad is not None:
                leaf.grad = stashed.grad if leaf.grad is None else leaf.grad.add_(stashed.grad)
                stashed.grad = None
        return None if graph.arriving is None else graph.arriving.grad

    def answer(
        self,
        number: int,
        inputs: Mapping[str, torch.Tensor],
        arriving: torch.Tensor,
        labels: torch.Tensor,
        *,
        draws: Draws | None = None,
        width: float = 1.0,
        share: float = 1.0,
    ) -> tuple[Outcome, torch.Tensor | None]:
        """Return the loss of a batch and its gradient at the last cut, forward and backward at once.

        With a slimmable bottleneck the gradient is that of the mean loss over the widths that a batch of this width
        trains; each draws its own dropout. The gradient of a part of a batch is that of its ``share`` of the loss.
        """
        bottleneck = self.split.data.bottleneck
        sizes = [bottleneck.sent(w) for w in bottleneck.trained(width)] if bottleneck else [None]
        trains, counted = self.learns(number) or arriving.requires_grad, max(1, int((labels != IGNORED).sum()))
        with torch.set_grad_enabled(trains), draws.continued() if draws else nullcontext():
            # The widest first: the others take no draw that the whole network alone would have.
            for size in reversed(sizes):
                code = arriving if size is None else arriving[..., :size]
                logits = self.split.run(number, inputs, code, self.leaves)
                losses = _losses(logits, labels)
                mean = losses.sum() / counted
                if size in (None, sizes[-1]):
                    outcome = Outcome(float(mean.detach()), losses.detach(), labels)
                if trains:
                    weight = share / len(sizes)
                    torch.autograd.backward(mean if weight == 1 else weight * mean)
        return outcome, arriving.grad

    def take_over(self, other: Party) -> None:
        """Go on with another party's optimiser, as far as both train the same arrays."""
        assert self.optimizer is not None
        assert other.optimizer is not None
        for name in self.leaves.keys() & other.leaves.keys():
            if other.leaves[name] in other.optimizer.state:
                self.optimizer.state[self.leaves[name]] = other.optimizer.state[other.leaves[name]]

    def drop(self, key: Hashable) -> None:
        """Forget a batch that will not come back, its graphs included."""
        for place in [place for place in self.in_flight if place[0] == key]:
            del self.in_flight[place]

    def step(self) -> None:
        """Take a step of the optimiser along the gradients since the last one, which are cleared.

        Batches in flight keep the parameters of their forward pass (weight stashing, PipeDream, Narayanan et al., SOSP
        2019): where there are any, the step is taken on a copy.
        """
        if self.optimizer is None:
            return
        self.steps += 1
        if self.in_flight:
            self._renew(self.optimizer)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _renew(self, optimizer: torch.optim.Optimizer) -> None:
        for name, leaf in self.leaves.items():
            if leaf.requires_grad:
                new = torch.nn.Parameter(leaf.detach().clone())
                new.grad, leaf.grad = leaf.grad, None
                if leaf in optimizer.state:
                    optimizer.state[new] = optimizer.state.pop(leaf)
                for group in optimizer.param_groups:
                    group["params"] = [new if each is leaf else each for each in group["params"]]
                self.leaves[name] = new


def _losses(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of every label, of the labels' shape; 0 where there is none."""
    flat = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction="none", ignore_index=IGNORED
    )
    return flat.reshape(labels.shape)
