"""A Problem on a bare Network, for tests of adapters and of what trains them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from ran.learning.adapters import Adapter, Lora
from ran.learning.models import GlyphVit
from ran.learning.tasks import Digits
from ran.learning.tasks.network import Network, load_base


@dataclass
class BareProblem:
    """Images and labels, and the network that is fitted to them."""

    network: Network
    images: torch.Tensor
    labels: torch.Tensor
    initial: dict[str, np.ndarray]
    flops_per_sample: float = 30.0
    forward_flops_per_sample: float = 10.0

    @property
    def num_samples(self) -> int:
        return len(self.labels)

    def load(self, arrays):
        self.network.load(arrays)

    def merge(self, arrays):
        self.network.merge(arrays)

    def read(self):
        return self.network.read()

    def parameters(self):
        return list(self.network.trainable.values())

    def loss(self, batch):
        rows = torch.from_numpy(np.asarray(batch))
        logits = self.network.module(pixel_values=self.images[rows]).logits
        return torch.nn.functional.cross_entropy(logits, self.labels[rows])


def glyph_network(adapter: Adapter) -> Network:
    """Return the glyph ViT with an adapter, in evaluation mode, drawn from a fixed seed."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = adapter.attach(load_base(GlyphVit(), "image_classification", tuple("0123456789")))
    network.module.eval()
    return network


def glyph_clients(adapter: Adapter, num_clients: int, num_samples: int) -> list[BareProblem]:
    """Return clients with digits of their own that share one network, each with arrays in its own rank."""
    network, train = glyph_network(adapter), Digits().load().train
    initial = network.read()
    images, labels = torch.from_numpy(train.inputs) * 2 - 1, torch.from_numpy(train.labels)
    parts = [slice(start * num_samples, (start + 1) * num_samples) for start in range(num_clients)]
    return [
        BareProblem(network, images[part], labels[part], adapter.fitted(initial, client))
        for client, part in enumerate(parts)
    ]


def glyph_lora(**fields: object) -> Lora:
    """Return LoRA without the classifier, so that every array is a factor."""
    return Lora(train_head="no", **fields)  # type: ignore[arg-type]
