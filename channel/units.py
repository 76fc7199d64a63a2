"""Units: SI inside, decibels only at the edges."""

import math

SPEED_OF_LIGHT_M_S = 299_792_458.0
BOLTZMANN_J_K = 1.380649e-23
ROOM_TEMPERATURE_K = 290.0


def db_to_linear(value_db: float) -> float:
    """Return the power ratio of ``value_db`` decibels.

    >>> db_to_linear(20.0)
    100.0
    """
    return 10.0 ** (value_db / 10.0)


def linear_to_db(ratio: float) -> float:
    """Return a power ratio in decibels (minus infinity for zero).

    >>> linear_to_db(100.0)
    20.0
    """
    return 10.0 * math.log10(ratio) if ratio > 0 else -math.inf


def dbm_to_watt(power_dbm: float) -> float:
    """Return watts.

    >>> dbm_to_watt(30.0)
    1.0
    """
    return 1e-3 * db_to_linear(power_dbm)


def watt_to_dbm(power_w: float) -> float:
    """Return dBm.

    >>> watt_to_dbm(0.2) > 23
    True
    """
    return linear_to_db(power_w / 1e-3)


def thermal_noise_w(bandwidth_hz: float, noise_figure_db: float) -> float:
    """Return the receiver noise power k T B F in watts, T = 290 K.

    >>> round(watt_to_dbm(thermal_noise_w(1.0, 0.0)), 1)
    -174.0
    """
    return BOLTZMANN_J_K * ROOM_TEMPERATURE_K * bandwidth_hz * db_to_linear(noise_figure_db)
