"""Which parameters are trained and exchanged: LoRA, the classifier alone, or everything."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from channel.component import Component
from channel.registry import Registry
from ran.nodes import DeviceClass

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ran.learning.algorithms.algorithm import Algorithm, Arrays
    from ran.learning.tasks.network import Network


class Adapter(Component):
    """Chooses the trainable parameters of a network, or adds them."""

    @abstractmethod
    def attach(self, base: PreTrainedModel) -> Network:
        """Return ``base`` with its trainable parameters marked; ``base`` itself is changed, never copied.

        New parameters are drawn from torch's random state: the caller seeds it and puts it back.
        """

    def fitted(self, arrays: Arrays, client: int, device_class: str = "") -> Arrays:  # noqa: ARG002
        """Return the arrays in the shapes that one client trains; by default those of everybody."""
        return arrays


ADAPTERS: Registry[Adapter] = Registry("adapter", Adapter)

Rank = Annotated[int, Field(ge=1, le=1024)]


@ADAPTERS.register("lora")
class Lora(Adapter):
    """Low-rank adaptation by PEFT: W + (alpha / rank) B A with W frozen (Hu et al., arXiv 2106.09685).

    With ``ranks``, clients train different ranks, as many rows of A and columns of B as theirs; alpha is
    common, so that every client's change is alpha times its product over its own rank.
    """

    rank: Rank = 8
    ranks: (
        Annotated[tuple[Rank, ...], Field(min_length=1)]
        | Annotated[dict[DeviceClass, Rank], Field(min_length=1)]
        | None
    ) = Field(
        default=None,
        description="instead of rank: a list dealt to the clients in turn, or a rank for each device class",
    )
    alpha: float = Field(default=16.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(
        default=(), description="layers adapted, by the end of their names; empty: query and value projections"
    )
    train_head: Literal["yes", "no"] = Field(default="yes", description="also train the classifier, all of it")

    @property
    def largest_rank(self) -> int:
        """The rank of the global model: the largest of any client."""
        if self.ranks is None:
            return self.rank
        return max(self.ranks.values() if isinstance(self.ranks, dict) else self.ranks)

    def rank_of(self, client: int, device_class: str = "") -> int:
        """Return the rank that a client trains."""
        if isinstance(self.ranks, dict):
            return next(rank for name, rank in self.ranks.items() if name == device_class)
        return self.ranks[client % len(self.ranks)] if self.ranks else self.rank

    def fitted(self, arrays: Arrays, client: int, device_class: str = "") -> Arrays:
        """Return the first components of the factors, as many as the client's rank."""
        from ran.learning.low_rank import in_rank

        return in_rank(arrays, self.rank_of(client, device_class)) if self.ranks else arrays

    def attach(self, base: PreTrainedModel) -> Network:
        """Return ``base`` wrapped in a PeftModel; raises UserError when no layer matches ``target_modules``."""
        from ran.learning.tasks.network import attach_lora

        return attach_lora(base, self)


@ADAPTERS.register("head")
class HeadOnly(Adapter):
    """The classifier alone is trained, on frozen features (linear probing)."""

    def attach(self, base: PreTrainedModel) -> Network:
        """Return ``base`` with everything but its classifier frozen."""
        from ran.learning.tasks.network import attach_head

        return attach_head(base)


@ADAPTERS.register("full")
class Full(Adapter):
    """All weights are trained and exchanged: full fine-tuning."""

    def attach(self, base: PreTrainedModel) -> Network:
        """Return ``base`` with every parameter trainable."""
        from ran.learning.tasks.network import attach_full

        return attach_full(base)


def rank_problems(adapter: Adapter, algorithm: Algorithm, device_classes: Iterable[str] = ()) -> list[str]:
    """Return a sentence for each reason why an algorithm cannot train what an adapter adds.

    One that starts with a field's name in backticks is about that field of the adapter.
    """
    if not isinstance(adapter, Lora):
        if not algorithm.mixes_ranks:
            return []
        return [
            f"{algorithm.name} aggregates LoRA factors, but learning.adapter is {adapter.name}; set it to lora, or "
            "learning.algorithm to fedavg"
        ]
    if adapter.ranks is None:
        return []
    found = []
    if isinstance(adapter.ranks, dict):
        missing = sorted(set(device_classes) - set(adapter.ranks))
        found += [
            f"`ranks`: no rank for device class {name!r}; add `{name}: {adapter.largest_rank}`" for name in missing
        ]
    different = sorted(set(adapter.ranks.values() if isinstance(adapter.ranks, dict) else adapter.ranks))
    if len(different) > 1 and not algorithm.mixes_ranks:
        found.append(
            f"`ranks`: {algorithm.name} averages arrays of equal shapes, but clients have ranks "
            f"{', '.join(map(str, different))}; set learning.algorithm to flora, flexlora or fedit, or give one `rank`"
        )
    return found
