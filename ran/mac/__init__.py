"""Medium access control; importing a scheduler here registers it."""

from ran.mac.learning_aware import LearningAware
from ran.mac.max_min import MaxMin
from ran.mac.max_rate import MaxRate
from ran.mac.policy import Policy
from ran.mac.proportional_fair import ProportionalFair
from ran.mac.qos import Qos
from ran.mac.round_robin import RoundRobin
from ran.mac.scheduler import SCHEDULERS
from ran.mac.shares import Shares

__all__ = [
    "SCHEDULERS", "LearningAware", "MaxMin", "MaxRate", "Policy", "ProportionalFair", "Qos", "RoundRobin", "Shares",
]  # fmt: skip
