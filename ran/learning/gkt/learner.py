"""Group knowledge transfer step by step: what a UE does, what the server does, and how good both have become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from channel.seeding import stream
from ran.learning.algorithms.course import Course
from ran.learning.compression.links import Compression
from ran.learning.flops import forward_flops
from ran.learning.gkt.fit import Fit, load, read
from ran.learning.gkt.losses import transfer_loss
from ran.learning.gkt.networks import EdgeNetwork, ServerNetwork
from ran.learning.gkt.report import Exchange
from ran.learning.memory import training_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.gkt.settings import FedGkt
    from ran.learning.learner import Evaluation, Learner

EVALUATION_BATCH = 256
_EXTRACTOR = "stem."


@dataclass(frozen=True)
class EdgeOutcome:
    """What a UE's round comes to.

    Attributes:
        arrays: parameters of its own edge network; they never leave it.
        report: features, logits and labels of its samples, in their order.
        steps: of its optimiser; loss: mean training loss, nats; flops: of training and of the report.
    """

    arrays: Arrays
    report: Arrays
    steps: int
    loss: float
    flops: float


@dataclass(frozen=True)
class ServerOutcome:
    """What the server's round comes to.

    Attributes:
        arrays: parameters of its network.
        soft_labels: by UE, logits of its samples [num_samples, classes], for those whose features it has.
        loss: mean training loss, nats; flops: of training and of the soft labels.
    """

    arrays: Arrays
    soft_labels: dict[int, NDArray[np.float32]]
    loss: float
    flops: float


class GktLearner:
    """The two networks of one run of FedGKT, on the data and the UEs of a learner whose network is a residual one.

    All state travels as an argument and a return value: the edge parameters of each UE, the soft labels that it last
    received, the server's parameters, and the latest report of each UE. So every step may run whenever the radio
    brings what it needs, in any order. All UEs start from the same edge parameters, drawn from a common seed, which
    costs no payload. Equal seeds and thread counts give equal bits.
    """

    def __init__(self, learner: Learner, settings: FedGkt, compression: Compression = Compression()) -> None:
        work = learner.workplace
        large, device = work.network.module, work.labels.device
        self.learner, self.settings, self._algorithm = learner, settings, work.algorithm
        self._seed, self._stage, self._device = work.seed, work.stage, device
        self.rows, self.num_samples = work.rows, learner.num_samples
        self.images, self.labels = work.inputs["pixel_values"], work.labels
        with self._stage("edge head"), torch.no_grad():
            self.edge = EdgeNetwork(large, len(work.class_names)).to(device)
            self.server = ServerNetwork(large)
            features = self.edge.stem(self.images[:1])
            self.edge_flops = float(forward_flops(self.edge, {"images": self.images[:1]}))
            self.server_flops = float(forward_flops(self.server, {"features": features}))
        self.exchange = Exchange(tuple(features.shape[1:]), len(work.class_names), compression, work.seed)
        initial = learner.initial()
        head = {name: array for name, array in read(self.edge).items() if not name.startswith(_EXTRACTOR)}
        self._initial = head | {name: initial[name] for name in initial if name.startswith(_EXTRACTOR)}

    def initial(self) -> Arrays:
        """Return the parameters of every UE's edge network before the first round."""
        return {name: array.copy() for name, array in self._initial.items()}

    def server_part(self, large: Arrays) -> Arrays:
        """Return the parameters of the server's network in those of the large one."""
        return {name: array for name, array in large.items() if not name.startswith(_EXTRACTOR)}

    def large(self, edge: Arrays, server: Arrays) -> Arrays:
        """Return the parameters of the large network that a UE's extractor and the server's network make together."""
        return server | {name: array for name, array in edge.items() if name.startswith(_EXTRACTOR)}

    def training_bytes(self) -> int:
        """Return the memory that the largest client's training takes on its device."""
        with self._stage("memory"):
            return training_bytes(
                self.edge, {"images": self.images[:1]}, state_floats=self.learner.state_floats,
                batch_size=min(self._algorithm.batch_size, max(self.num_samples)),
            )  # fmt: skip

    def edge_step(
        self, ue: int, edge: Arrays, soft_labels: NDArray[np.float32] | None, round_index: int
    ) -> EdgeOutcome:
        """Return what a UE makes of its samples: local epochs of CE + T^2 KL(server || edge), then its report.

        Args:
            ue: whose samples.
            edge: its parameters.
            soft_labels: the server's logits of its samples that it last received [num_samples, classes]; None before
                the first.
            round_index: of the batch order.
        """
        images, labels = self.images[self.rows[ue]], self.labels[self.rows[ue]]
        teacher = None if soft_labels is None else self._on_device(soft_labels)

        def loss_of(rows: torch.Tensor) -> torch.Tensor:
            _, logits = self.edge(images[rows])
            return self._loss(logits, labels[rows], None if teacher is None else teacher[rows])

        with self._stage("edge", round_index, ue):
            fit = Fit(self.edge, len(labels), loss_of, self.edge_flops, self._initial)
            rng = stream(self._seed, "batch order", round_index, ue)
            trained, descent = self._algorithm.follow(Course(edge), fit, rng)
            features = self._batched(self.edge.stem, images)
            logits = self._batched(self.edge.classify, features)
        report = self.exchange.report(features.cpu().numpy(), logits.cpu().numpy(), labels.cpu().numpy())
        flops = descent.num_passes * fit.flops_per_sample + len(labels) * self.edge_flops
        return EdgeOutcome(trained, report, descent.num_steps, descent.loss, flops)

    def server_step(self, server: Arrays, reports: Mapping[int, Arrays], round_index: int) -> ServerOutcome:
        """Return what the server makes of the reports that it has: epochs of CE + T^2 KL(edge || server) over all.

        A UE whose report never came is not waited for; without any report the server stays as it is.

        Args:
            server: its parameters.
            reports: by UE, the latest that arrived.
            round_index: of the batch order.
        """
        if not reports:
            return ServerOutcome(server, {}, float("nan"), 0.0)
        ues = sorted(reports)
        features, labels, teacher = (
            self._on_device(np.concatenate([reports[ue][name] for ue in ues]))
            for name in ("features", "labels", "logits")
        )
        labels = labels.long()

        def loss_of(rows: torch.Tensor) -> torch.Tensor:
            return self._loss(self.server(features[rows]), labels[rows], teacher[rows])

        with self._stage("server", round_index):
            fit = Fit(self.server, len(labels), loss_of, self.server_flops, server)
            rng = stream(self._seed, "server batch order", round_index)
            trained, descent = self.settings.server_descent(self._algorithm).follow(Course(server), fit, rng)
            answers = self._batched(self.server, features).cpu().numpy()
        bounds = np.cumsum([len(reports[ue]["labels"]) for ue in ues])[:-1]
        flops = descent.num_passes * fit.flops_per_sample + len(labels) * self.server_flops
        return ServerOutcome(trained, dict(zip(ues, np.split(answers, bounds), strict=True)), descent.loss, flops)

    def evaluate(self, edges: Sequence[Arrays], server: Arrays) -> list[Evaluation]:
        """Return how good each extractor and the server's network are together, on the whole test set.

        Features reach the server uncompressed here.
        """
        return [self.learner.evaluate(self.large(edge, server)) for edge in edges]

    def smashed(self, edge: Arrays, images: torch.Tensor) -> torch.Tensor:
        """Return the features [num_samples, *feature_shape] that an edge network makes of images."""
        with self._stage("features"):
            load(self.edge, edge)
            return self._batched(self.edge.stem, images)

    def _loss(self, logits: torch.Tensor, labels: torch.Tensor, teacher: torch.Tensor | None) -> torch.Tensor:
        settings = self.settings
        return transfer_loss(
            logits, labels, teacher, temperature=settings.temperature, weight=settings.distillation_weight
        )

    @torch.no_grad()
    def _batched(self, module: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([module(part) for part in torch.split(inputs, EVALUATION_BATCH)])

    def _on_device(self, array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(array).to(self._device)
