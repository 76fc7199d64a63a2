"""Full buffer: a bearer that always has something to send."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

from ran.traffic.traffic import TRAFFIC, Direction, Traffic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TRAFFIC.register("full_buffer")
class FullBuffer(Traffic):
    """An infinite backlog (TR 36.814 clause A.2.1.3, M.2412 full buffer): no packets, hence no packet delays."""

    saturates: ClassVar[bool] = True

    def packets(
        self,
        seed: int,  # noqa: ARG002
        ue: int,  # noqa: ARG002
        direction: Direction,  # noqa: ARG002
        window: int,  # noqa: ARG002
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return no packet."""
        import numpy as np

        return np.empty(0), np.empty(0, np.int64)

    def offered_bit_s(self) -> float:
        """Return infinity."""
        return math.inf
