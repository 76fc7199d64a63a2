"""Small classifiers of square images, drawn fresh: a perceptron, a convolutional and a residual network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ran.learning.models import MODELS, Fresh
from ran.learning.tasks.task import Kind

Width = Annotated[int, Field(ge=1, le=100_000)]
GroupedWidth = Annotated[int, Field(ge=4, le=4096, multiple_of=4)]
"""Channels, normalised in groups of four."""


class SmallModel(Fresh):
    """A network of a few layers, whose every layer an engine may compute in its own way.

    ``adapter: full`` trains it. Weights and biases are drawn uniformly within 1 / sqrt(fan in), as torch does.
    """

    kinds: ClassVar[tuple[Kind, ...]] = ("image_classification",)

    image_size: int = Field(
        default=8, ge=1, le=4096, description="height and width, pixels; 8 for digits, 28 for MNIST"
    )
    channels: Literal[1, 3] = Field(default=1, description="1 for grey images, 3 for colour")

    def architecture(self) -> Mapping[str, str | int | float | bool | tuple[int, ...]]:  # type: ignore[override]
        """Return the fields, under the name that Transformers' Auto classes know the network by."""
        # Importing the networks is what makes that name known to the Auto classes.
        from ran.learning.tasks import small_networks  # noqa: F401

        fields = {name: getattr(self, name) for name in type(self).model_fields if name != "channels"}
        return {"model_type": f"airtune_{self.name}", "num_channels": self.channels, **fields}


@MODELS.register("mlp")
class Mlp(SmallModel):
    """A multi-layer perceptron with ReLU: 9,610 parameters by default, on digits; without hidden layers, linear."""

    hidden: tuple[Width, ...] = Field(default=(128,), max_length=20, description="sizes of the hidden layers")


@MODELS.register("cnn")
class Cnn(SmallModel):
    """Two 3 x 3 convolutions with ReLU and max pooling to about 4 x 4, one hidden layer: 105,766 parameters by default.

    Images of 16 pixels or more are halved after the first convolution; so 8 x 8 and 28 x 28 images end up 4 x 4.
    """

    image_size: int = Field(
        default=8, ge=4, le=4096, description="height and width, pixels; 8 for digits, 28 for MNIST"
    )
    filters: tuple[Width, Width] = Field(default=(32, 64), description="output channels of the two convolutions")
    hidden: Width = Field(default=84, description="size of the hidden layer")


@MODELS.register("resnet")
class ResNet(SmallModel):
    """A residual network (He et al., arXiv 1512.03385) for small images: 76,450 parameters by default, on digits.

    A 3 x 3 convolution, the stem, then stages of residual blocks, each stage after the first halving height and width,
    and a linear classifier of the mean over pixels. Normalised in groups of four channels (Wu and He, arXiv 1803.08494)
    and not over batches, whose running means of one UE say nothing of another's. ``learning.gkt`` trains it as FedGKT
    does; it may also be cut after any block by ``learning.split``.
    """

    stem_width: GroupedWidth = Field(default=8, description="channels after the stem")
    stem_stride: Literal[1, 2, 4] = Field(default=1, description="1 for digits of 8 x 8 pixels, 2 for MNIST")
    widths: tuple[GroupedWidth, ...] = Field(
        default=(16, 32, 64), min_length=1, max_length=8, description="channels of each stage"
    )
    blocks: int = Field(default=1, ge=1, le=100, description="residual blocks in each stage")
