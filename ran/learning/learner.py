"""One learning task spread over clients: train any of them, merge nothing, evaluate the result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from channel.seeding import Key, stream, stream_key
from ran.learning.algorithms.algorithm import descend
from ran.learning.engines import Assignment, Auto, Workplace
from ran.learning.flops import TRAINING_OVER_FORWARD, forward_flops
from ran.learning.freezing import NoFreezing, without
from ran.learning.frozen_layers import FrozenLayers
from ran.learning.memory import OPTIMIZER_STATE, training_bytes
from ran.learning.network_problem import DeviceSamples, NetworkProblem, cross_entropy
from ran.learning.partition import class_counts
from ran.learning.tasks.network import Network, check_fit, load_base, name_base
from ran.learning.tasks.task import IGNORED
from ran.threads import torch_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.adapters import Adapter
    from ran.learning.algorithms.algorithm import Algorithm, Arrays, ClientUpdate
    from ran.learning.engines import Engine, Trainer
    from ran.learning.freezing import Freezing
    from ran.learning.models import Model
    from ran.learning.partition import Partition
    from ran.learning.split.exchange import Batch
    from ran.learning.tasks.task import Samples, Task

EVALUATION_BATCH = 256
# Logits of a language model are as long as its vocabulary, for every token: 2048 x 50,000 floats are 400 MB.
EVALUATION_TOKENS = 2048


@dataclass(frozen=True)
class Evaluation:
    """Share of test samples classified rightly, and mean cross-entropy in nats.

    Of a language model: share of next tokens rightly predicted, and cross-entropy per token.
    """

    accuracy: float
    loss: float

    @property
    def perplexity(self) -> float:
        """exp(loss): among how many equally likely classes, or next tokens, the model would be as much in doubt."""
        return math.exp(self.loss) if not self.loss > 700.0 else math.inf


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
        engine: Engine = Auto(),
        freezing: Freezing = NoFreezing(),
        device_classes: Sequence[str] = (),
    ) -> None:
        self.algorithm = algorithm
        self._engine = engine
        self._opened: Trainer | None = None
        self._kind = task.kind
        self._adapter = adapter
        self._model = model
        self._seed = seed
        self._device = torch.device(device)
        self._threads = threads
        data = task.load()
        self.class_names = data.class_names
        with self._stage("fresh weights"):
            base = load_base(model, task.kind, data.class_names)
            train = task.samples(data.train, model.source)
            self._rows = partition.split(len(train), train.columns, num_clients, stream(seed, "partition"))
            self._train = self._on_device(train)
            self._test = self._on_device(task.samples(data.test, model.source))
            one_sample = {name: values[:1] for name, values in self._train.inputs.items()}
            check_fit(base.config, task.kind, tuple(next(iter(one_sample.values())).shape[1:]))
            self._network = adapter.attach(base)
            self._network.module.to(self._device).eval()
            self._forward_flops = float(forward_flops(self._network.module, one_sample))
            freezes = not isinstance(freezing, NoFreezing)
            self.frozen = FrozenLayers(self._network, one_sample, freezing) if freezes else None
        self._initial = self._network.read()
        self._device_classes = device_classes or [""] * num_clients
        self.num_samples = [len(rows) for rows in self._rows]
        self.partition_counts = (
            class_counts(self._rows, train.labels, len(data.class_names))
            if data.class_names
            else np.array(self.num_samples)[:, None]
        )

    @property
    def num_trainable(self) -> int:
        """Number of trainable parameters, those that are exchanged."""
        return sum(array.size for array in self._initial.values())

    @property
    def num_parameters(self) -> int:
        """Number of all parameters held: base, adapter, and the original classifier that PEFT keeps."""
        return sum(parameter.numel() for parameter in self._network.module.parameters())

    def training_bytes(self) -> int:
        """Return the memory that the largest client's training takes on its device; without gradients, its weights."""
        algorithm = self.algorithm
        if not algorithm.takes_gradients:
            return 4 * self.num_parameters
        with self._stage("memory"):
            return training_bytes(
                self._network.module,
                {name: values[:1] for name, values in self._train.inputs.items()},
                batch_size=min(algorithm.batch_size, max(self.num_samples)),
                state_floats=self.state_floats,
            )

    @property
    def state_floats(self) -> int:
        """Floats of optimiser state a trained parameter."""
        has_momentum = self.algorithm.optimizer == "sgd" and self.algorithm.momentum > 0
        return OPTIMIZER_STATE[self.algorithm.optimizer] + has_momentum

    @property
    def device(self) -> torch.device:
        """Where the network and the samples are."""
        return self._device

    @property
    def network(self) -> Network:
        """The one network, which all clients share."""
        return self._network

    @property
    def num_training_samples(self) -> int:
        """Samples of the training set, whoever holds them."""
        return len(self._train)

    def sample(self) -> dict[str, torch.Tensor]:
        """Return one training sample's inputs, to look at the network with."""
        return {name: values[:1] for name, values in self._train.inputs.items()}

    def batch_of(self, client: int, which: NDArray[np.int64]) -> Batch:
        """Return some of a client's samples, given by their places among its own."""
        from ran.learning.split.exchange import Batch

        own = self._rows[client][which]
        rows = torch.from_numpy(own).to(self._device)
        return Batch(own, {name: each[rows] for name, each in self._train.inputs.items()}, self._train.labels[rows])

    @contextmanager
    def training(self, round_index: int) -> Iterator[None]:
        """Run the body with the network in training mode, threads and random state as in local training."""
        with self._stage("dropout", round_index):
            self._network.module.train()
            yield

    def initial(self) -> Arrays:
        """Return the trainable arrays of the global model before the first round."""
        return {name: array.copy() for name, array in self._initial.items()}

    def shape_of(self, client: int) -> Arrays:
        """Return the trainable arrays of one client before the first round, in its own ranks: not to be changed."""
        return self._adapter.fitted(self._initial, client, self._device_classes[client])

    def train(self, client: int, received: Arrays, round_index: int, memory: Arrays | None = None) -> ClientUpdate:
        """Return what ``client`` makes of the broadcast in round ``round_index``, given what it remembers."""
        return self.train_each([Assignment(client, received, memory or {})], round_index)[0]

    def train_each(self, assignments: Sequence[Assignment], round_index: int) -> list[ClientUpdate]:
        """Return the updates of clients that are trained one after another, in order."""
        # Drawn for all at once: between trainings, which fill the processor's caches, this code would take ten times
        # as long.
        keys = [("dropout", round_index, each.client) for each in assignments]
        seeds = [stream_key(self._seed, *key) for key in keys]
        orders = [stream(self._seed, "batch order", round_index, each.client) for each in assignments]
        updates = []
        with self._stage("dropout", round_index):
            self._network.module.train()
            for each, seed, order in zip(assignments, seeds, orders, strict=True):
                self._reseed(seed)
                problem, algorithm = self._problem_of(each.client, each.memory), each.shortened(self.algorithm)
                if self.frozen is None:
                    updates.append(algorithm.client_step(each.received, problem, order, each.memory))
                    continue
                update = algorithm.client_step(each.received, problem, order, self.frozen.own(each.memory))
                updates.append(self.frozen.concluded(update, problem.prefix))
        return updates

    def train_many(
        self,
        clients: Sequence[int],
        received: Sequence[Arrays],
        round_index: int,
        memories: Sequence[Arrays | None],
        local_steps: Sequence[int | None] | None = None,
    ) -> list[ClientUpdate]:
        """Return what each of ``clients`` makes of its broadcast, in order: ``train`` at the engine's speed.

        ``local_steps``, of each, where they are not as many as the algorithm says.
        """
        if not clients:
            return []
        given = zip(clients, received, memories, local_steps or [None] * len(clients), strict=True)
        assignments = [Assignment(client, arrays, memory or {}, steps) for client, arrays, memory, steps in given]
        return self.trainer.train(assignments, round_index)

    @property
    def flops_per_sample(self) -> float:
        """FLOPs of training on one sample once, forward and backward."""
        return self.frozen.flops_per_sample if self.frozen else TRAINING_OVER_FORWARD * self._forward_flops

    @property
    def trainer(self) -> Trainer:
        """The engine at work; the first call opens it, which may start worker processes."""
        if self._opened is None:
            self._opened = self._engine.open(self.workplace)
        return self._opened

    @property
    def workplace(self) -> Workplace:
        """What an engine trains with."""
        return Workplace(
            self._kind, self.class_names, self._model, self._adapter, self.algorithm, self._seed, self._threads,
            self._network, self._train.inputs, self._train.labels, self._rows,
            TRAINING_OVER_FORWARD * self._forward_flops, self.train_each, self._stage,
        )  # fmt: skip

    def close(self) -> None:
        """Let go of the engine's processes; the next ``train_many`` would open it again."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def evaluate(self, arrays: Arrays, changed: AbstractContextManager[None] | None = None) -> Evaluation:
        """Return accuracy and loss of the model with ``arrays`` on the whole test set, ``changed`` meanwhile."""
        right, loss = 0, 0.0
        with changed or nullcontext():
            for logits, labels in self._answers(arrays):
                right += int((logits.argmax(dim=-1) == labels).sum())
                loss += float(cross_entropy(logits, labels, "sum"))
        count = int((self._test.labels != IGNORED).sum())
        return Evaluation(accuracy=right / count, loss=loss / count)

    def evaluate_own(self, client: int, arrays: Arrays) -> float:
        """Return the accuracy on test samples in the mix of classes that a client holds: sum_c share_c accuracy_c.

        Classes without a test sample are left out; of a language model it is the accuracy on the whole test set.
        """
        if not self.class_names:
            return self.evaluate(arrays).accuracy
        right = torch.cat([logits.argmax(dim=-1) == labels for logits, labels in self._answers(arrays)])
        labels, length = self._test.labels.cpu().numpy(), len(self.class_names)
        there = np.bincount(labels, minlength=length)
        hits = np.bincount(labels, weights=right.cpu().numpy(), minlength=length)
        shares = self.partition_counts[client] * (there > 0)
        return float((shares * hits / np.maximum(there, 1)).sum() / shares.sum())

    def own_memory(self, memory: Arrays) -> Arrays:
        """Return what of a client's memory is the algorithm's."""
        return self.frozen.own(memory) if self.frozen else memory

    def _answers(self, arrays: Arrays) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield logits and labels of the test set, batch by batch."""
        is_text = self._test.labels.ndim == 2
        size = max(1, EVALUATION_TOKENS // self._test.labels.shape[1]) if is_text else EVALUATION_BATCH
        with self._stage("evaluation"), torch.inference_mode():
            self._load(arrays)
            self._network.module.eval()
            for start in range(0, len(self._test), size):
                part = slice(start, start + size)
                inputs = {name: values[part] for name, values in self._test.inputs.items()}
                yield self._network.module(**inputs).logits, self._test.labels[part]

    def zero_shot(self) -> Evaluation:
        """Return the evaluation before any fine-tuning; with a freshly drawn classifier that is near chance."""
        return self.evaluate(self._initial)

    def central(self, rounds: int) -> Iterator[Evaluation]:
        """Yield, round by round, what central fine-tuning reaches: the yardstick of the federation.

        The clients' data in one place; the same initial arrays, optimiser settings and batch size; as many sample
        passes in a round as the clients make together. Unlike theirs, the optimiser keeps its state throughout, no
        layer is frozen, and every step is along a gradient, also where clients know nothing but losses.
        """
        if self.frozen:
            self.frozen.thaw()
        problem = self._problem(np.arange(len(self._train)), self._initial)
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
        self._load(arrays)
        self._network.save(directory)
        name_base(directory, self._model)

    def _load(self, arrays: Arrays) -> None:
        """Load a global model; the network has the values of frozen layers already."""
        self._network.load({name: arrays[name] for name in self._network.trainable})

    def _problem(self, rows: NDArray[np.int64], initial: Arrays) -> NetworkProblem:
        forward = self._forward_flops
        return NetworkProblem(self._network, self._train, rows, initial, TRAINING_OVER_FORWARD * forward, forward)

    def _problem_of(self, client: int, memory: Arrays) -> NetworkProblem:
        problem, frozen = self._problem(self._rows[client], self.shape_of(client)), self.frozen
        if frozen is None:
            return problem
        return replace(
            problem,
            initial=without(problem.initial, frozen.names()),
            flops_per_sample=frozen.flops_per_sample,
            forward_flops_per_sample=frozen.forward_flops_per_sample,
            prefix=frozen.prefix(client, memory),
        )

    def _pooled_batches(self, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
        """Yield shuffled epochs over all samples, cut off after as many passes as the clients make in a round."""
        left = sum(self.algorithm.passes(count) for count in self.num_samples)
        while left > 0:
            order = rng.permutation(len(self._train))[:left]
            for start in range(0, len(order), self.algorithm.batch_size):
                yield order[start : start + self.algorithm.batch_size]
            left -= len(order)

    def _on_device(self, samples: Samples) -> DeviceSamples:
        return DeviceSamples(
            {name: torch.from_numpy(values).to(self._device) for name, values in samples.inputs.items()},
            torch.from_numpy(samples.labels).to(self._device),
        )

    @contextmanager
    def _stage(self, *key: Key) -> Iterator[None]:
        """Run the body with the learner's threads and torch's random state drawn from a named stream."""
        devices = [self._device] if self._device.type == "cuda" else []
        with torch_threads(self._threads), torch.random.fork_rng(devices):
            self._reseed(stream_key(self._seed, *key))
            yield

    def _reseed(self, seed: int) -> None:
        # Not torch.manual_seed: for every kind of accelerator that is not in use it would note down a stack trace.
        torch.default_generator.manual_seed(seed)
        if self._device.type == "cuda":
            with torch.cuda.device(self._device):
                torch.cuda.manual_seed(seed)
