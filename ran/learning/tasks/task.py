"""The interface of a learning task: what the data is and how a model reads it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["image_classification", "text_classification", "causal_lm"]

LABEL = "label"
"""The column of every classification task that partitions go by unless told otherwise."""

IGNORED = -100
"""The label of a token that is not to be predicted: torch's own, left out of the loss."""


@dataclass(frozen=True)
class Examples:
    """What was read.

    Attributes:
        inputs: images, float32 in 0..1 [num_samples, channels, height, width], or texts, object [num_samples].
        labels: class indices, int64 [num_samples]; of a language model none, [0].
        columns: what else is known of each, by name, object [num_samples]: the other columns of the file.
    """

    inputs: NDArray[Any]
    labels: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dataset:
    """Training and test samples, disjoint, and what the classes are called (a language model has none)."""

    train: Examples
    test: Examples
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Samples:
    """Examples as one model takes them.

    Attributes:
        inputs: the model's named arrays, first axis samples.
        labels: class indices, int64 [num_samples], or next tokens, int64 [num_samples, num_tokens], IGNORED where
            there is none to predict.
        columns: what a partition may go by, each [num_samples].
    """

    inputs: dict[str, NDArray[Any]]
    labels: NDArray[np.int64]
    columns: Mapping[str, NDArray[Any]]

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.labels)


class Task(Component):
    """Data to learn from, and the kind of model that learns it."""

    kind: ClassVar[Kind]

    @abstractmethod
    def load(self) -> Dataset:
        """Return the data; raises UserError when it cannot be read or makes no sense."""

    @abstractmethod
    def encode(self, inputs: NDArray[Any], model: str | None) -> dict[str, NDArray[Any]]:
        """Return the named arrays that the model takes, first axis samples.

        ``model`` is its folder or hub name; None for a network without files, which takes what is usual.
        """

    def samples(self, examples: Examples, model: str | None) -> Samples:
        """Return the examples as the model takes them."""
        return Samples(
            self.encode(examples.inputs, model), examples.labels, {**examples.columns, LABEL: examples.labels}
        )


TASKS: Registry[Task] = Registry("task", Task)
