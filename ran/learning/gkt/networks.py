"""The two parts of a residual network in FedGKT: what a UE trains, with a head of its own, and what the server does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ran.learning.tasks.small_networks import ResidualBlock

if TYPE_CHECKING:
    from ran.learning.tasks.small_networks import SmallResNetForImageClassification


class EdgeNetwork(nn.Module):
    """The stem of a residual network, its parameters included, and a small head: one residual block of stride 2."""

    def __init__(self, large: SmallResNetForImageClassification, classes: int) -> None:
        super().__init__()
        width = large.config.stem_width
        self.stem = large.stem
        self.block = ResidualBlock(width, width, 2)
        self.head = nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features [batch, width, height / stride, width / stride] and logits [batch, classes]."""
        features = self.stem(images)
        return features, self.classify(features)

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Return the logits [batch, classes] of features."""
        logits: torch.Tensor = self.head(self.block(features).mean(dim=(2, 3)))
        return logits


class ServerNetwork(nn.Module):
    """The rest of a residual network, its parameters included."""

    def __init__(self, large: SmallResNetForImageClassification) -> None:
        super().__init__()
        self.blocks, self.classifier = large.blocks, large.classifier

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, classes] of features."""
        for block in self.blocks:
            features = block(features)
        logits: torch.Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits
