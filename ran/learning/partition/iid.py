"""The even partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ran.learning.partition.partition import PARTITIONS, Partition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.partition.partition import Columns


@PARTITIONS.register("iid")
class Iid(Partition):
    """Samples dealt at random, equally many to each client (plus or minus one)."""

    def _split(
        self,
        num_samples: int,
        columns: Columns,  # noqa: ARG002
        num_clients: int,
        rng: np.random.Generator,
    ) -> list[NDArray[np.int64]]:
        import numpy as np

        return list(np.array_split(rng.permutation(num_samples), num_clients))
