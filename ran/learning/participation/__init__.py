"""Who takes part in a round; importing a rule here registers it."""

from ran.learning.participation.allotment import Allotment
from ran.learning.participation.availability import AVAILABILITIES, Availability, OnOff, Trace
from ran.learning.participation.channel_aware import ChannelAware
from ran.learning.participation.oort import Oort
from ran.learning.participation.participation import PARTICIPATIONS, Candidates, Everyone, Participation
from ran.learning.participation.policy import Policy
from ran.learning.participation.uniform import Uniform

__all__ = [
    "AVAILABILITIES", "PARTICIPATIONS", "Allotment", "Availability", "Candidates", "ChannelAware", "Everyone",
    "OnOff", "Oort", "Participation", "Policy", "Trace", "Uniform",
]  # fmt: skip
