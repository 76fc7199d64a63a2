"""Fits the learning curve to rounds that are really trained: ``python -m agents.rounds.fit``, five minutes on a core.

Participants are chosen in five ways, each in all partitions of the digits: fixed or changing numbers of UEs, at one
level of compression or changing ones. Partitions with even numbers are fitted to, the others tell the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import least_squares

from agents.rounds.curve import LearningCurve
from agents.rounds.real import PARTITIONS, initial, shared_out, train_round
from channel.seeding import stream
from ran.learning.participation.levels import LEVELS

if TYPE_CHECKING:
    from numpy.typing import NDArray

UES, ROUNDS = 8, 25
_SIZES = (1, 2, 4, 8, None)
_START = (0.9, 0.3, 0.25, 0.8, 0.8, 0.05, 0.3)
_BOUNDS = ([0.0, 0.0, 0.01, 0.2, 0.0, 0.001, 0.0], [2.0, 2.0, 5.0, 3.0, 1.0, 0.3, 2.0])


@dataclass(frozen=True)
class Trained:
    """One federation that was trained: who took part at which level, and what came of it.

    Attributes:
        samples: of every UE, [num_ues].
        chosen: [num_rounds, num_ues].
        level: [num_rounds].
        accuracy: after each round, [num_rounds].
        bits: of a payload over the number of parameters, [num_rounds].
    """

    samples: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    level: NDArray[np.int64]
    accuracy: NDArray[np.float64]
    bits: NDArray[np.float64]


def trained(partition: int, size: int | None, rounds: int = ROUNDS) -> Trained:
    """Train for real, with ``size`` participants a round or, where None, any number."""
    rng = stream(partition, "learning curve", size or 0)
    fixed_level, keeps = (None if size is None else int(rng.integers(len(LEVELS)))), bool(rng.random() < 0.5)
    fixed = rng.permutation(UES)[: size or UES]
    model = initial(UES, partition)
    chosen, level = np.zeros((rounds, UES), bool), np.zeros(rounds, np.int64)
    accuracy, bits = np.zeros(rounds), np.zeros(rounds)
    for each in range(rounds):
        ues = fixed if size and keeps else rng.permutation(UES)[: size or int(rng.integers(1, UES + 1))]
        level[each] = rng.integers(len(LEVELS)) if fixed_level is None else fixed_level
        chosen[each, ues] = True
        model, bits[each], accuracy[each] = train_round(model, UES, partition, np.sort(ues), int(level[each]), each)
    return Trained(shared_out(UES)[partition], chosen, level, accuracy, bits)


def predicted(curve: LearningCurve, runs: list[Trained]) -> NDArray[np.float64]:
    """Return what the curve says of runs, [num_runs, num_rounds]."""
    samples = np.array([run.samples for run in runs])
    chosen, level = np.array([run.chosen for run in runs]), np.array([run.level for run in runs])
    progress, known, said = np.zeros(len(runs)), np.zeros(samples.shape), np.zeros(level.shape)
    for each in range(level.shape[1]):
        progress = progress + curve.work(samples, chosen[:, each], level[:, each])
        known = curve.remembered(known, chosen[:, each])
        said[:, each] = curve.accuracy(progress, (known * samples).sum(axis=1))
    return said


def fitted(runs: list[Trained]) -> LearningCurve:
    """Return the curve of the least squared error; the first two levels lose nothing."""
    seen = np.array([run.accuracy for run in runs])
    found = least_squares(lambda x: (predicted(_curve(x), runs) - seen).ravel(), _START, bounds=_BOUNDS)
    return _curve(found.x)


def _curve(x: NDArray[np.float64]) -> LearningCurve:
    return LearningCurve((1.0, 1.0, float(x[0]), float(x[1])), *(float(each) for each in x[2:]))


def main() -> None:
    """Print the curve, its error on partitions that it has not seen, and the bits of every level."""
    runs = {part: [trained(part, size) for size in _SIZES] for part in range(PARTITIONS)}
    curve = fitted([run for part in range(0, PARTITIONS, 2) for run in runs[part]])
    unseen = [run for part in range(1, PARTITIONS, 2) for run in runs[part]]
    error = predicted(curve, unseen) - np.array([run.accuracy for run in unseen])
    late = error[:, 5:]
    print(curve)
    print(f"error: rms {np.sqrt(np.mean(error**2)):.3f}, bias {error.mean():.3f}, 95 % within {_most(error):.3f}; ")
    print(f"from round 6 on: rms {np.sqrt(np.mean(late**2)):.3f}, 95 % within {_most(late):.3f}")
    level = np.concatenate([run.level for part in runs.values() for run in part])
    bits = np.concatenate([run.bits for part in runs.values() for run in part])
    print("bits:", *(f"{bits[level == each].mean():.3f}" for each in range(len(LEVELS))))


def _most(error: NDArray[np.float64]) -> float:
    return float(np.percentile(np.abs(error), 95))


if __name__ == "__main__":
    main()
