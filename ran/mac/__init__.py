"""Medium access control; importing a scheduler here registers it."""

from ran.mac.proportional_fair import ProportionalFair
from ran.mac.round_robin import RoundRobin
from ran.mac.scheduler import SCHEDULERS

__all__ = ["SCHEDULERS", "ProportionalFair", "RoundRobin"]
