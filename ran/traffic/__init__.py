"""Background traffic beside the learning: what arrives when, and what becomes of it; importing a model registers it."""

from ran.traffic.cbr import Cbr
from ran.traffic.ftp3 import Ftp3
from ran.traffic.full_buffer import FullBuffer
from ran.traffic.poisson import Poisson
from ran.traffic.traffic import TRAFFIC, Traffic, flow_problems
from ran.traffic.xr import Xr

__all__ = ["TRAFFIC", "Cbr", "Ftp3", "FullBuffer", "Poisson", "Traffic", "Xr", "flow_problems"]
