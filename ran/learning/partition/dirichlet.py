"""Label skew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.learning.partition.partition import PARTITIONS, Partition, column_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.partition.partition import Columns


@PARTITIONS.register("dirichlet")
class Dirichlet(Partition):
    """Each class is shared out in proportions drawn from Dirichlet(alpha) (Hsu et al., arXiv 1909.06335).

    Small ``alpha`` means few classes per client; a large one approaches IID.
    """

    alpha: float = Field(default=0.5, gt=0, le=1e6, description="concentration; 0.1 is very uneven, 100 nearly even")
    column: str = Field(default="label", min_length=1, description="column whose values are the classes")

    def _split(
        self, num_samples: int, columns: Columns, num_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        import numpy as np

        values, codes = column_values(columns, self.column)
        assert len(codes) == num_samples
        shares: list[list[NDArray[np.int64]]] = [[] for _ in range(num_clients)]
        for value in range(len(values)):
            of_class = rng.permutation(np.flatnonzero(codes == value))
            bounds = np.cumsum(rng.dirichlet(np.full(num_clients, self.alpha)))[:-1]
            pieces = np.split(of_class, np.round(bounds * len(of_class)).astype(np.int64))
            for client, piece in enumerate(pieces):
                shares[client].append(piece)
        return [np.concatenate(pieces) for pieces in shares]
