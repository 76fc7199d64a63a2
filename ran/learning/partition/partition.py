"""The interface of a partition: how the training samples are spread over the clients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from heapq import heapify, heapreplace
from typing import TYPE_CHECKING, Any

from pydantic import Field

from channel.component import Component
from channel.errors import UserError
from channel.registry import Registry, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.tasks.task import Task

    Columns = Mapping[str, NDArray[Any]]
    """What is known of every sample, by name: its label, or a column of the file that it came from."""


class Partition(Component):
    """A rule that gives every training sample to exactly one client."""

    min_samples: int = Field(default=8, ge=1, description="every client gets at least this many")

    @abstractmethod
    def _split(
        self, num_samples: int, columns: Columns, num_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        """Return sample indices per client, before ``min_samples`` is seen to."""

    def split(
        self, num_samples: int, columns: Columns, num_clients: int, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        """Return the sample indices of each client, ascending; together they are every index once.

        A client short of ``min_samples`` takes samples at random from whichever client then has most.

        Args:
            num_samples: how many samples there are.
            columns: values by name, each [num_samples]; of classification data ``label``, of others as the file has.
            num_clients: how many clients there are.
            rng: the draw.

        Raises:
            UserError: too few samples for ``num_clients``, or no column of the name that the rule goes by.
        """
        import numpy as np

        needed = num_clients * self.min_samples
        if num_samples < needed:
            raise UserError(
                f"{num_clients} clients with at least {self.min_samples} samples each need {needed} training "
                f"samples, but the task has {num_samples}; use fewer UEs or lower learning.partition.min_samples"
            )
        parts = _topped_up(self._split(num_samples, columns, num_clients, rng), self.min_samples, rng)
        return [np.sort(part) for part in parts]


def _topped_up(
    parts: Sequence[NDArray[np.int64]], min_samples: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Return the parts after each short one, in order, took samples at random from whichever then had most.

    Of several that have most, the first gives. A sample moves in O(log clients) and the shift of what its donor holds.
    """
    import numpy as np

    held: dict[int, list[int]] = {}

    def samples(client: int) -> list[int]:
        if client not in held:
            held[client] = parts[client].tolist()
        return held[client]

    # Largest first. Nobody who takes ever has more than min_samples, so nobody who takes ever gives.
    donors = [(-len(part), client) for client, part in enumerate(parts) if len(part) > min_samples]
    heapify(donors)
    for client, part in enumerate(parts):
        for _ in range(min_samples - len(part)):
            size, donor = donors[0]
            samples(client).append(samples(donor).pop(int(rng.integers(-size))))
            heapreplace(donors, (size + 1, donor))
    return [np.array(held[client], np.int64) if client in held else part for client, part in enumerate(parts)]


PARTITIONS: Registry[Partition] = Registry("partition", Partition)


def column_values(columns: Columns, name: str) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct values of a column, sorted, and the place of each sample's value among them [num_samples].

    Raises UserError naming the columns that there are.
    """
    import numpy as np

    if name not in columns:
        known = sorted(columns)
        hint = did_you_mean(name, known).rstrip("?")
        has = f"its columns are {', '.join(known)}" if known else "it has none"
        remedy = (
            "set learning.partition.column to one of them" if known else "set learning.partition to iid or quantity"
        )
        raise UserError(f"the task's data has no column {name!r}{hint}; {has}; {remedy}")
    values = np.asarray(columns[name])
    distinct, codes = np.unique(values if values.dtype != object else values.astype(str), return_inverse=True)
    return distinct, codes.reshape(-1).astype(np.int64)


def column_problem(partition: Partition, task: Task) -> str | None:
    """Return why a task's data cannot have the partition's column, as far as that shows unread, or None."""
    column, source = getattr(partition, "column", None), str(getattr(task, "train", ""))
    if task.kind != "causal_lm" or not source.lower().endswith(".txt") or column in (None, "speaker"):
        return None
    return (
        f"partition {partition.name} goes by the column {column!r}, but a .txt file has no labels, and no other column "
        "than speaker; set learning.partition to iid or quantity, or its column to speaker"
    )


def class_counts(parts: Sequence[NDArray[np.int64]], labels: NDArray[np.int64], num_classes: int) -> NDArray[np.int64]:
    """Return how many samples of each class each client holds, int64 [num_clients, num_classes]."""
    import numpy as np

    return np.stack([np.bincount(labels[part], minlength=num_classes) for part in parts])
