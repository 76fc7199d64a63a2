"""How a cell is shared out among slices; a line here registers a rule, its module has its name."""

from ran.mac.sharing.sharing import SHARINGS, Fixed, Sharing

__all__ = ["SHARINGS", "Fixed", "Sharing"]

SHARINGS.declare(__name__, ["deadline_first", "policy", "sla_first"])
