"""A learner in a worker process: the same pieces, over data and frozen weights that all processes map from one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ran.learning import small_models  # noqa: F401 - registers them
from ran.learning.adapters import ADAPTERS
from ran.learning.algorithms import ALGORITHMS
from ran.learning.models import MODELS
from ran.learning.tasks.task import Dataset, Examples, Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from channel.component import Component
    from channel.registry import Registry
    from ran.learning.engines.engine import Workplace
    from ran.learning.learner import Learner
    from ran.learning.partition import Partition
    from ran.learning.tasks.task import Kind, Task

_ARRAYS, _PIECES = "shared.safetensors", "learner.json"
_INPUT, _FROZEN, _LABELS, _ROWS, _BOUNDS = "input/", "frozen/", "labels", "rows", "bounds"


def share(workplace: Workplace, directory: Path) -> None:
    """Write what workers need to ``directory``, and let this process's data and frozen weights lie there too."""
    bounds = np.cumsum([0, *map(len, workplace.rows)])
    inputs = {_INPUT + name: values for name, values in workplace.inputs.items()}
    held = inputs | {_LABELS: workplace.labels} | _frozen(workplace.network)
    rows = torch.from_numpy(np.concatenate(workplace.rows))
    arrays = held | {_ROWS: rows, _BOUNDS: torch.from_numpy(bounds)}
    save_file({name: values.detach().contiguous() for name, values in arrays.items()}, directory / _ARRAYS)
    pieces = {
        "kind": workplace.kind,
        "class_names": workplace.class_names,
        "model": workplace.model.model_dump(mode="json"),
        "adapter": workplace.adapter.model_dump(mode="json"),
        "algorithm": workplace.algorithm.model_dump(mode="json"),
        "seed": workplace.seed,
        "threads": workplace.threads,
    }
    (directory / _PIECES).write_text(json.dumps(pieces))
    _move(held, _mapped(directory))


def shared_learner(directory: Path) -> Learner:
    """Return the learner that ``share`` described."""
    from ran.learning.engines.sequential import Sequential
    from ran.learning.learner import Learner

    pieces, arrays = json.loads((directory / _PIECES).read_text()), _mapped(directory)
    learner = Learner(
        task=cast("Task", _SharedTask(pieces["kind"], tuple(pieces["class_names"]), arrays)),
        model=_component(MODELS, pieces["model"]),
        adapter=_component(ADAPTERS, pieces["adapter"]),
        partition=cast("Partition", _SharedPartition(arrays)),
        algorithm=_component(ALGORITHMS, pieces["algorithm"]),
        num_clients=len(arrays[_BOUNDS]) - 1,
        seed=pieces["seed"],
        threads=pieces["threads"],
        engine=Sequential(),
    )
    _move(_frozen(learner.workplace.network), arrays)
    return learner


@dataclass(frozen=True)
class _SharedTask:
    """A task whose samples are already as the model takes them."""

    kind: Kind
    class_names: tuple[str, ...]
    arrays: Mapping[str, torch.Tensor]

    def load(self) -> Dataset:
        """Return the rows of the training samples, and of one to stand in for a test set that workers never see."""
        labels = self.arrays[_LABELS].numpy()
        everything = Examples(np.arange(len(labels)), labels)
        return Dataset(everything, Examples(everything.inputs[:1], labels[:1]), self.class_names)

    def samples(self, examples: Examples, model: str | None) -> Samples:  # noqa: ARG002
        """Return views of the shared arrays."""
        first = slice(0, len(examples.inputs))
        inputs = {
            name.removeprefix(_INPUT): values.numpy()[first]
            for name, values in self.arrays.items()
            if name.startswith(_INPUT)
        }
        return Samples(inputs, examples.labels, {})


@dataclass(frozen=True)
class _SharedPartition:
    """The rows that were dealt to each client."""

    arrays: Mapping[str, torch.Tensor]

    def split(self, num_samples: int, columns: object, num_clients: int, rng: object) -> list[NDArray[np.int64]]:  # noqa: ARG002
        """Return them."""
        return np.split(self.arrays[_ROWS].numpy(), self.arrays[_BOUNDS].numpy()[1:-1])


def _frozen(network: Any) -> dict[str, torch.Tensor]:
    """Return everything in a network that training leaves as it is: the tensors themselves."""
    trainable = {id(parameter) for parameter in network.trainable.values()}
    held = [*network.module.named_parameters(), *network.module.named_buffers()]
    return {_FROZEN + name: each for name, each in held if id(each) not in trainable}


def _move(held: Mapping[str, torch.Tensor], arrays: Mapping[str, torch.Tensor]) -> None:
    """Let tensors lie where ``arrays`` of the same names do; the memory they had is free."""
    for name, tensor in held.items():
        tensor.data = arrays[name]


def _mapped(directory: Path) -> dict[str, torch.Tensor]:
    """Return the arrays of the file, mapped: pages are read when touched and shared by all processes."""
    with safe_open(directory / _ARRAYS, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _component(registry: Registry[Any], fields: dict[str, Any]) -> Any:
    kind: type[Component] = registry.get(fields["name"])
    return kind.model_validate({name: value for name, value in fields.items() if name != "name"})
