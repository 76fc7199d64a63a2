"""Ideal transport: payloads arrive unchanged, at once and for nothing; to compare learning methods alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from ran.learning.transport.transport import TRANSPORTS, Transport

if TYPE_CHECKING:
    from ran.network import NetworkState
    from ran.simulation import Exchange, Simulation, Transfer


@TRANSPORTS.register("ideal")
class Ideal(Transport):
    """Payloads arrive unchanged in no time, with no radio: what the algorithm could do at best."""

    verbs: ClassVar[frozenset[str]] = frozenset({"deliver", "superpose"})
    uses_radio: ClassVar[bool] = False

    def deliver(self, simulation: Simulation, state: NetworkState, transfers: Sequence[Transfer]) -> Exchange:
        """Return every payload at its release time."""
        from ran.simulation import Delivery, Exchange, empty_tally

        num_ues = simulation.world.num_ues
        deliveries = [
            Delivery(transfer.ue, transfer.direction, transfer.payload, transfer.release_s, transfer.release_s)
            for transfer in transfers
        ]
        end_s = max((delivery.done_s for delivery in deliveries), default=0.0)
        return Exchange(deliveries, empty_tally(num_ues), empty_tally(num_ues), end_s=end_s)
