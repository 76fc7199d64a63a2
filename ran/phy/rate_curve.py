"""What a link carries at an SINR: the steps of its MCS table, and the truncated Shannon bound nearest to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ran.phy.link_kernels import block_error_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.numerology import Numerology
    from ran.phy.link_abstraction import LinkTables

_PRBS = 10
_STEP_DB = 0.25


@dataclass(frozen=True)
class RateCurve:
    """Information bits per resource element that a link carries at an SINR, in steps.

    Attributes:
        first_db, step_db: of the table.
        efficiency: of the highest MCS within the error target, times what of it arrives, [num_steps]; 0 below the
            lowest MCS.
    """

    first_db: float
    step_db: float
    efficiency: NDArray[np.float64]

    @staticmethod
    def of(tables: LinkTables, bler_target: float) -> RateCurve:
        """Return the curve of an MCS table at an error target."""
        sinr_db = np.arange(-10.0, 40.0 + _STEP_DB / 2, _STEP_DB)
        best = np.zeros(len(sinr_db))
        kind = len(tables.re_per_prb) - 1
        for mcs in range(tables.first_mcs, len(tables.efficiency)):
            sizes = tables.code_block_bits[kind, mcs, _PRBS], tables.num_code_blocks[kind, mcs, _PRBS]
            for place, each_db in enumerate(sinr_db):
                error = block_error_rate(tables.bler, mcs, *sizes, 10 ** (each_db / 10))
                if error <= bler_target:
                    best[place] = max(best[place], tables.efficiency[mcs] * (1 - error))
        return RateCurve(float(sinr_db[0]), _STEP_DB, best)

    def at(self, sinr: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return bit per resource element at linear SINRs of any shape."""
        place = (10 * np.log10(np.maximum(sinr, 1e-30)) - self.first_db) / self.step_db
        return self.efficiency[np.clip(np.rint(place), 0, len(self.efficiency) - 1).astype(np.int64)]


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

    @staticmethod
    def of(curve: RateCurve, numerology: Numerology) -> Shannon:
        """Return the bound that is nearest to an uplink's rate curve, by least squares, overhead included."""
        elements = max(kind.uplink_re for kind in numerology.kinds()) / (numerology.prb_hz * numerology.slot_s)
        seen = curve.efficiency * elements
        snr = 10 ** ((curve.first_db + curve.step_db * np.arange(len(seen))) / 10)
        cap, bound = float(seen.max()), np.log2(1 + snr)
        rising = (seen > 0) & (seen < cap)
        share = float(seen[rising] @ bound[rising] / (bound[rising] @ bound[rising]))
        misfit = np.abs(np.minimum(share * bound, cap) - seen)[seen > 0].max()
        return Shannon(share, cap, float(misfit))
