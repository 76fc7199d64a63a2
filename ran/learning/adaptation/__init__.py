"""Which cut, width and quantiser every UE takes in a round; a line here registers a rule, its module has its name."""

from ran.learning.adaptation.adaptation import ADAPTATIONS, Adaptation, Fixed

__all__ = ["ADAPTATIONS", "Adaptation", "Fixed"]

ADAPTATIONS.declare(__name__, ["agent", "exhaustive", "greedy", "policy"])
