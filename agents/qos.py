"""How content a user is with a service: the zone of tolerance between what is adequate and what is desired."""

from __future__ import annotations

import numba


@numba.vectorize(["float64(float64, float64, float64)"], cache=True)
def zone_of_tolerance(quality: float, adequate: float, desired: float) -> float:
    """Return the utility of a quality of service, -1 .. 1; NumPy's broadcasting applies.

    u(q) = q / a - 1 below what is adequate (0 <= q < a: not tolerated),
    u(q) = (q - a) / (d - a) within the zone of tolerance (a <= q <= d), and 1 above what is desired: more is of no use.

    The zone of tolerance is Parasuraman, Berry and Zeithaml's (1991: customers tolerate what lies between adequate and
    desired service); Alkurd et al. brought it to wireless networks (arXiv 2306.04887). That its three pieces are
    straight is ours: the simplest utility that is continuous, grows, and is negative exactly where service is not
    tolerated.

    Args:
        quality: q, at least 0, the more the better, e.g. a rate.
        adequate: a, above 0, in the same unit.
        desired: d, above a.

    >>> [float(zone_of_tolerance(rate, 1e6, 5e6)) for rate in (0.0, 0.5e6, 1e6, 3e6, 9e6)]
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    if quality < adequate:
        return quality / adequate - 1.0
    return min((quality - adequate) / (desired - adequate), 1.0)
