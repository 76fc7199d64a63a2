"""The direction of local steps: what sets most methods against client drift apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from ran.learning.algorithms.algorithm import Algorithm, Arrays, Problem


@dataclass(frozen=True)
class Course:
    """Where local training starts and which way it steps: scale * gradient + pull * (y - anchor) + offset.

    The local optimiser takes this direction for the gradient. Most methods against client drift are no more than
    a choice of these four; whatever trains clients, one by one or many at once, needs to know nothing else of them.

    Attributes:
        start: the parameters y before the first step.
        scale: factor of the loss's gradient.
        pull: strength of the pull towards ``anchor``.
        anchor: what ``pull`` draws to; None for ``start``.
        offset: added to every step's direction; None for nothing.
    """

    start: Arrays
    scale: float = 1.0
    pull: float = 0.0
    anchor: Arrays | None = None
    offset: Arrays | None = None


def bending(course: Course, problem: Problem) -> Callable[[], None] | None:
    """Return what turns the gradients of the problem's parameters into the course's direction; None for plain ones.

    The problem is left with other parameters than it had.
    """
    if course.scale == 1.0 and course.pull == 0.0 and course.offset is None:
        return None
    import torch

    def tensors(arrays: Arrays) -> list[torch.Tensor]:
        # Through the parameters themselves: they know order, precision and device.
        problem.load(arrays)
        return [parameter.detach().clone() for parameter in problem.parameters()]

    offset = tensors(course.offset) if course.offset is not None else None
    anchor = tensors(course.start if course.anchor is None else course.anchor) if course.pull else None

    @torch.no_grad()
    def bend() -> None:
        for index, parameter in enumerate(problem.parameters()):
            gradient = parameter.grad
            if gradient is None:
                continue
            gradient.mul_(course.scale)
            if anchor is not None:
                gradient.add_(parameter - anchor[index], alpha=course.pull)
            if offset is not None:
                gradient.add_(offset[index])

    return bend


def pull_problems(algorithm: Algorithm, field: str, pull: float) -> list[str]:
    """Return a sentence when sgd, stepping along ``pull`` (y - x), would leap ever further past x.

    y - x is multiplied by 1 - rate x pull in every step; with momentum m the limit is 2 (1 + m) / rate
    (Polyak 1964).
    """
    limit = 2 * (1 + algorithm.momentum) / algorithm.learning_rate
    if algorithm.optimizer != "sgd" or pull < limit:
        return []
    return [
        f"`{field}`: sgd at learning_rate {algorithm.learning_rate:g} diverges from {limit:g} on; lower either of them"
    ]
