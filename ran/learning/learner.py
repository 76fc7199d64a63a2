"""One learning task spread over clients: train any of them, merge nothing, evaluate the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from channel.seeding import Key, stream, stream_key
from ran.learning.algorithms.algorithm import descend
from ran.learning.flops import TRAINING_OVER_FORWARD, forward_flops
from ran.learning.partition import class_counts
from ran.learning.tasks.network import Network, check_fit, load_base, name_base
from ran.threads import torch_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.adapters import Adapter
    from ran.learning.algorithms.algorithm import Algorithm, Arrays, ClientUpdate
    from ran.learning.models import Model
    from ran.learning.partition import Partition
    from ran.learning.tasks.task import Examples, Task

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Evaluation:
    """Share of test samples classified rightly, and mean cross-entropy in nats."""

    accuracy: float
    loss: float


@dataclass(frozen=True)
class _Samples:
    """A set of samples on the device: named inputs and labels, first axis samples."""

    inputs: dict[str, torch.Tensor]
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class _NetworkProblem:
    """The Problem of one client: some of the training samples, and the one network that all clients share."""

    network: Network
    samples: _Samples
    rows: NDArray[np.int64]
    flops_per_sample: float

    @property
    def num_samples(self) -> int:
        return len(self.rows)

    def load(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self.network.load(arrays)

    def read(self) -> Arrays:
        return self.network.read()

    def parameters(self) -> list[torch.nn.Parameter]:
        return list(self.network.trainable.values())

    def loss(self, batch: NDArray[np.int64]) -> torch.Tensor:
        rows = torch.from_numpy(self.rows[batch]).to(self.samples.labels.device)
        inputs = {name: values[rows] for name, values in self.samples.inputs.items()}
        logits: torch.Tensor = self.network.module(**inputs).logits
        return torch.nn.functional.cross_entropy(logits, self.samples.labels[rows])


class Learner:
    """The data, the network and the clients of one scenario.

    One frozen base network is held in memory and shared by all clients; each client is a list of row numbers.
    Every call starts from the arrays it is given, so calls may come in any order. Equal seeds and thread
    counts give equal bits: batch orders, fresh weights and dropout come from named streams, and torch's own random
    state and thread count are left as they were.

    Raises UserError when the data cannot be read, or the model, the data and the clients do not fit together.
    """

    def __init__(
        self,
        *,
        task: Task,
        model: Model,
        adapter: Adapter,
        partition: Partition,
        algorithm: Algorithm,
        num_clients: int,
        seed: int,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        self.algorithm = algorithm
        self._model = model
        self._seed = seed
        self._device = torch.device(device)
        self._threads = threads
        data = task.load()
        labels = data.train.labels
        self.class_names = data.class_names
        self._rows = partition.split(labels, num_clients, stream(seed, "partition"))
        self.num_samples = [len(rows) for rows in self._rows]
        self.partition_counts = class_counts(self._rows, labels, len(data.class_names))
        with self._stage("fresh weights"):
            base = load_base(model, task.kind, data.class_names)
            self._train = self._on_device(task, data.train, model)
            self._test = self._on_device(task, data.test, model)
            one_sample = {name: values[:1] for name, values in self._train.inputs.items()}
            check_fit(base.config, task.kind, tuple(next(iter(one_sample.values())).shape[1:]))
            self._network = adapter.attach(base)
            self._network.module.to(self._device).eval()
            self._flops_per_sample = TRAINING_OVER_FORWARD * float(forward_flops(self._network.module, one_sample))
        self._initial = self._network.read()

    @property
    def num_trainable(self) -> int:
        """Number of trainable parameters, those that are exchanged."""
        return sum(array.size for array in self._initial.values())

    @property
    def num_parameters(self) -> int:
        """Number of all parameters held: base, adapter, and the original classifier that PEFT keeps."""
        return sum(parameter.numel() for parameter in self._network.module.parameters())

    def initial(self) -> Arrays:
        """Return the trainable arrays of the global model before the first round."""
        return {name: array.copy() for name, array in self._initial.items()}

    def train(self, client: int, arrays: Arrays, round_index: int) -> ClientUpdate:
        """Return what ``client`` makes of the global ``arrays`` in round ``round_index``."""
        with self._stage("dropout", round_index, client):
            self._network.module.train()
            order = stream(self._seed, "batch order", round_index, client)
            return self.algorithm.client_step(arrays, self._problem(self._rows[client]), order)

    def evaluate(self, arrays: Arrays) -> Evaluation:
        """Return accuracy and loss of the model with ``arrays`` on the whole test set."""
        with self._stage("evaluation"):
            self._network.load(arrays)
            self._network.module.eval()
            right, loss = 0, 0.0
            with torch.inference_mode():
                for start in range(0, len(self._test), EVALUATION_BATCH):
                    part = slice(start, start + EVALUATION_BATCH)
                    inputs = {name: values[part] for name, values in self._test.inputs.items()}
                    logits, labels = self._network.module(**inputs).logits, self._test.labels[part]
                    right += int((logits.argmax(dim=1) == labels).sum())
                    loss += float(torch.nn.functional.cross_entropy(logits, labels, reduction="sum"))
        return Evaluation(accuracy=right / len(self._test), loss=loss / len(self._test))

    def zero_shot(self) -> Evaluation:
        """Return the evaluation before any fine-tuning; with a freshly drawn classifier that is near chance."""
        return self.evaluate(self._initial)

    def central(self, rounds: int) -> Iterator[Evaluation]:
        """Yield, round by round, what central fine-tuning reaches: the yardstick of the federation.

        The clients' data in one place; the same initial arrays, optimiser settings and batch size; as many sample
        passes in a round as the clients make together. Unlike theirs, the optimiser keeps its state throughout.
        """
        problem = self._problem(np.arange(len(self._train)))
        optimizer = self.algorithm.new_optimizer(problem.parameters())
        arrays = self.initial()
        for round_index in range(rounds):
            with self._stage("central dropout", round_index):
                problem.load(arrays)
                self._network.module.train()
                descend(problem, optimizer, self._pooled_batches(stream(self._seed, "central order", round_index)))
                arrays = problem.read()
            yield self.evaluate(arrays)

    def save(self, arrays: Arrays, directory: Path) -> None:
        """Write the adapter with ``arrays`` in PEFT's own format (other adapters: the network in Hugging Face's)."""
        self._network.load(arrays)
        self._network.save(directory)
        name_base(directory, self._model)

    def _problem(self, rows: NDArray[np.int64]) -> _NetworkProblem:
        return _NetworkProblem(self._network, self._train, rows, self._flops_per_sample)

    def _pooled_batches(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Yield shuffled epochs over all samples, cut off after as many passes as the clients make in a round."""
        left = sum(self.algorithm.passes(count) for count in self.num_samples)
        while left > 0:
            order = rng.permutation(len(self._train))[:left]
            for start in range(0, len(order), self.algorithm.batch_size):
                yield order[start : start + self.algorithm.batch_size]
            left -= len(order)

    def _on_device(self, task: Task, examples: Examples, model: Model) -> _Samples:
        inputs = task.encode(examples.inputs, model.source)
        return _Samples(
            {name: torch.from_numpy(values).to(self._device) for name, values in inputs.items()},
            torch.from_numpy(examples.labels).to(self._device),
        )

    @contextmanager
    def _stage(self, *key: Key) -> Iterator[None]:
        """Run the body with the learner's threads and torch's random state drawn from a named stream."""
        devices = [self._device] if self._device.type == "cuda" else []
        with torch_threads(self._threads), torch.random.fork_rng(devices):
            torch.manual_seed(stream_key(self._seed, *key))
            yield
