"""A federation: what stays the same from round to round, and what a round changes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.learning.aggregation import Aggregator
from ran.learning.aggregation.weighted_mean import WeightedMean
from ran.learning.algorithms.algorithm import Server, part, prefixed
from ran.learning.compression import Compression
from ran.learning.flight import Flight
from ran.learning.freezing import Freezing, Frozen, NoFreezing, without
from ran.learning.hierarchy import Edge, Flat, Hierarchy, overall
from ran.learning.history import no_history
from ran.learning.loss_recovery import LossRecovery
from ran.learning.loss_recovery.zero_fill import ZeroFill
from ran.learning.participation import Everyone, Participation
from ran.learning.privacy import Privacy
from ran.learning.quarantine import Quarantine
from ran.learning.schedules import Asynchronous, Schedule
from ran.learning.schedules.schedule import Synchronous
from ran.nodes import empty_batteries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Algorithm, Arrays, Report
    from ran.learning.attacks import Attack
    from ran.learning.gkt.learner import GktLearner
    from ran.learning.learner import Learner
    from ran.learning.split.cut_model import CutModel
    from ran.learning.split.memory import SplitMemory
    from ran.learning.transport.transport import Transport
    from ran.network import NetworkState
    from ran.simulation import Simulation

_MODEL, _SERVER, _MEMORY, _NETWORK, _EDGE, _FROZEN = "model", "server", "memory", "network", "edge", "frozen"
_LAST_MODEL, _LAST_UPDATE = "last_model", "last_update"
_RESIDUAL, _SENDER, _RECEIVER, _AGGREGATOR, _ATTACK = "residual", "sender", "receiver", "aggregator", "attack"
_FLIGHT, _SPLIT = "flight", "split"


@dataclass(frozen=True)
class Federation:
    """What stays the same from round to round; updates are wanted ``round_deadline_s`` after a round's start.

    There are to be so many ``rounds``; only rules that plan ahead look at that.
    """

    simulation: Simulation
    learner: Learner
    algorithm: Algorithm
    transport: Transport
    participation: Participation = field(default_factory=Everyone)
    round_deadline_s: float = math.inf
    hierarchy: Hierarchy = field(default_factory=Flat)
    freezing: Freezing = field(default_factory=NoFreezing)
    compression: Compression = field(default_factory=Compression)
    aggregator: Aggregator = field(default_factory=WeightedMean)
    quarantine: Quarantine = field(default_factory=Quarantine)
    privacy: Privacy = field(default_factory=Privacy)
    attack: Attack | None = None
    loss_recovery: LossRecovery = field(default_factory=ZeroFill)
    schedule: Schedule = field(default_factory=Synchronous)
    cut_model: CutModel | None = None
    gkt: GktLearner | None = None
    rounds: int = 1

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.simulation.world.seeds[0]

    @property
    def merges_plainly(self) -> bool:
        """Whether the algorithm merges updates itself: neither another aggregator nor privacy comes between."""
        return isinstance(self.aggregator, WeightedMean) and self.privacy.client_level is None

    def weight(self, report: Report) -> float:
        """Return the weight of an update; with client-level privacy all have the same."""
        return 1.0 if self.privacy.client_level else self.algorithm.weight(report)

    def active(self, server: Server) -> Server:
        """Return the server without the layers that are frozen."""
        layers = self.learner.frozen
        if layers is None or not layers.depth:
            return server
        names = layers.names()
        return replace(server, model=without(server.model, names), memory=without(server.memory, names))

    def newly_frozen(self, state: FederationState, depth: int) -> Arrays:
        """Return the final values of the frozen layers after the first ``depth``, which a UE has already."""
        layers = self.learner.frozen
        if layers is None:
            return {}
        return {name: state.server.model[name] for name in sorted(layers.names(since=depth))}


@dataclass
class FederationState:
    """What a round changes.

    Attributes:
        server: the global model and what the server remembers; where there are several edges, their mean.
        memories: what each client that has taken part remembers, by UE.
        history: what rounds showed of every UE, HISTORY_DTYPE [num_ues].
        clock_s: virtual time.
        network: the network.
        edges: the servers that aggregate; ``server`` itself where there is one.
        frozen: which layers are frozen.
        residuals: values that UEs could not send over the air and add to their next update, by UE.
        last_models: the model that each UE last received, where the loss recovery remembers it, by UE.
        last_updates: the update that last arrived from each UE, likewise.
        depths: how many frozen layers each UE has the final values of, int64 [num_ues].
        senders: what each UE's compressor remembers, by UE.
        receivers: what the servers remember of each UE's compressor, by UE; at a handover it moves along.
        aggregators: what the aggregator of each edge remembers, by edge.
        attack: what malicious UEs remember together.
        cohorts: how many UEs were chosen in each round.
        flight: what is under way between server steps, where UEs come and go each by itself.
        split: what outlives a round of split learning.
    """

    server: Server
    memories: dict[int, Arrays]
    history: NDArray[Any]
    clock_s: float
    network: NetworkState
    edges: list[Edge]
    frozen: Frozen
    depths: NDArray[np.int64]
    residuals: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    last_models: dict[int, Arrays] = field(default_factory=dict)
    last_updates: dict[int, Arrays] = field(default_factory=dict)
    senders: dict[int, Arrays] = field(default_factory=dict)
    receivers: dict[int, Arrays] = field(default_factory=dict)
    aggregators: dict[int, Arrays] = field(default_factory=dict)
    attack: Arrays = field(default_factory=dict)
    cohorts: list[int] = field(default_factory=list)
    flight: Flight | None = None
    split: SplitMemory | None = None

    @staticmethod
    def start(federation: Federation) -> FederationState:
        """Return the state before the first round."""
        learner, algorithm, simulation = federation.learner, federation.algorithm, federation.simulation
        server, network = algorithm.start(learner.initial(), learner.num_samples), simulation.start()
        cells = network.serving_cell[0].tolist()
        flight = None
        if isinstance(federation.schedule, Asynchronous):
            flight = Flight.start(federation.schedule, federation.transport, simulation, network)
        split = None
        if federation.cut_model:
            from ran.learning.split.memory import SplitMemory
            from ran.learning.split.training import with_bottlenecks

            split = SplitMemory()
            server = replace(server, memory=with_bottlenecks(server.memory, federation.cut_model.bottlenecks))
        return FederationState(
            server=server,
            memories={},
            history=no_history(len(learner.num_samples)),
            clock_s=0.0,
            network=network,
            edges=federation.hierarchy.start(server, algorithm, learner.num_samples, cells, simulation.world.num_cells),
            frozen=federation.freezing.start(len(learner.frozen.groups) if learner.frozen else 0),
            depths=np.zeros(len(learner.num_samples), np.int64),
            flight=flight,
            split=split,
        )

    @property
    def round(self) -> int:
        """Rounds done."""
        return self.server.round

    def conclude(self, edges: list[Edge]) -> None:
        """Move on to the next round with what the edges have become."""
        self.edges, self.server = edges, overall(edges)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything by name, for a checkpoint."""
        arrays = dict[str, Any]()
        for index, edge in enumerate(self.edges):
            parts = prefixed(_MODEL, edge.server.model) | prefixed(_SERVER, edge.server.memory)
            arrays |= prefixed(f"{_EDGE}/{index}", parts | {"weight": np.array(edge.weight)})
        arrays |= {f"{_RESIDUAL}/{ue}": values for ue, values in self.residuals.items()}
        for name, numbered in self._numbered().items():
            for number, memory in numbered.items():
                arrays |= prefixed(f"{name}/{number}", memory)
        arrays |= prefixed(_ATTACK, self.attack) | {"cohorts": np.array(self.cohorts, np.int64)}
        plain = {"round": np.array(self.round), "clock_s": np.array(self.clock_s), "history": self.history}
        frozen = {"depth": np.array(self.frozen.depth), "norms": self.frozen.norms, "depths": self.depths}
        under_way = prefixed(_FLIGHT, self.flight.arrays()) if self.flight else {}
        under_way |= prefixed(_SPLIT, self.split.arrays()) if self.split else {}
        return arrays | plain | prefixed(_FROZEN, frozen) | prefixed(_NETWORK, self.network.arrays()) | under_way

    def _numbered(self) -> dict[str, dict[int, Arrays]]:
        """Return the memories that are kept by UE or by edge, under their names in a checkpoint."""
        return {
            _MEMORY: self.memories,
            _SENDER: self.senders,
            _RECEIVER: self.receivers,
            _AGGREGATOR: self.aggregators,
            _LAST_MODEL: self.last_models,
            _LAST_UPDATE: self.last_updates,
        }

    def restore(self, federation: Federation, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what ``arrays`` returned; the federation's learner freezes what was frozen."""
        edges, number = [part(f"{_EDGE}/{index}", arrays) for index in range(len(self.edges))], int(arrays["round"])
        self.conclude(
            [Edge(Server(part(_MODEL, edge), part(_SERVER, edge), number), float(edge["weight"])) for edge in edges]
        )
        for name, numbered in self._numbered().items():
            kept = part(name, arrays)
            numbered.clear()
            numbered.update({int(number): part(number, kept) for number in {each.split("/")[0] for each in kept}})
        self.attack, self.cohorts = part(_ATTACK, arrays), arrays["cohorts"].tolist()
        self.clock_s, self.history = float(arrays["clock_s"]), arrays["history"]
        self.network.restore(part(_NETWORK, arrays))
        if self.flight:
            self.flight.restore(part(_FLIGHT, arrays))
        if self.split:
            self.split.restore(part(_SPLIT, arrays), federation.learner.device)
        self.residuals = {int(ue): values for ue, values in part(_RESIDUAL, arrays).items()}
        frozen: dict[str, Any] = part(_FROZEN, arrays)  # type: ignore[assignment]
        self.frozen, self.depths = Frozen(int(frozen["depth"]), frozen["norms"]), frozen["depths"]
        if federation.learner.frozen:
            federation.learner.frozen.freeze(self.frozen.depth, self.server.model)


def exhausted_ues(federation: Federation, state: FederationState) -> frozenset[int]:
    """Return the UEs whose battery is empty."""
    return empty_batteries(federation.simulation.world.devices, state.history["energy_j"].tolist())
