"""Soft combining of HARQ attempts: chase combining and incremental redundancy on effective SINRs."""

from __future__ import annotations

import numba

CHASE, INCREMENTAL_REDUNDANCY = 0, 1
"""Values of ``mode``."""


@numba.njit(cache=True)
def mother_rate(tb_bits: int, code_rate: float) -> float:
    """Return the rate of the LDPC code that all redundancy versions are taken from: 1/3 or 1/5.

    Base graph 2 (rate 1/5) where ``A <= 292``, or ``A <= 3824`` and ``R <= 0.67``, or ``R <= 0.25``; else base
    graph 1 (rate 1/3) (TS 38.212 clauses 7.2.2 and 6.2.2, 5.3.2).

    Args:
        tb_bits: transport block size A, without CRC.
        code_rate: target code rate R of the first attempt's MCS.
    """
    if tb_bits <= 292 or (tb_bits <= 3824 and code_rate <= 0.67) or code_rate <= 0.25:
        return 1.0 / 5.0
    return 1.0 / 3.0


@numba.njit(cache=True)
def combined_sinr(sinr_sum: float, attempts: int, code_rate: float, mother_rate: float, mode: int) -> float:
    """Return the SINR (linear) at which the first attempt's code would see what ``attempts`` attempts gave together.

    Chase combining adds SINRs: ``sum gamma_i``. Incremental redundancy adds mutual information while attempts bring
    new parity, that is ``m = min(attempts, R / R_mother)`` times, at least once; from then on the circular buffer
    (TS 38.212 clause 5.4.2) repeats, which is chase combining of the longer code::

        log2(1 + gamma) = m log2(1 + (sum gamma_i) / m)

    (Frenger, Parkvall & Dahlman, VTC 2001; Cheng, "Coding performance of hybrid ARQ schemes", IEEE T-COM 2006). The
    gain over chase combining is therefore small at low SINR and at low code rates, and none below the mother rate.

    Not modelled: attempts of unequal SINR (they count as equal ones of the same sum, which by Jensen's inequality is
    the most they can give), of unequal length (a retransmission fills as many resource elements as the first
    attempt), the overlap of consecutive redundancy versions, limited-buffer rate matching, and the ceiling that a
    constellation sets to mutual information.

    Args:
        sinr_sum: sum of the attempts' effective SINRs, linear.
        attempts: transmissions so far, at least 1.
        code_rate: code rate R of the first attempt.
        mother_rate: from ``mother_rate``.
        mode: CHASE or INCREMENTAL_REDUNDANCY.
    """
    if mode == CHASE:
        return sinr_sum
    fresh = max(1.0, min(float(attempts), code_rate / mother_rate))
    return float((1.0 + sinr_sum / fresh) ** fresh - 1.0)
