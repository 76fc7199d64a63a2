"""What a band carries: a truncated Shannon bound, fitted to the calibrated rate curve, so that closed forms hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from agents.radio import places, rate_curve


@dataclass(frozen=True)
class Shannon:
    """Bit/s of b hertz at an SNR of x / b: min(a b log2(1 + x / b), c b) (TR 36.942, A.1).

    The calibrated curve goes up in steps of the MCS table; this is within a tenth of its highest value of it.

    Attributes:
        share: a, of Shannon's bound.
        cap: c, of the highest MCS, bit/s/Hz.
        misfit: largest distance from the calibrated curve, bit/s/Hz, from the lowest MCS on.
    """

    share: float
    cap: float
    misfit: float


@lru_cache(maxsize=8)
def shannon(scenario: str) -> Shannon:
    """Return the bound that is nearest to a scenario's rate curve, by least squares, overhead included."""
    curve, numerology = rate_curve(scenario), places(scenario).world.numerology
    elements = max(kind.uplink_re for kind in numerology.kinds()) / (numerology.prb_hz * numerology.slot_s)
    seen = curve.efficiency * elements
    snr = 10 ** ((curve.first_db + curve.step_db * np.arange(len(seen))) / 10)
    cap, bound = float(seen.max()), np.log2(1 + snr)
    rising = (seen > 0) & (seen < cap)
    share = float(seen[rising] @ bound[rising] / (bound[rising] @ bound[rising]))
    misfit = np.abs(np.minimum(share * bound, cap) - seen)[seen > 0].max()
    return Shannon(share, cap, float(misfit))
