"""What a scenario says of split learning, and what that does not go with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from channel.component import Settings
from ran.learning.split.adaptive import AdaptiveSplit, choice_problems
from ran.learning.split.cut import Cut
from ran.learning.split.probe_settings import SmashedDataProbe, probe_problems
from ran.learning.split.sample_filter import SampleFilter
from ran.learning.split.smashed_data import SmashedData
from ran.learning.split.staleness import BoundedStaleness

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Algorithm

Method = Literal["sequential", "splitfed_v1", "splitfed_v2", "parallel", "asynchronous"]


class EdgeServer(Settings):
    """A processor behind the radio: one job after another, in the order in which they come."""

    flop_s: float = Field(default=5e12, gt=0, le=1e18, description="FLOPs that it sustains per second in training")


class BackhaulLink(Settings):
    """The link between a gNB and the cloud, each way."""

    rate_bit_s: float = Field(default=1e9, gt=0, le=1e15, description="bit/s")
    latency_s: float = Field(default=0.01, ge=0, le=60, description="one way, s")


class SplitLearning(Settings):
    """A model cut between UE, gNB and cloud: activations go up and gradients come down, batch by batch.

    - ``sequential``: UEs take turns; the next one begins with the UE side of the last (Vepakomma et al., 1812.00564).
    - ``splitfed_v1``: all at once, each with a copy of the server side; both sides are averaged (Thapa et al.,
      arXiv 2004.12088). With lossless payloads it takes FedAvg's steps.
    - ``splitfed_v2``: all at once; one server side takes a step for every batch, in the order of arrival.
    - ``parallel``: all at once; one server side takes one step for the batches of all UEs, which wait for each other.
    - ``asynchronous``: splitfed_v2 without its barrier: a UE side is merged when it arrives, and the UE goes on, as far
      ahead of the others as ``asynchronous.max_staleness`` lets it; see ``BoundedStaleness``.

    Otherwise UE sides are averaged at the end of a round, weighted by samples; optimisers begin anew in every round, as
    FedAvg's do (a UE's in every cycle). Steps, batch size and optimiser are ``learning.algorithm``'s, of both sides.
    """

    method: Method = "splitfed_v2"
    cut: Cut = Cut()
    data: SmashedData = SmashedData()
    ue_side: Literal["trained", "frozen"] = Field(
        default="trained",
        description="frozen: features are sent once and kept at the gNB, and no gradients come down",
    )
    ahead: int = Field(
        default=0, ge=0, le=1000, description="batches that a UE sends before the gradient of the first is back"
    )
    micro_batches: int = Field(
        default=1, ge=1, le=1000, description="parts of a batch that overlap on UE, air and server; one step for all"
    )
    adaptation: AdaptiveSplit | None = Field(
        default=None, description="cut, width and quantiser chosen for every UE and round; null: the same for all"
    )
    filter: SampleFilter | None = Field(
        default=None, description="samples of which the model is sure are left out for some rounds; null: all are sent"
    )
    asynchronous: BoundedStaleness = BoundedStaleness()
    privacy_probe: SmashedDataProbe | None = Field(
        default=None, description="an attack that reconstructs inputs from what crossed the first cut; null: none"
    )
    gnb: EdgeServer = EdgeServer()
    cloud: EdgeServer = EdgeServer(flop_s=5e13)
    backhaul: BackhaulLink = BackhaulLink()

    def problems(self) -> list[str]:
        """Return what is wrong with the smashed data's compressors, at its field."""
        return [problem.replace("`", "`data.", 1) for problem in self.data.problems()]


_PLAIN: Mapping[str, str] = {
    "hierarchy": "flat", "freezing": "none", "schedule": "synchronous", "aggregator": "weighted_mean",
    "engine": "auto", "loss_recovery": "zero_fill",
}  # fmt: skip


def split_problems(
    split: SplitLearning | None, algorithm: Algorithm, others: Mapping[str, str], rounds: int
) -> list[str]:
    """Return a sentence for each part of the learning that a split model cannot go with, the remedy included.

    ``others`` are the names of the components by section, and what is set beside them by name, empty if nothing is.
    """
    if split is None:
        return []
    found = [*split.problems(), *choice_problems(split, others["transport"])]
    found += probe_problems(split.privacy_probe, rounds=rounds, is_frozen=split.ue_side == "frozen")
    if algorithm.name != "fedavg":
        found.append(f"a cut model takes plain steps, not those of {algorithm.name}; set learning.algorithm to fedavg")
    if others["transport"] not in ("digital", "ideal"):
        found.append(f"{others['transport']} sums updates, and batches are none; set learning.transport to digital")
    for section, plain in _PLAIN.items():
        if others[section] != plain:
            found.append(f"learning.{section} {others[section]} is for whole models; set it to {plain}")
    for section in ("compression", "privacy", "attack"):
        if others[section]:
            found.append(f"learning.{section} is for updates of whole models; leave it out")
    if split.filter and split.ue_side == "frozen":
        found.append("`filter`: features of a frozen side are sent once, and no losses come down; leave filter out")
    if split.ahead and split.method in ("sequential", "parallel"):
        found.append(f"`ahead`: {split.method} takes one batch after another; set it to 0, or method to splitfed_v2")
    bottleneck = split.data.bottleneck
    if split.privacy_probe and (split.adaptation or (bottleneck and bottleneck.uplink_budget_s)):
        found.append("`privacy_probe`: it hears tensors of one form; leave out adaptation and data.bottleneck's budget")
    if split.micro_batches > algorithm.batch_size:
        found.append(
            f"`micro_batches`: {split.micro_batches} parts of a batch of {algorithm.batch_size}; set it to "
            f"{algorithm.batch_size} or less, or raise learning.algorithm.batch_size"
        )
    return found
