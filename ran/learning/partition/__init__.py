"""How samples are spread over the clients; importing a rule here registers it."""

from ran.learning.partition.by_column import ByColumn
from ran.learning.partition.dirichlet import Dirichlet
from ran.learning.partition.iid import Iid
from ran.learning.partition.partition import PARTITIONS, Partition, class_counts, column_problem
from ran.learning.partition.quantity import Quantity
from ran.learning.partition.shards import Shards

__all__ = [
    "PARTITIONS", "ByColumn", "Dirichlet", "Iid", "Partition", "Quantity", "Shards", "class_counts", "column_problem",
]  # fmt: skip
