"""The bins of delay histograms: logarithmic, so narrow that any percentile read from them is within 3 %."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Numba keeps these in the cached code of ledger_kernels.py, which must be touched when they change.
SHORTEST_S, DECADES = 1e-4, 6
BINS_PER_DECADE = 80
"""A bin's edges differ by a factor 10^(1/80) = 1.029."""

NUM_BINS = DECADES * BINS_PER_DECADE + 2
"""One more at each end: below 0.1 ms and from 100 s on."""


def edges_s() -> NDArray[np.float64]:
    """Return the lower edge of every bin in s, [NUM_BINS]; the last bin has no upper edge."""
    import numpy as np

    inner = SHORTEST_S * 10.0 ** (np.arange(NUM_BINS - 1) / BINS_PER_DECADE)
    return np.concatenate(([0.0], inner))
