"""5G QoS identifiers: what the standardised values of TS 23.501 table 5.7.4-1 promise."""

from __future__ import annotations

from typing import Literal, NamedTuple

from channel.errors import UserError

ResourceType = Literal["gbr", "non_gbr", "delay_critical_gbr"]


class QosCharacteristics(NamedTuple):
    """What a 5QI stands for (TS 23.501 clause 5.7.3).

    Attributes:
        resource_type: whether a bit rate is guaranteed, and whether a late packet counts as lost.
        priority: default priority level; low is urgent.
        delay_budget_s: packet delay budget between UE and core network, s.
        error_rate: packet error rate, 0 to 1.
    """

    resource_type: ResourceType
    priority: int
    delay_budget_s: float
    error_rate: float


FIVE_QI: dict[int, QosCharacteristics] = {
    1: QosCharacteristics("gbr", 20, 0.100, 1e-2),
    2: QosCharacteristics("gbr", 40, 0.150, 1e-3),
    3: QosCharacteristics("gbr", 30, 0.050, 1e-3),
    4: QosCharacteristics("gbr", 50, 0.300, 1e-6),
    5: QosCharacteristics("non_gbr", 10, 0.100, 1e-6),
    6: QosCharacteristics("non_gbr", 60, 0.300, 1e-6),
    7: QosCharacteristics("non_gbr", 70, 0.100, 1e-3),
    8: QosCharacteristics("non_gbr", 80, 0.300, 1e-6),
    9: QosCharacteristics("non_gbr", 90, 0.300, 1e-6),
    10: QosCharacteristics("non_gbr", 90, 1.100, 1e-6),
    65: QosCharacteristics("gbr", 7, 0.075, 1e-2),
    66: QosCharacteristics("gbr", 20, 0.100, 1e-2),
    67: QosCharacteristics("gbr", 15, 0.100, 1e-3),
    69: QosCharacteristics("non_gbr", 5, 0.060, 1e-6),
    70: QosCharacteristics("non_gbr", 55, 0.200, 1e-6),
    71: QosCharacteristics("gbr", 56, 0.150, 1e-6),
    72: QosCharacteristics("gbr", 56, 0.300, 1e-4),
    73: QosCharacteristics("gbr", 56, 0.300, 1e-8),
    74: QosCharacteristics("gbr", 56, 0.500, 1e-8),
    76: QosCharacteristics("gbr", 56, 0.500, 1e-4),
    79: QosCharacteristics("non_gbr", 65, 0.050, 1e-2),
    80: QosCharacteristics("non_gbr", 68, 0.010, 1e-6),
    82: QosCharacteristics("delay_critical_gbr", 19, 0.010, 1e-4),
    83: QosCharacteristics("delay_critical_gbr", 22, 0.010, 1e-4),
    84: QosCharacteristics("delay_critical_gbr", 24, 0.030, 1e-5),
    85: QosCharacteristics("delay_critical_gbr", 21, 0.005, 1e-5),
    86: QosCharacteristics("delay_critical_gbr", 18, 0.005, 1e-4),
    87: QosCharacteristics("delay_critical_gbr", 25, 0.005, 1e-3),
    88: QosCharacteristics("delay_critical_gbr", 25, 0.010, 1e-3),
    89: QosCharacteristics("delay_critical_gbr", 25, 0.015, 1e-4),
    90: QosCharacteristics("delay_critical_gbr", 25, 0.020, 1e-4),
}
"""The standardised values of release 18 (75 was withdrawn)."""

DEFAULT_FIVE_QI = 9
"""What a bearer is held to where nothing else is said."""


def qos(five_qi: int) -> QosCharacteristics:
    """Return the characteristics of a standardised 5QI; raise UserError for any other.

    >>> qos(80).delay_budget_s
    0.01
    """
    if five_qi not in FIVE_QI:
        known = ", ".join(str(value) for value in FIVE_QI)
        raise UserError(f"{five_qi} is not a standardised 5QI (TS 23.501 table 5.7.4-1); use one of {known}")
    return FIVE_QI[five_qi]
