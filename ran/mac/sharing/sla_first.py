"""As much for traffic as its delay budgets take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.mac.sharing.sharing import SHARINGS, Sharing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.mac.shares_seen import Queues


@SHARINGS.register("sla_first")
class SlaFirst(Sharing):
    """The other slices get what their packets need to stay within their delay budgets, times ``margin``.

    Load of a cell: airtime of all packets that wait, by reports, over what their oldest leaves of the budget. The rest
    is learning's.
    """

    margin: float = Field(default=2.0, gt=0, le=100, description="what is given over what is needed")
    window_slots: int = Field(default=20, ge=1, le=1_000_000, description="slots between two decisions")

    @property
    def window(self) -> int:
        """Slots between two decisions."""
        return self.window_slots

    def share(self, queues: Queues) -> NDArray[np.float64]:
        """Return 1 - margin x traffic's load, at least 0."""
        import numpy as np

        return np.maximum(1 - self.margin * queues.traffic_load(), 0.0)
