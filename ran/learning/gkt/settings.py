"""What a scenario says of group knowledge transfer, and what that does not go with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from channel.component import Settings
from ran.learning.compression.links import STATELESS_CASTS, Compression
from ran.learning.split.settings import EdgeServer

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Algorithm


class FedGkt(Settings):
    """FedGKT: each UE trains a small network, the server a large one, and each is the other's teacher.

    He et al., arXiv 2007.14513, algorithm 1. ``learning.model: resnet`` is divided after its stem. In a round a UE
    trains the stem and a small head of its own by ``learning.algorithm``, then sends the features, logits and labels of
    all its samples; the server trains the rest of the resnet on the features of all UEs that it has, also of earlier
    rounds, and sends its logits of those samples, the soft labels, back to every UE that has just reported. Both losses
    are the cross-entropy plus ``distillation_weight`` T^2 KL(teacher || student). ``learning.compression`` casts
    features and logits on the way up, soft labels on the way down; labels go as they are. Both optimisers start afresh
    in every round. No weights travel; the common first ones are drawn from the seed. As nothing averages them, the
    stems drift apart, and the server knows each from its own UE's samples alone: where UEs miss classes, a low learning
    rate of the UEs holds them together.
    """

    temperature: float = Field(default=3.0, gt=0, le=1000, description="T that divides the logits before the softmax")
    distillation_weight: float = Field(
        default=0.1, ge=0, le=1000, description="of T^2 KL beside the cross-entropy; 1 / T^2 is the paper's plain sum"
    )
    server_epochs: int = Field(default=1, ge=1, le=10_000, description="passes of the server over all features")
    server_learning_rate: float = Field(default=3e-4, gt=0, le=100)
    gnb: EdgeServer = EdgeServer()

    def server_descent(self, algorithm: Algorithm) -> Algorithm:
        """Return the server's batches, epochs and optimiser: the UEs', but for the settings here."""
        changed = {"local_epochs": self.server_epochs, "local_steps": None, "learning_rate": self.server_learning_rate}
        return algorithm.model_copy(update=changed)


_PLAIN: Mapping[str, str] = {
    "model": "resnet", "adapter": "full", "algorithm": "fedavg", "hierarchy": "flat", "freezing": "none",
    "schedule": "synchronous", "aggregator": "weighted_mean", "engine": "auto", "loss_recovery": "zero_fill",
}  # fmt: skip


def gkt_problems(gkt: FedGkt | None, compression: Compression, others: Mapping[str, str]) -> list[str]:
    """Return a sentence for each part of the learning that FedGKT cannot go with, the remedy included.

    ``others`` are the names of the components by section, and what is set beside them by name, empty if nothing is.
    """
    if gkt is None:
        return []
    found = [
        f"FedGKT has no use for learning.{section} {others[section]}; set it to {plain}"
        for section, plain in _PLAIN.items()
        if others[section] != plain
    ]
    if others["transport"] not in ("digital", "ideal"):
        found.append(f"{others['transport']} sums updates, and features are none; set learning.transport to digital")
    found += [
        f"learning.{section} is for updates of whole models; leave it out"
        for section in ("privacy", "attack")
        if others[section]
    ]
    if others["split"]:
        found.append("learning.split cuts the model in another way; leave one of the two out")
    if compression.uplink.name not in STATELESS_CASTS:
        found.append(
            f"learning.compression.uplink {compression.uplink.name} is made for updates, and FedGKT sends features and "
            f"logits; set it to one of {', '.join(STATELESS_CASTS)}"
        )
    return found
