"""Which parameters are trained and exchanged: LoRA, the classifier alone, or everything."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ran.learning.tasks.network import Network


class Adapter(Component):
    """Chooses the trainable parameters of a network, or adds them."""

    @abstractmethod
    def attach(self, base: PreTrainedModel) -> Network:
        """Return ``base`` with its trainable parameters marked; ``base`` itself is changed, never copied.

        New parameters are drawn from torch's random state: the caller seeds it and puts it back.
        """


ADAPTERS: Registry[Adapter] = Registry("adapter", Adapter)


@ADAPTERS.register("lora")
class Lora(Adapter):
    """Low-rank adaptation by PEFT: W + (alpha / rank) B A with W frozen (Hu et al., arXiv 2106.09685)."""

    rank: int = Field(default=8, ge=1, le=1024)
    alpha: float = Field(default=16.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(
        default=(), description="layers adapted, by the end of their names; empty: query and value projections"
    )
    train_head: Literal["yes", "no"] = Field(default="yes", description="also train the classifier, all of it")

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
