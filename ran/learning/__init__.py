"""Learning as traffic and computation carried by the network; importing a part here registers it."""

from ran.learning import small_models  # noqa: F401 - registers them
from ran.learning.adaptation import ADAPTATIONS
from ran.learning.adapters import ADAPTERS
from ran.learning.aggregation import AGGREGATORS
from ran.learning.algorithms import ALGORITHMS
from ran.learning.attacks import ATTACKS
from ran.learning.compression import COMPRESSORS
from ran.learning.engines import ENGINES
from ran.learning.freezing import FREEZINGS
from ran.learning.hierarchy import HIERARCHIES
from ran.learning.loss_recovery import LOSS_RECOVERIES
from ran.learning.models import MODELS
from ran.learning.participation import AVAILABILITIES, PARTICIPATIONS
from ran.learning.partition import PARTITIONS
from ran.learning.schedules import SCHEDULES
from ran.learning.tasks import TASKS
from ran.learning.transport import TRANSPORTS

__all__ = [
    "ADAPTATIONS", "ADAPTERS", "AGGREGATORS", "ALGORITHMS", "ATTACKS", "AVAILABILITIES", "COMPRESSORS", "ENGINES",
    "FREEZINGS", "HIERARCHIES", "LOSS_RECOVERIES", "MODELS", "PARTICIPATIONS", "PARTITIONS", "SCHEDULES", "TASKS",
    "TRANSPORTS",
]  # fmt: skip
