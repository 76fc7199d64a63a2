"""The pathological partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from channel.errors import UserError
from ran.learning.partition.partition import PARTITIONS, Partition, column_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.partition.partition import Columns


@PARTITIONS.register("shards")
class Shards(Partition):
    """Samples sorted by class, cut into equal shards, so many dealt to each client (McMahan et al., arXiv 1602.05629).

    With two shards most clients see two classes. Shards differ by one sample at most; samples of one class are in
    random order.
    """

    shards_per_client: int = Field(default=2, ge=1, le=10_000)
    column: str = Field(default="label", min_length=1, description="column to sort by")

    def _split(
        self, num_samples: int, columns: Columns, num_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        import numpy as np

        num_shards = num_clients * self.shards_per_client
        if num_shards > num_samples:
            raise UserError(
                f"{num_clients} clients with {self.shards_per_client} shards each need {num_shards} training samples, "
                f"but the task has {num_samples}; lower learning.partition.shards_per_client or use fewer UEs"
            )
        _, codes = column_values(columns, self.column)
        mixed = rng.permutation(num_samples)
        in_order = mixed[np.argsort(codes[mixed], kind="stable")]
        shards = np.array_split(in_order, num_shards)
        dealt = rng.permutation(num_shards).reshape(num_clients, self.shards_per_client)
        return [np.concatenate([shards[shard] for shard in of_client]) for of_client in dealt]
