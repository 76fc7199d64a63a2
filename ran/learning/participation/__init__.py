"""Who takes part in a round; importing a rule here registers it."""

from ran.learning.participation.participation import PARTICIPATIONS, Candidates, Everyone, Participation

__all__ = ["PARTICIPATIONS", "Candidates", "Everyone", "Participation"]
