"""Max rate: each resource block group to the UE whose rate there is highest (maximum C/I)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ran.mac.scheduler import SCHEDULERS, Scheduler

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@SCHEDULERS.register("max_rate")
class MaxRate(Scheduler):
    """Maximise the sum rate: argmax_u rate_u(group), whoever starves (Knopp & Humblet 1995).

    The upper bound of cell throughput and the lower bound of fairness. It keeps no state, and every bit weighs 1.
    """

    def start(self, batch: int, num_cells: int, num_ues: int) -> NDArray[np.float64]:  # noqa: ARG002
        """Return nothing to remember, [batch, 0]."""
        import numpy as np

        return np.empty((batch, 0))
