"""What it takes to keep a small rotary-wing aircraft in the air."""

from __future__ import annotations

import math

_WEIGHT_N = 20.0
_AIR_KG_M3 = 1.225
_ROTOR_M = 0.4
_BLADE_RAD_S = 300.0
_SOLIDITY = 0.05
_PROFILE_DRAG = 0.012
_INDUCED_CORRECTION = 0.1
_FUSELAGE_DRAG_RATIO = 0.6
_DISC_M2 = 0.503


def propulsion_power_w(speed_m_s: float) -> float:
    """Return the power of level flight at a speed in W (Zeng, Xu and Zhang, IEEE TWC 2019, arXiv 1804.02238).

    P(V) = P_0 (1 + 3 V^2 / U^2) + P_i (sqrt(1 + V^4 / (4 v^4)) - V^2 / (2 v^2))^(1/2) + d rho s A V^3 / 2 with
    P_0 = delta rho s A U^3 / 8, P_i = (1 + k) W^(3/2) / sqrt(2 rho A), tip speed U and mean induced velocity in hover
    v = sqrt(W / (2 rho A)); the paper's aircraft of 20 N. Hovering takes more than flying slowly.

    >>> round(propulsion_power_w(0.0), 1), round(propulsion_power_w(10.0), 1)
    (168.5, 126.0)
    """
    tip_m_s = _BLADE_RAD_S * _ROTOR_M
    profile_w = _PROFILE_DRAG / 8 * _AIR_KG_M3 * _SOLIDITY * _DISC_M2 * tip_m_s**3
    induced_w = (1 + _INDUCED_CORRECTION) * _WEIGHT_N**1.5 / math.sqrt(2 * _AIR_KG_M3 * _DISC_M2)
    squared = speed_m_s**2 / (2 * (_WEIGHT_N / (2 * _AIR_KG_M3 * _DISC_M2)))
    parasite_w = _FUSELAGE_DRAG_RATIO * _AIR_KG_M3 * _SOLIDITY * _DISC_M2 * speed_m_s**3 / 2
    blades_w = profile_w * (1 + 3 * speed_m_s**2 / tip_m_s**2)
    return blades_w + induced_w * math.sqrt(math.sqrt(1 + squared**2) - squared) + parasite_w
