"""As much for learning as its deadline takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.mac.sharing.sharing import SHARINGS, Sharing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.mac.shares_seen import Queues


@SHARINGS.register("deadline_first")
class DeadlineFirst(Sharing):
    """Learning gets what its updates need to be in time, times ``margin``; nothing where that is above ``most``.

    Load of a cell: airtime of all updates that wait, by reports, over the time until learning.round_deadline_s is over.
    Rounds that need more than the cell has are given up before they cost anything. The rest is the other slices'.
    """

    margin: float = Field(default=1.5, gt=0, le=100, description="what is given over what is needed")
    most: float = Field(default=0.8, gt=0, le=10, description="load that is not worth its price any more")
    window_slots: int = Field(default=20, ge=1, le=1_000_000, description="slots between two decisions")

    @property
    def window(self) -> int:
        """Slots between two decisions."""
        return self.window_slots

    def share(self, queues: Queues) -> NDArray[np.float64]:
        """Return margin x learning's load, at most 1."""
        import numpy as np

        load = queues.by_cell(queues.need)
        return np.where(load <= self.most, np.minimum(self.margin * load, 1.0), 0.0)
