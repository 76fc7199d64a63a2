"""The natural partition: by who made the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from channel.errors import UserError
from ran.learning.partition.partition import PARTITIONS, Partition, column_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.partition.partition import Columns


@PARTITIONS.register("column")
class ByColumn(Partition):
    """All samples of one value of a column, such as a speaker, go to one client.

    Where there are more values than clients, they are grouped: from the most frequent down, each goes to the client
    that has fewest samples so far, which keeps sizes as even as the values allow (longest processing time first,
    Graham 1969).
    """

    column: str = Field(min_length=1, description="column of the task's data, such as speaker")

    def _split(
        self, num_samples: int, columns: Columns, num_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        import numpy as np

        values, codes = column_values(columns, self.column)
        assert len(codes) == num_samples
        if len(values) < num_clients:
            raise UserError(
                f"column {self.column!r} has {len(values)} values, but there are {num_clients} clients; set ues.count "
                f"to {len(values)} or less, or choose another learning.partition"
            )
        sizes = np.bincount(codes)
        held = np.zeros(num_clients, np.int64)
        owner = np.zeros(len(values), np.int64)
        for value in np.argsort(-sizes, kind="stable"):
            owner[value] = np.argmin(held)
            held[owner[value]] += sizes[value]
        if held.min() < self.min_samples:
            raise UserError(
                f"by column {self.column!r} some client would hold only {held.min()} samples, fewer than "
                f"{self.min_samples}; lower learning.partition.min_samples or use fewer UEs"
            )
        # Which client is the largest is left to chance, or it would always be the first.
        client_of = rng.permutation(num_clients)[owner][codes]
        return [np.flatnonzero(client_of == client) for client in range(num_clients)]
