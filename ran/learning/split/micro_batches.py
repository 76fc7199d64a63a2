"""A UE's batch in parts that follow each other through the stages, and whose gradients make one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ran.learning.tasks.task import IGNORED

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ran.learning.split.cut import Node
    from ran.learning.split.exchange import Batch
    from ran.learning.split.party import Outcome, Party
    from ran.learning.split.pipelining import Leg


@dataclass
class MicroBatches:
    """The parts of one batch, and what they have come to.

    As in GPipe (Huang et al., arXiv 1811.06965) all parts pass the same weights, their gradients add up apart from
    those of other batches on the same node, and the node takes one step when the last part is through. It is that of
    the whole batch: sum_m s_m grad(loss_m) is the gradient of the mean loss, with s_m the part's share of the labels.
    Each part draws its own dropout. On a server that steps for whichever batch comes (``splitfed_v2``), the step of
    another UE may fall between two parts of a batch.

    Attributes:
        parts: in the order in which they start.
        shares: each one's part of the labels, s_m; they add up to 1.
        paths: what each part has passed through so far.
        gradients: those that have come up on each node, by name.
        passed: how many parts have left their gradient on each node.
        outcomes: by part, of those that are through.
    """

    parts: Sequence[Batch]
    shares: Sequence[float]
    paths: list[list[Leg]]
    gradients: dict[Node, dict[str, torch.Tensor]] = field(default_factory=dict)
    passed: dict[Node, int] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)

    @staticmethod
    def of(batch: Batch, count: int) -> MicroBatches:
        """Return a batch in ``count`` parts whose sizes differ by one at most; fewer where it has fewer samples."""
        places = np.array_split(np.arange(len(batch.rows)), min(count, len(batch.rows)))
        parts = [batch.part(each.tolist()) for each in places] if len(places) > 1 else [batch]
        labels = [int((part.labels != IGNORED).sum()) for part in parts]
        # Without any label there is no gradient, whatever the shares.
        total = sum(labels) or 1
        return MicroBatches(parts, [each / total for each in labels], [[] for _ in parts])

    @property
    def num_samples(self) -> int:
        """Samples of the batch."""
        return sum(len(part.rows) for part in self.parts)

    @property
    def loss(self) -> float:
        """The batch's mean loss, once all parts are through."""
        return sum(self.shares[place] * outcome.loss for place, outcome in self.outcomes.items())

    @property
    def is_back(self) -> bool:
        """Whether all parts are through."""
        return len(self.outcomes) == len(self.parts)

    @property
    def losses(self) -> NDArray[np.float32]:
        """Each sample's loss, once all parts are through, [num_samples]."""
        return np.concatenate([self.outcomes[place].losses for place in range(len(self.parts))])

    def gather(self, party: Party) -> None:
        """Take what a part has just left in a node's leaves, where other parts are to follow."""
        if len(self.parts) == 1:
            return
        sums = self.gradients.setdefault(party.node, {})
        for name, leaf in party.leaves.items():
            if leaf.grad is not None:
                sums[name] = sums[name].add_(leaf.grad) if name in sums else leaf.grad
                leaf.grad = None

    def complete(self, party: Party) -> bool:
        """Note that a part's gradient is there; return whether all are, which the leaves hold then."""
        self.passed[party.node] = self.passed.get(party.node, 0) + 1
        if self.passed[party.node] < len(self.parts):
            return False
        for name, gradient in self.gradients.pop(party.node, {}).items():
            party.leaves[name].grad = gradient
        return True
