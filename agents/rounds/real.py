"""Rounds of federated learning that are really trained: the digits, a perceptron and FedAvg, by the project's Learner.

The learner, its algorithm and the compressors are those of a scenario; only the air is left to the environment.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from channel.seeding import stream
from ran.learning.participation.levels import LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.learner import Learner

PARTITIONS = 16
"""Ways in which the digits are shared out; an episode has one of them."""

_TRAINING = (
    "learning.model=mlp",
    "learning.adapter=full",
    "learning.partition={name: quantity, alpha: 2.0}",
    "learning.algorithm={name: fedavg, optimizer: sgd, learning_rate: 0.01, local_epochs: 5, batch_size: 16}",
    "learning.central=skip",
)


@lru_cache(maxsize=PARTITIONS)
def learner(num_ues: int, partition: int) -> Learner:
    """Return the learner of one way to share the digits out among so many UEs."""
    from scenarios.build import build_world
    from scenarios.load import load
    from scenarios.run import build_learner

    scenario = load("quickstart", (*_TRAINING, f"ues.count={num_ues}", f"seed={partition + 1}"))
    return build_learner(scenario, build_world(scenario))


@lru_cache(maxsize=8)
def shared_out(num_ues: int) -> NDArray[np.float64]:
    """Return how many samples every UE has in every partition, [PARTITIONS, num_ues], as the learners share them out.

    Raises UserError where there are too many UEs for the digits.
    """
    from scenarios.load import load

    scenario = load("quickstart", (*_TRAINING, f"ues.count={num_ues}"))
    task = scenario.learning.task
    train = task.samples(task.load().train, None)
    parts = [
        scenario.learning.partition.split(len(train), train.columns, num_ues, stream(seed + 1, "partition"))
        for seed in range(PARTITIONS)
    ]
    return np.array([[len(rows) for rows in part] for part in parts], np.float64)


def initial(num_ues: int, partition: int) -> NDArray[np.float32]:
    """Return the model before the first round, as one vector [num_parameters]."""
    return _joined(learner(num_ues, partition).initial())


def train_round(
    model: NDArray[np.float32], num_ues: int, partition: int, clients: NDArray[np.int64], level: int, round_index: int
) -> tuple[NDArray[np.float32], float, float]:
    """Train one round for real; return the new model, the mean bits of a payload over its values, and the accuracy.

    Args:
        model: before the round, [num_parameters].
        num_ues: of the learner.
        partition: of the learner.
        clients: that take part, at least one.
        level: at which each update is compressed, then unpacked by the server.
        round_index: orders batches and rounding.
    """
    from ran.learning.algorithms.algorithm import Server

    own, compressor = learner(num_ues, partition), LEVELS[level].compressor
    server = Server(_apart(model, own.initial()), round=round_index)
    received = own.algorithm.broadcast(server)
    updates = own.train_many(clients.tolist(), [received] * len(clients), round_index, [None] * len(clients))
    arrived, bits = [], 0.0
    for client, update in zip(clients.tolist(), updates, strict=True):
        rng = stream(partition, "compression", round_index, client)
        payload, _ = compressor.compress(update.arrays, {}, rng, round_index)
        arrived.append(compressor.decompress(payload, update.arrays, {}, round_index)[0])
        bits += 8 * len(payload) / own.num_trainable / len(clients)
    merged = own.algorithm.aggregate(server, arrived, [update.report for update in updates]).model
    return _joined(merged), bits, own.evaluate(merged).accuracy


def _joined(arrays: Arrays) -> NDArray[np.float32]:
    return np.concatenate([arrays[name].ravel() for name in sorted(arrays)])


def _apart(values: NDArray[np.float32], like: Arrays) -> Arrays:
    names = sorted(like)
    pieces = np.split(values, np.cumsum([like[name].size for name in names])[:-1])
    return {name: piece.reshape(like[name].shape) for name, piece in zip(names, pieces, strict=True)}
