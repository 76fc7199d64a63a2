"""What a band carries: a truncated Shannon bound, fitted to the calibrated rate curve, so that closed forms hold."""

from __future__ import annotations

from functools import lru_cache

from agents.radio import places, rate_curve
from ran.phy.rate_curve import Shannon


@lru_cache(maxsize=8)
def shannon(scenario: str) -> Shannon:
    """Return the bound that is nearest to a scenario's rate curve, by least squares, overhead included."""
    return Shannon.of(rate_curve(scenario), places(scenario).world.numerology)
