"""Medium access control; importing a scheduler here registers it."""

from ran.mac.scheduler import SCHEDULERS

__all__ = ["SCHEDULERS"]
