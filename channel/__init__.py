"""Physics of the air; importing a part here registers it."""

from channel import cdl, free_space, layouts, placement, ray_traced, rayleigh, recorded, tdl, tr38901
from channel.layout import LAYOUTS, PLACEMENTS
from channel.mobility import MOBILITIES
from channel.model import CHANNELS

__all__ = [
    "CHANNELS",
    "LAYOUTS",
    "MOBILITIES",
    "PLACEMENTS",
    "cdl",
    "free_space",
    "layouts",
    "placement",
    "ray_traced",
    "rayleigh",
    "recorded",
    "tdl",
    "tr38901",
]
