"""The LoRA layers of a PEFT model, in any rank, and frozen weights that a change may be merged into for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from ran.learning.low_rank import factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

ADAPTER = "default"
"""The name that PEFT gives to the only adapter."""


@dataclass(frozen=True)
class LoraLayers:
    """The adapted layers by the name that their arrays begin with.

    Attributes:
        module: the PeftModel.
        layers: PEFT's LoRA layers.
        pretrained: the pre-trained weights of layers that a change is merged into right now: the tensors themselves.
    """

    module: Any
    layers: dict[str, Any]
    pretrained: dict[str, torch.Tensor] = field(default_factory=dict)

    @staticmethod
    def of(module: Any) -> LoraLayers:
        """Return the layers of a PeftModel with one LoRA adapter."""
        return LoraLayers(module, {name: each for name, each in module.named_modules() if hasattr(each, "lora_A")})

    def fit(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Scale every layer by alpha / rank for the ranks of these arrays, and take out what was merged."""
        for name, weight in self.pretrained.items():
            self.layers[name].get_base_layer().weight.data = weight
        self.pretrained.clear()
        ranks = {name: each.rank for name, each in factors(arrays).items()}
        for name, rank in ranks.items():
            layer = self.layers[name]
            layer.r[ADAPTER], layer.scaling[ADAPTER] = rank, layer.lora_alpha[ADAPTER] / rank
        if not ranks:
            return  # all of them are frozen
        config = self.module.peft_config[ADAPTER]
        config.r = max(ranks.values())
        own = {name: rank for name, rank in ranks.items() if rank != config.r}
        config.rank_pattern = {name.removeprefix("base_model.model."): rank for name, rank in own.items()}

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Add alpha B A / rank to the frozen weights until the next ``fit``."""
        for name, each in factors(arrays).items():
            layer = self.layers[name]
            parameter = layer.get_base_layer().weight
            change = torch.from_numpy(layer.lora_alpha[ADAPTER] * each.product())
            change = change.T if layer.fan_in_fan_out else change
            self.pretrained.setdefault(name, parameter.data)
            parameter.data = parameter.data + change.to(parameter.data)
