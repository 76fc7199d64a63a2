"""Quantity skew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.learning.partition.partition import PARTITIONS, Partition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.partition.partition import Columns


@PARTITIONS.register("quantity")
class Quantity(Partition):
    """Clients of unequal size: shares of all samples drawn from Dirichlet(alpha) (Li et al., arXiv 2102.02079).

    Which samples a client gets is left to chance, so that labels are IID and only the amounts differ.
    """

    alpha: float = Field(default=1.0, gt=0, le=1e6, description="concentration; 0.1 is very uneven, 100 nearly even")

    def _split(
        self,
        num_samples: int,
        columns: Columns,  # noqa: ARG002
        num_clients: int,
        rng: np.random.Generator,
    ) -> list[NDArray[np.int64]]:
        import numpy as np

        bounds = np.cumsum(rng.dirichlet(np.full(num_clients, self.alpha)))[:-1]
        return np.split(rng.permutation(num_samples), np.round(bounds * num_samples).astype(np.int64))
