"""What UEs of a split model may choose from in every round, and what that does not go with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from channel.component import Settings
from ran.learning.adaptation import ADAPTATIONS, Adaptation
from ran.learning.compression.compressor import COMPRESSORS, Compressor
from ran.learning.split.smashed_data import TENSOR_COMPRESSORS, SmashedData

if TYPE_CHECKING:
    from ran.learning.split.settings import SplitLearning

Quality = tuple[tuple[tuple[float, ...], ...], ...]


class AdaptiveSplit(Settings):
    """At the start of a round a rule gives every participant a cut, a width of the bottleneck and a quantiser.

    It knows the UE's device, the rates that the gNB expects of it, and how many samples it has to go through (see
    ``ran.learning.split.choices``). An empty list leaves that choice as ``cut.after``, the full width and ``data``'s
    compressors say. Wanted is the highest quality that ends in time. If none is given, it is log2 of the bits that a
    value at the cut takes, width x bits: halving either costs as much, and cuts differ in time alone, as a cut by
    itself changes no gradient. That is an order, not a measurement; accuracies found beforehand may be given instead.
    """

    rule: Annotated[Adaptation, ADAPTATIONS.field()] = ADAPTATIONS.get("greedy")()
    cuts: tuple[Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), max_length=100, description="cuts to choose from, instead of cut.after and named as there"
    )
    widths: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(), max_length=100, description="widths to choose from, of those that data.bottleneck has"
    )
    quantisers: tuple[Annotated[Compressor, COMPRESSORS.field()], ...] = Field(
        default=(), max_length=100, description="compressors to choose from, of activations and gradients alike"
    )
    deadline_s: float = Field(
        default=1.0, gt=0, le=1e9, description="time that a UE's part of a round should take, its model included, s"
    )
    quality: Quality | None = Field(
        default=None, description="of every combination, higher is better: by cut, by width, by quantiser"
    )

    def data(self, common: SmashedData) -> tuple[SmashedData, ...]:
        """Return how tensors cross with each quantiser."""
        return tuple(
            common.model_copy(update={"activations": each, "gradients": each}) for each in self.quantisers
        ) or (common,)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Numbers of cuts, widths and quantisers."""
        return len(self.cuts) or 1, len(self.widths) or 1, len(self.quantisers) or 1


def choice_problems(split: SplitLearning, transport: str) -> Iterator[str]:
    """Yield a sentence for each choice, of a round or of a batch, that the split cannot leave open."""
    yield from _width_problems(split, transport)
    if split.filter is not None and split.method == "asynchronous":
        yield "`filter`: asynchronous UEs go through many cycles in a round, and it decides once in one; leave it out"
    chosen = split.adaptation
    if chosen is None:
        return
    if chosen.rule.name == "agent":
        yield (
            "`adaptation.rule`: agent is for an environment, whose agent's actions go before any rule; in a plain run "
            "set it to greedy"
        )
    if transport == "ideal":
        yield "`adaptation`: the ideal transport has no rates to adapt to; set learning.transport to digital"
    if split.cut.shape != "two_way":
        yield f"`adaptation`: a {split.cut.shape} cut is not chosen by round; set cut.shape to two_way"
    if split.method == "asynchronous":
        yield (
            "`adaptation`: asynchronous UEs go through many cycles in a round, and it decides once in one; set method "
            "to splitfed_v1"
        )
    if split.ue_side == "frozen":
        yield "`adaptation`: features of a frozen side are sent once, at one cut and width; set ue_side to trained"
    if len(chosen.cuts) > 1 and split.method in ("splitfed_v2", "parallel"):
        yield (
            f"`adaptation.cuts`: {split.method} has one server side for all UEs, which begins at one cut; give "
            "one cut, or set method to splitfed_v1"
        )
    yield from _menu_problems(chosen, split.data)


def _width_problems(split: SplitLearning, transport: str) -> Iterator[str]:
    bottleneck, data = split.data.bottleneck, split.data
    if bottleneck is None:
        return
    if split.ue_side == "frozen":
        yield (
            "`data.bottleneck`: the encoder of a frozen UE side is never trained; leave it out, or set ue_side to "
            "trained"
        )
    if bottleneck.uplink_budget_s is None:
        return
    if transport == "ideal":
        yield (
            "`data.bottleneck.uplink_budget_s`: the ideal transport has no rate to go by; set learning.transport to "
            "digital"
        )
    if "top_k" in (data.activations.name, data.gradients.name):
        yield (
            "`data.bottleneck.uplink_budget_s`: top_k keeps errors of one width; leave it out, or set activations and "
            "gradients to int8"
        )
    if split.adaptation is not None and split.adaptation.widths:
        yield "`adaptation.widths`: data.bottleneck.uplink_budget_s chooses widths already; leave one of them out"


def _menu_problems(chosen: AdaptiveSplit, data: SmashedData) -> Iterator[str]:
    """Yield what is wrong with the lists themselves."""
    known = data.bottleneck.widths if data.bottleneck else ()
    if other := [width for width in chosen.widths if width not in known]:
        listed = ", ".join(f"{width:g}" for width in known)
        remedy = f"choose from {listed}" if known else "set data.bottleneck with these widths"
        yield f"`adaptation.widths`: there is no bottleneck of width {other[0]:g}; {remedy}"
    able = [name for name in TENSOR_COMPRESSORS if name != "top_k"]
    others = [each for each in chosen.quantisers if each.name not in TENSOR_COMPRESSORS or each.remembers]
    if others:
        yield (
            f"`adaptation.quantisers`: {others[0].name} is not for tensors whose form changes; choose from "
            f"{', '.join(able)}, or top_k with feedback none"
        )
    own = {data.activations.name, data.gradients.name}
    if chosen.quantisers and own != {"none"}:
        yield (
            "`adaptation.quantisers`: data.activations and data.gradients say so already; set them to none, or leave "
            "quantisers out"
        )
    if "top_k" in own and max(chosen.sizes[:2]) > 1:
        yield "`adaptation`: top_k keeps errors of one cut and width; set data.activations and data.gradients to int8"
    if chosen.quality is not None and not _is_table(chosen.quality, chosen.sizes):
        cuts, widths, quantisers = chosen.sizes
        yield (
            f"`adaptation.quality`: expected a number for each combination; give {cuts} lists of {widths} lists of "
            f"{quantisers}, or leave it out"
        )


def _is_table(quality: Quality, sizes: tuple[int, int, int]) -> bool:
    cuts, widths, quantisers = sizes
    return len(quality) == cuts and all(
        len(rows) == widths and all(len(row) == quantisers for row in rows) for rows in quality
    )
