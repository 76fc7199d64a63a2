"""Digital transport: payloads as bytes through RLC, scheduler, link adaptation and HARQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ran.learning.transport.transport import TRANSPORTS, Transport

if TYPE_CHECKING:
    from ran.network import NetworkState
    from ran.simulation import Exchange, Simulation, Transfer


@TRANSPORTS.register("digital")
class Digital(Transport):
    """Every payload travels separately, byte by byte, through the emulated MAC; nothing is lost (RLC AM)."""

    verbs: ClassVar[frozenset[str]] = frozenset({"deliver", "superpose"})

    def deliver(self, simulation: Simulation, state: NetworkState, transfers: Sequence[Transfer]) -> Exchange:
        """Run slots until every payload has arrived or its link has failed."""
        return simulation.deliver(state, transfers)
