"""Physics of the air; importing a part here registers it."""

from channel.layout import LAYOUTS, PLACEMENTS
from channel.mobility import MOBILITIES
from channel.model import CHANNELS

__all__ = ["CHANNELS", "LAYOUTS", "MOBILITIES", "PLACEMENTS"]
