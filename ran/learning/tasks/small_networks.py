"""The small networks as Transformers models, so that they load, train, save and load again like any other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch.nn.functional import max_pool2d, relu
from transformers import AutoConfig, AutoModelForImageClassification, PretrainedConfig, PreTrainedModel

LAST_SIZE = 4
"""About the height and width that the convolutional network pools its images to."""


class MlpConfig(PretrainedConfig):
    """Sizes of a perceptron."""

    model_type = "airtune_mlp"

    def __init__(
        self, image_size: int = 8, num_channels: int = 1, hidden: Sequence[int] = (128,), **other: Any
    ) -> None:
        # Transformers hands over every field of a saved configuration.
        super().__init__(**other)
        self.image_size, self.num_channels, self.hidden = image_size, num_channels, list(hidden)


class CnnConfig(PretrainedConfig):
    """Sizes of a convolutional network."""

    model_type = "airtune_cnn"

    def __init__(
        self,
        image_size: int = 8,
        num_channels: int = 1,
        filters: Sequence[int] = (32, 64),
        hidden: int = 84,
        **other: Any,
    ) -> None:
        super().__init__(**other)
        self.image_size, self.num_channels = image_size, num_channels
        self.filters, self.hidden = list(filters), hidden

    @property
    def pooling(self) -> tuple[int, int]:
        """Height and width of the windows that the two max poolings reduce to a pixel."""
        first = 2 if self.image_size >= 4 * LAST_SIZE else 1
        return first, max(1, self.image_size // first // LAST_SIZE)

    @property
    def last_size(self) -> int:
        """Height and width after both poolings, which leave out what does not fill a window."""
        first, second = self.pooling
        return int(self.image_size) // first // second


class SmallResNetConfig(PretrainedConfig):
    """Sizes of a residual network."""

    model_type = "airtune_resnet"

    def __init__(
        self,
        image_size: int = 8,
        num_channels: int = 1,
        stem_width: int = 8,
        stem_stride: int = 1,
        widths: Sequence[int] = (16, 32, 64),
        blocks: int = 1,
        **other: Any,
    ) -> None:
        super().__init__(**other)
        self.image_size, self.num_channels = image_size, num_channels
        self.stem_width, self.stem_stride = stem_width, stem_stride
        self.widths, self.blocks = list(widths), blocks


class Logits(NamedTuple):
    """What a network answers; Transformers' own class takes a fiftieth of a small network's time to make."""

    logits: torch.Tensor


class _Small(PreTrainedModel):
    main_input_name = "pixel_values"

    @torch.no_grad()
    def _init_weights(self, module: torch.nn.Module) -> None:
        # Torch's own draw instead of Transformers' normal one.
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)):
            module.reset_parameters()


class MlpForImageClassification(_Small):
    """Linear layers with ReLU between them: ``layers.0``, ``layers.1``, ..., the last one the classifier."""

    config_class = MlpConfig

    def __init__(self, config: MlpConfig) -> None:
        super().__init__(config)
        sizes = [config.num_channels * config.image_size**2, *config.hidden, config.num_labels]
        self.layers = torch.nn.ModuleList(map(torch.nn.Linear, sizes[:-1], sizes[1:]))
        self.post_init()

    @property
    def stack(self) -> list[torch.nn.Module]:
        """The layers after which the network may be cut: all but the classifier, each before its ReLU."""
        return list(self.layers[:-1])

    def forward(self, pixel_values: torch.Tensor) -> Logits:
        """Return logits [batch, classes] of images [batch, channels, height, width]."""
        values = pixel_values.flatten(1)
        for layer in self.layers[:-1]:
            values = relu(layer(values))
        return Logits(self.layers[-1](values))


class CnnForImageClassification(_Small):
    """Two convolutions and two linear layers: ``conv1``, ``conv2``, ``hidden``, ``classifier``."""

    config_class = CnnConfig

    def __init__(self, config: CnnConfig) -> None:
        super().__init__(config)
        first, second = config.filters
        self.conv1 = torch.nn.Conv2d(config.num_channels, first, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(first, second, 3, padding=1)
        self.hidden = torch.nn.Linear(second * config.last_size**2, config.hidden)
        self.classifier = torch.nn.Linear(config.hidden, config.num_labels)
        self._pooling = config.pooling
        self.post_init()

    @property
    def stack(self) -> list[torch.nn.Module]:
        """The layers after which the network may be cut: the convolutions, each before its ReLU and pooling."""
        return [self.conv1, self.conv2]

    def forward(self, pixel_values: torch.Tensor) -> Logits:
        """Return logits [batch, classes] of images [batch, channels, height, width]."""
        first, second = self._pooling
        values = relu(self.conv1(pixel_values))
        values = max_pool2d(values, first) if first > 1 else values
        values = max_pool2d(relu(self.conv2(values)), second)
        return Logits(self.classifier(relu(self.hidden(values.flatten(1)))))


def _convolution(channels_in: int, channels_out: int, stride: int) -> list[torch.nn.Module]:
    """Return a 3 x 3 convolution and the normalisation in groups of four channels."""
    convolution = torch.nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
    return [convolution, torch.nn.GroupNorm(channels_out // 4, channels_out)]


class ResidualBlock(torch.nn.Module):
    """relu(F(x) + shortcut(x)), F two convolutions (He et al., arXiv 1512.03385); the shortcut 1 x 1 where needed."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        first, second = _convolution(channels_in, channels_out, stride), _convolution(channels_out, channels_out, 1)
        self.residual = torch.nn.Sequential(*first, torch.nn.ReLU(), *second)
        self.shortcut: torch.nn.Module = torch.nn.Identity()
        if channels_in != channels_out or stride > 1:
            self.shortcut = torch.nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return [batch, channels_out, ceil(height / stride), ceil(width / stride)]."""
        return relu(self.residual(values) + self.shortcut(values))


class SmallResNetForImageClassification(_Small):
    """``stem``, ``blocks.0``, ``blocks.1``, ..., and the ``classifier`` of the mean over pixels."""

    config_class = SmallResNetConfig

    def __init__(self, config: SmallResNetConfig) -> None:
        super().__init__(config)
        stem = _convolution(config.num_channels, config.stem_width, config.stem_stride)
        self.stem = torch.nn.Sequential(*stem, torch.nn.ReLU())
        self.blocks = torch.nn.ModuleList()
        for stage, (before, width) in enumerate(pairwise([config.stem_width, *config.widths])):
            self.blocks.append(ResidualBlock(before, width, 1 if stage == 0 else 2))
            self.blocks.extend(ResidualBlock(width, width, 1) for _ in range(config.blocks - 1))
        self.classifier = torch.nn.Linear(config.widths[-1], config.num_labels)
        self.post_init()

    @property
    def stack(self) -> list[torch.nn.Module]:
        """The layers after which the network may be cut: the stem and every block."""
        return [self.stem, *self.blocks]

    def forward(self, pixel_values: torch.Tensor) -> Logits:
        """Return logits [batch, classes] of images [batch, channels, height, width]."""
        values = self.stem(pixel_values)
        for block in self.blocks:
            values = block(values)
        return Logits(self.classifier(values.mean(dim=(2, 3))))


for _config, _network in (
    (MlpConfig, MlpForImageClassification),
    (CnnConfig, CnnForImageClassification),
    (SmallResNetConfig, SmallResNetForImageClassification),
):
    AutoConfig.register(_config.model_type, _config)
    AutoModelForImageClassification.register(_config, _network)
