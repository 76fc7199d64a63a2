"""Channel quality indicator: four bits that say which modulation and coding the channel carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numba
import numpy as np

from ran.phy.link_kernels import block_error_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.phy.link_abstraction import LinkTables

# Modulation order and code rate x 1024 of CQI 1 to 15, by the MCS table they go with.
CQI_TABLES: dict[int, tuple[tuple[int, int], ...]] = {
    # TS 38.214 table 5.2.2.1-2 (up to 64QAM).
    1: (
        (2, 78), (2, 120), (2, 193), (2, 308), (2, 449), (2, 602), (4, 378), (4, 490), (4, 616), (6, 466), (6, 567),
        (6, 666), (6, 772), (6, 873), (6, 948),
    ),
    # TS 38.214 table 5.2.2.1-3 (up to 256QAM).
    2: (
        (2, 78), (2, 193), (2, 449), (4, 378), (4, 490), (4, 616), (6, 466), (6, 567), (6, 666), (6, 772), (6, 873),
        (8, 711), (8, 797), (8, 885), (8, 948),
    ),
}  # fmt: skip

TARGET_BLER = 0.1
"""Transport block error rate of a CQI report (TS 38.214 clause 5.2.2.1)."""

# Data REs per PRB of the CSI reference resource: 12 symbols of PDSCH and DMRS after 2 of control (clause 5.2.2.5),
# one of them DMRS.
_REFERENCE_RE_PER_PRB = 132

# SINRs looked at, in the resolution of Sionna's curves.
_SCAN_DB = np.arange(-100, 401) / 10.0


def cqi_thresholds(tables: LinkTables, mcs_table: int, num_prbs: int) -> NDArray[np.float64]:
    """Return the smallest SINR (linear) that earns each CQI, [16], rising; CQI 0 (out of range) is earned by 0.

    A CQI is earned where one transport block of its modulation and code rate on the CSI reference resource is lost
    with at most 10 % (TS 38.214 clause 5.2.2.1), by the curve of the MCS of the same modulation and rate. Where no
    curve tells (the lowest MCS have none, and some end above 10 %) the gap to Shannon's bound is that of the nearest
    CQI that has one.

    Args:
        tables: link tables of ``mcs_table``; of their RE counts the one nearest to the CSI reference resource is used.
        mcs_table: 1 (up to 64QAM) or 2 (up to 256QAM).
        num_prbs: PRBs that a report is about: the carrier's for a wideband CQI.
    """
    efficiency = np.array([order * rate / 1024.0 for order, rate in CQI_TABLES[mcs_table]])
    shannon = 2.0**efficiency - 1.0
    met = np.array([_smallest_sinr(tables, value, num_prbs) for value in efficiency])
    known = np.nonzero(np.isfinite(met))[0]
    nearest = known[np.abs(known - np.arange(len(met))[:, None]).argmin(axis=1)]
    gap = met[nearest] / shannon[nearest]
    return np.concatenate([[0.0], np.maximum.accumulate(shannon * gap)])


def _smallest_sinr(tables: LinkTables, efficiency: float, num_prbs: int) -> float:
    """Return the SINR from which on the MCS of ``efficiency`` meets the target, NaN where no curve tells."""
    mcs = int(np.abs(tables.efficiency - efficiency).argmin())
    if abs(tables.efficiency[mcs] - efficiency) > 1e-3:
        return float("nan")
    row = int(np.abs(np.array(tables.re_per_prb) - _REFERENCE_RE_PER_PRB).argmin())
    size, blocks = tables.code_block_bits[row, mcs, num_prbs], tables.num_code_blocks[row, mcs, num_prbs]
    sinr = 10.0 ** (_SCAN_DB / 10.0)
    missed = [block_error_rate(tables.bler, mcs, size, blocks, value) > TARGET_BLER for value in sinr]
    last = int(np.nonzero(missed)[0].max(initial=-1))
    return float(sinr[last + 1]) if last + 1 < len(sinr) else float("nan")


@numba.njit(cache=True)
def quantise(sinr: float, thresholds: NDArray[np.float64]) -> int:
    """Return the highest CQI whose threshold is not above ``sinr`` (linear); 0 where none is, or for a NaN."""
    index = 0
    while index + 1 < len(thresholds) and sinr >= thresholds[index + 1]:
        index += 1
    return index


@numba.njit(cache=True)
def sinr_of_cqi(index: int, thresholds: NDArray[np.float64]) -> float:
    """Return the SINR (linear) that a CQI vouches for: its threshold; 0 for CQI 0."""
    return float(thresholds[index])
