"""A federation: what stays the same from round to round, and what a round changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.learning.algorithms.algorithm import Server, part, prefixed
from ran.learning.history import no_history
from ran.learning.participation import Everyone, Participation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Algorithm, Arrays
    from ran.learning.learner import Learner
    from ran.learning.transport.transport import Transport
    from ran.simulation import NetworkState, Simulation

_MODEL, _SERVER, _MEMORY, _NETWORK = "model", "server", "memory", "network"


@dataclass(frozen=True)
class Federation:
    """What stays the same from round to round; updates are wanted ``round_deadline_s`` after a round's start."""

    simulation: Simulation
    learner: Learner
    algorithm: Algorithm
    transport: Transport
    participation: Participation = Everyone()
    round_deadline_s: float = math.inf


@dataclass
class FederationState:
    """What a round changes.

    Attributes:
        server: the global model and what the server remembers.
        memories: what each client that has taken part remembers, by UE.
        history: what rounds showed of every UE, HISTORY_DTYPE [num_ues].
        clock_s: virtual time.
        network: the network.
    """

    server: Server
    memories: dict[int, Arrays]
    history: NDArray[Any]
    clock_s: float
    network: NetworkState

    @staticmethod
    def start(federation: Federation) -> FederationState:
        """Return the state before the first round."""
        learner = federation.learner
        return FederationState(
            server=federation.algorithm.start(learner.initial()),
            memories={},
            history=no_history(len(learner.num_samples)),
            clock_s=0.0,
            network=federation.simulation.start(),
        )

    @property
    def round(self) -> int:
        """Rounds done."""
        return self.server.round

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything by name, for a checkpoint."""
        arrays = prefixed(_MODEL, self.server.model) | prefixed(_SERVER, self.server.memory)
        for ue, memory in self.memories.items():
            arrays |= prefixed(f"{_MEMORY}/{ue}", memory)
        plain = {"round": np.array(self.round), "clock_s": np.array(self.clock_s), "history": self.history}
        return arrays | plain | prefixed(_NETWORK, self.network.arrays())

    def restore(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned."""
        self.server = Server(part(_MODEL, arrays), part(_SERVER, arrays), int(arrays["round"]))
        memories = part(_MEMORY, arrays)
        self.memories = {int(ue): part(ue, memories) for ue in {name.split("/")[0] for name in memories}}
        self.clock_s, self.history = float(arrays["clock_s"]), arrays["history"]
        self.network.restore(part(_NETWORK, arrays))
