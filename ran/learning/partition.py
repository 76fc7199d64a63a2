"""How the training samples are spread over the clients."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from pydantic import Field

from channel.component import Component
from channel.errors import UserError
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Partition(Component):
    """A rule that gives every training sample to exactly one client."""

    min_samples: int = Field(default=8, ge=1, description="every client gets at least this many")

    @abstractmethod
    def _split(self, labels: NDArray[np.int64], num_clients: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Return sample indices per client, before ``min_samples`` is seen to."""

    def split(self, labels: NDArray[np.int64], num_clients: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Return the sample indices of each client, ascending; together they are every index once.

        A client short of ``min_samples`` takes samples at random from whichever client then has most.
        Raises UserError when there are too few samples for ``num_clients``.
        """
        import numpy as np

        needed = num_clients * self.min_samples
        if len(labels) < needed:
            raise UserError(
                f"{num_clients} clients with at least {self.min_samples} samples each need {needed} training "
                f"samples, but the task has {len(labels)}; use fewer UEs or lower learning.partition.min_samples"
            )
        parts = self._split(labels, num_clients, rng)
        for client in range(num_clients):
            while len(parts[client]) < self.min_samples:
                donor = int(np.argmax([len(part) for part in parts]))
                taken = int(rng.integers(len(parts[donor])))
                parts[client] = np.append(parts[client], parts[donor][taken])
                parts[donor] = np.delete(parts[donor], taken)
        return [np.sort(part) for part in parts]


PARTITIONS: Registry[Partition] = Registry("partition", Partition)


@PARTITIONS.register("iid")
class Iid(Partition):
    """Samples dealt at random, equally many to each client (plus or minus one)."""

    def _split(self, labels: NDArray[np.int64], num_clients: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        import numpy as np

        return list(np.array_split(rng.permutation(len(labels)), num_clients))


@PARTITIONS.register("dirichlet")
class Dirichlet(Partition):
    """Each class is shared out in proportions drawn from Dirichlet(alpha) (Hsu et al., arXiv 1909.06335).

    Small ``alpha`` means few classes per client; a large one approaches IID.
    """

    alpha: float = Field(default=0.5, gt=0, le=1e6, description="concentration; 0.1 is very uneven, 100 nearly even")

    def _split(self, labels: NDArray[np.int64], num_clients: int, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        import numpy as np

        shares: list[list[NDArray[np.int64]]] = [[] for _ in range(num_clients)]
        for label in np.unique(labels):
            of_class = rng.permutation(np.flatnonzero(labels == label))
            bounds = np.cumsum(rng.dirichlet(np.full(num_clients, self.alpha)))[:-1]
            pieces = np.split(of_class, np.round(bounds * len(of_class)).astype(np.int64))
            for client, piece in enumerate(pieces):
                shares[client].append(piece)
        return [np.concatenate(pieces) for pieces in shares]


def class_counts(parts: list[NDArray[np.int64]], labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Return how many samples of each class each client holds, int64 [num_clients, num_classes]."""
    import numpy as np

    return np.stack([np.bincount(labels[part], minlength=num_classes) for part in parts])
