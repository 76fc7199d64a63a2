"""Steps from losses alone: random directions that a seed regenerates, and the slope of the loss along them."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator

from channel.seeding import stream
from ran.learning.algorithms.algorithm import Algorithm

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Problem


class ZerothOrder(Algorithm):
    """An algorithm whose clients never differentiate: two forward passes a step, and no optimiser state.

    ``smoothing`` is epsilon of the slope (f(w + epsilon z) - f(w - epsilon z)) / (2 epsilon) along z ~ N(0, I).
    """

    takes_gradients: ClassVar[bool] = False

    optimizer: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=1e-3, gt=0, le=100)
    smoothing: float = Field(
        default=1e-3, gt=0, le=1, description="epsilon, how far to either side losses are compared"
    )

    @field_validator("optimizer", mode="before")
    @classmethod
    def _keeps_no_state(cls, value: object) -> object:
        if value == "adamw":
            raise ValueError(
                "adamw keeps moments for every parameter, which zeroth-order steps do not have; set optimizer: sgd"
            )
        return value

    def problems(self) -> list[str]:
        """Return a sentence if momentum, an optimiser state, is asked for."""
        if not self.momentum:
            return []
        return [
            f"`momentum`: a step of {self.name} is a seed and a slope, with no optimiser state; set it to 0, or choose "
            "fedavg"
        ]


def move(parameters: list[torch.nn.Parameter], seed: int, direction: int, scale: float) -> None:
    """Add ``scale`` x z in place, z ~ N(0, I) regenerated from its seed, one parameter at a time.

    z is drawn by NumPy, on whatever device the parameters are: a CPU and a GPU walk the same direction.
    """
    import torch

    rng = _direction(seed, direction)
    with torch.no_grad():
        for parameter in parameters:
            z = torch.from_numpy(_normal(rng, parameter.numel())).view(parameter.shape)
            parameter.add_(z.to(parameter), alpha=scale)


def direction(seed: int, index: int, size: int) -> NDArray[np.float32]:
    """Return z of all parameters, those of ``move`` laid end to end, float32 [size]."""
    return _normal(_direction(seed, index), size)


def _direction(seed: int, index: int) -> np.random.Generator:
    return stream(seed, "direction", index)


def _normal(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    import numpy as np

    return rng.standard_normal(size, dtype=np.float32)


def slope(
    problem: Problem, batch: NDArray[np.int64], seed: int, direction: int, smoothing: float
) -> tuple[float, float]:
    """Return the slope of the loss along a direction, and the mean of the two losses (arXiv 2305.17333, algorithm 1).

    The parameters move by +epsilon, -2 epsilon and +epsilon in place, so they come back up to rounding. Both losses
    see the same dropout.
    """
    import torch

    parameters = problem.parameters()
    devices = sorted({parameter.device.index for parameter in parameters if parameter.is_cuda})
    with torch.no_grad():
        move(parameters, seed, direction, smoothing)
        with torch.random.fork_rng(devices):
            above = problem.loss(batch).item()
        move(parameters, seed, direction, -2 * smoothing)
        below = problem.loss(batch).item()
        move(parameters, seed, direction, smoothing)
    return (above - below) / (2 * smoothing), (above + below) / 2
