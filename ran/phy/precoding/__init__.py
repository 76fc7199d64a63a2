"""Precoders behind one interface; importing one here registers it."""

from ran.phy.precoding.mmse import MMSE
from ran.phy.precoding.mrt import MRT
from ran.phy.precoding.precoder import PRECODERS, Precoder, limit_power, sum_rate
from ran.phy.precoding.rzf import RZF
from ran.phy.precoding.wmmse import WMMSE
from ran.phy.precoding.zf import ZF

__all__ = ["MMSE", "MRT", "PRECODERS", "RZF", "WMMSE", "ZF", "Precoder", "limit_power", "sum_rate"]
