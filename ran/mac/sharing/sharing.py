"""The interface of sharing: what part of a cell learning is guaranteed, from window to window."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.mac.shares_seen import Queues


class Sharing(Component):
    """A rule that sets the learning slice's share in every cell; other slices divide the rest as mac.slices says.

    A share is a guarantee and no wall: what a slice does not need goes to the others (``ran.mac.slicing``).
    """

    @property
    def window(self) -> int:
        """Slots between two decisions; 0: the shares are those of mac.slices for ever."""
        return 0

    @property
    def directions(self) -> tuple[Literal["downlink", "uplink"], ...]:
        """Directions whose shares it sets."""
        return "downlink", "uplink"

    def quorum(self, ues: int) -> int:
        """Return how many of so many updates a round wants; by default all."""
        return ues

    @abstractmethod
    def share(self, queues: Queues) -> NDArray[np.float64]:
        """Return the share of learning in every cell for the next window, [batch, num_cells]."""


SHARINGS: Registry[Sharing] = Registry("sharing", Sharing)


@SHARINGS.register("fixed")
class Fixed(Sharing):
    """The shares that mac.slices gives, at all times."""

    def share(self, queues: Queues) -> NDArray[np.float64]:
        """Return what there is."""
        return queues.share
