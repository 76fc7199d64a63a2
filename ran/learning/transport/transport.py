"""The interface of a transport: two verbs that carry learning payloads between the UEs and the server."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    from ran.network import NetworkState
    from ran.simulation import Exchange, Simulation, Transfer


class Transport(Component):
    """Carries payloads. ``verbs`` says which of ``deliver`` and ``superpose`` a transport offers.

    ``deliver`` brings every payload to the other side separately, as bytes. A weighted sum of delivered payloads
    serves an algorithm that needs only ``superpose``.
    """

    verbs: ClassVar[frozenset[str]] = frozenset()
    uses_radio: ClassVar[bool] = True
    """Whether payloads need uplink and downlink slots."""

    @abstractmethod
    def deliver(self, simulation: Simulation, state: NetworkState, transfers: Sequence[Transfer]) -> Exchange:
        """Bring every payload to its receiver; ``state`` advances in place to the end of the last."""


TRANSPORTS: Registry[Transport] = Registry("transport", Transport)
