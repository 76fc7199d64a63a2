"""The interface of a learning task: what the data is and how a model reads it."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Kind = Literal["image_classification", "text_classification"]


@dataclass(frozen=True)
class Examples:
    """Samples with their labels.

    Attributes:
        inputs: images, float32 in 0..1 [num_samples, channels, height, width], or texts, object [num_samples].
        labels: class indices, int64 [num_samples].
    """

    inputs: NDArray[Any]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """Training and test samples, disjoint, and what the classes are called."""

    train: Examples
    test: Examples
    class_names: tuple[str, ...]


class Task(Component):
    """Data to learn from, and the kind of model that learns it."""

    kind: ClassVar[Kind]

    @abstractmethod
    def load(self) -> Dataset:
        """Return the data; raises UserError when it cannot be read or makes no sense."""

    @abstractmethod
    def encode(self, inputs: NDArray[Any], model: str) -> dict[str, NDArray[Any]]:
        """Return the named arrays that the model at ``model`` (folder or hub name) takes, first axis samples."""


TASKS: Registry[Task] = Registry("task", Task)
