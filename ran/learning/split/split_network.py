"""A split network: its stages, what is between them, and who trains what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from channel.errors import UserError
from ran.learning.split.bottleneck import bottleneck_problem
from ran.learning.split.masks import blind, masks_of
from ran.learning.split.stages import Stage, evaluating, stages_of

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.split.cut import Cut, Node
    from ran.learning.split.smashed_data import SmashedData
    from ran.learning.tasks.network import Network


@dataclass(frozen=True)
class SplitNetwork:
    """The stages of one network, which share its parameters, and the bottlenecks at its cuts.

    Attributes:
        stages: from the input on; the last one gives logits.
        data: how tensors cross the cuts.
        bottlenecks: first weights of the bottlenecks, by name; none without them.
        hidden_shapes: of one sample at each cut, before a bottleneck.
    """

    stages: tuple[Stage, ...]
    data: SmashedData
    bottlenecks: Arrays
    hidden_shapes: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(
        network: Network, cut: Cut, data: SmashedData, sample: Mapping[str, torch.Tensor], rng: np.random.Generator
    ) -> SplitNetwork:
        """Return a network cut up.

        Args:
            network: whole; it is not copied.
            cut: where.
            data: how tensors cross.
            sample: a few samples' inputs, to look at the parts with.
            rng: for the bottlenecks' first weights.

        Raises:
            UserError: the cut or the bottleneck does not fit the network.
        """
        stages = tuple(stages_of(network, cut, sample))
        hidden, shapes, weights = None, list[tuple[int, ...]](), dict[str, "np.ndarray"]()
        with torch.no_grad(), evaluating(network.module):
            for stage in stages[:-1]:
                hidden = stage.run(sample, hidden, stage.trainable)
                shape = tuple(hidden.shape[1:])
                if problem := bottleneck_problem(data.bottleneck, shape):
                    raise UserError(problem)
                shapes.append(shape)
                if data.bottleneck:
                    weights |= data.bottleneck.draw(stage.part.stop or 0, shape[-1], rng)
        return SplitNetwork(stages, data, weights, tuple(shapes))

    @property
    def module(self) -> torch.nn.Module:
        """The whole network."""
        return self.stages[0].part.module

    def num_classes(self, labels: torch.Tensor) -> int:
        """Return how many different labels there may be: classes, or for each token the vocabulary."""
        config: Any = self.module.config
        return int(config.vocab_size if labels.ndim > 1 else config.num_labels)

    def cut_after(self, number: int) -> int:
        """Return after how many layers a cut is; a bottleneck there has that in its arrays' names."""
        return self.stages[number].part.stop or 0

    def stage_names(self, number: int) -> list[str]:
        """Return the names of the trainable arrays of a stage, on the air; bottlenecks included."""
        return self._stage_names[number]

    @cached_property
    def _stage_names(self) -> list[list[str]]:
        bottleneck, found = self.data.bottleneck, list[list[str]]()
        for number, stage in enumerate(self.stages):
            names = list(stage.trainable)
            if bottleneck and number:
                names += bottleneck.decoder_names(self.cut_after(number - 1))
            if bottleneck and number < len(self.stages) - 1:
                names += bottleneck.encoder_names(self.cut_after(number))
            found.append(names)
        return found

    def names(self, node: Node) -> list[str]:
        """Return the names of the trainable arrays of a node, sorted."""
        own = (self.stage_names(number) for number, stage in enumerate(self.stages) if stage.node == node)
        return sorted(set().union(*own))

    def initial(self, node: Node) -> Arrays:
        """Return a copy of the trainable arrays that a node has at first: the network's present ones."""
        live = {name: each for stage in self.stages for name, each in stage.trainable.items()}
        return {
            name: live[name].detach().cpu().numpy().copy() if name in live else self.bottlenecks[name].copy()
            for name in self.names(node)
        }

    def view(
        self, number: int, inputs: Mapping[str, torch.Tensor], masks: Mapping[str, torch.Tensor] | None = None
    ) -> Mapping[str, torch.Tensor]:
        """Return what of a batch's inputs a stage may look at: the UE's all, the others' the ``masks`` they got."""
        if self.stages[number].node == "ue":
            return inputs
        return blind(masks_of(inputs) if masks is None else masks, inputs, self.module)

    @contextmanager
    def bottlenecked(self, arrays: Arrays) -> Iterator[None]:
        """Let the whole network pass its bottlenecks, at full width, during the body."""
        bottleneck, hooks = self.data.bottleneck, list[Any]()
        if bottleneck:
            device = next(self.module.parameters()).device
            weights = {name: torch.from_numpy(arrays[name]).to(device) for name in self.bottlenecks}
            for stage in self.stages[:-1]:
                after = stage.part.stop or 0

                def pass_through(layer: object, args: object, hidden: torch.Tensor, cut: int = after) -> torch.Tensor:  # noqa: ARG001
                    assert bottleneck is not None
                    return bottleneck.decode(bottleneck.encode(hidden, weights, cut, 1.0), weights, cut)

                hooks.append(stage.part.layers[(stage.part.stop or 0) - 1].register_forward_hook(pass_through))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def run(
        self,
        number: int,
        inputs: Mapping[str, torch.Tensor],
        arriving: torch.Tensor | None,
        leaves: Mapping[str, torch.Tensor],
        width: float = 1.0,
    ) -> torch.Tensor:
        """Return what a stage makes of what arrives: a code for the next cut, or logits.

        Args:
            number: of the stage.
            inputs: its view of them.
            arriving: the code or hidden states before it; None at the first stage.
            leaves: its node's trainable arrays.
            width: of the code that it makes; one of the bottleneck's.
        """
        stage, bottleneck, hidden = self.stages[number], self.data.bottleneck, arriving
        if bottleneck and hidden is not None:
            hidden = bottleneck.decode(hidden, leaves, self.cut_after(number - 1))
        output = stage.run(inputs, hidden, leaves)
        if bottleneck and number < len(self.stages) - 1:
            return bottleneck.encode(output, leaves, self.cut_after(number), width)
        return output
