"""Physics of the air; importing a part here registers it."""

from channel import free_space, rayleigh, tr38901
from channel.layout import LAYOUTS, PLACEMENTS
from channel.mobility import MOBILITIES
from channel.model import CHANNELS

__all__ = ["CHANNELS", "LAYOUTS", "MOBILITIES", "PLACEMENTS", "free_space", "rayleigh", "tr38901"]
