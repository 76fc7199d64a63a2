"""Client engines, what computes the local training of a round's participants; importing one here registers it."""

from ran.learning.engines.auto import Auto
from ran.learning.engines.engine import ENGINES, Assignment, Engine, Trainer, Workplace, engine_problems
from ran.learning.engines.keras import Keras
from ran.learning.engines.mixed import Mixed
from ran.learning.engines.processes import Processes
from ran.learning.engines.sequential import Sequential
from ran.learning.engines.stacked import Stacked

__all__ = [
    "ENGINES",
    "Assignment",
    "Auto",
    "Engine",
    "Keras",
    "Mixed",
    "Processes",
    "Sequential",
    "Stacked",
    "Trainer",
    "Workplace",
    "engine_problems",
]
