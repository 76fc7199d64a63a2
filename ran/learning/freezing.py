"""Progressive freezing: which transformer layers are no longer trained, sent, or run twice."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Algorithm, Arrays


@dataclass(frozen=True)
class Frozen:
    """What freezing remembers between rounds.

    Attributes:
        depth: frozen layers, counted from the input; never fewer than before.
        norms: norm of every layer's last change, float64 [num_layers]; NaN before the first.
    """

    depth: int
    norms: NDArray[np.float64]


class Freezing(Component):
    """A rule that freezes layers from the input on, for good.

    A frozen layer's parameters are neither trained nor sent up, nor sent down to a UE that has them. What the
    frozen layers make of a sample does not change any more, so a UE computes it once, without dropout, and keeps it
    as far as ``cache_mb`` reaches; samples beyond it are computed anew each time.
    """

    cache_mb: float = Field(default=64.0, ge=0, le=1e6, description="memory of a UE for activations, 1e6 bytes")

    def start(self, num_layers: int) -> Frozen:
        """Return the state before the first round."""
        import numpy as np

        return Frozen(0, np.full(num_layers, np.nan))

    @abstractmethod
    def advance(self, frozen: Frozen, rounds: int, norms: NDArray[np.float64]) -> Frozen:
        """Return the state after ``rounds`` rounds.

        Args:
            frozen: the state before.
            rounds: rounds done.
            norms: Euclidean norm of what the last round changed in every layer, [num_layers] (see ``change_norms``).
        """


FREEZINGS: Registry[Freezing] = Registry("freezing", Freezing)


@FREEZINGS.register("none")
class NoFreezing(Freezing):
    """Every layer is trained in every round."""

    def advance(self, frozen: Frozen, rounds: int, norms: NDArray[np.float64]) -> Frozen:  # noqa: ARG002
        """Return the state unchanged."""
        return frozen


@FREEZINGS.register("schedule")
class Schedule(Freezing):
    """A share of the layers left is frozen at every step: ceil(L (1 - (1 - alpha)^e)) after e steps.

    The closed form of f_e = f_(e-1) + alpha (L - f_(e-1)), f_0 = 0 (PipeTransformer, He et al., arXiv
    2102.03161, the bound of its freeze algorithm).
    """

    alpha: float = Field(default=1 / 3, gt=0, lt=1, description="share of the layers left that a step freezes")
    rounds_per_step: int = Field(default=1, ge=1, le=100_000)

    def advance(self, frozen: Frozen, rounds: int, norms: NDArray[np.float64]) -> Frozen:  # noqa: ARG002
        """Return the depth of the step that ``rounds`` rounds have come to."""
        return Frozen(self.depth(len(norms), rounds // self.rounds_per_step), norms)

    def depth(self, num_layers: int, steps: int) -> int:
        """Return the number of frozen layers.

        >>> [Schedule(alpha=1 / 3).depth(12, steps) for steps in range(8)]
        [0, 4, 7, 9, 10, 11, 11, 12]
        """
        # A whole number that rounding lifted by a few units in the last place must not count one more.
        return math.ceil(num_layers * (1 - (1 - self.alpha) ** steps) - 1e-9 * num_layers)


@FREEZINGS.register("gradient_norm")
class GradientNorm(Freezing):
    """Layers are frozen whose gradients have settled, from the input on (AutoFreeze, Liu et al., arXiv 2102.01386).

    eta_l = | |D_l(t-1)| - |D_l(t)| | / |D_l(t-1)| with D_l(t) the gradient of layer l accumulated over round t, here
    the change of the global model in that round. From the first active layer on, layers are frozen as long as eta_l is
    within the given percentile over all active layers. The last layer is never frozen: alone, it would always be
    within its own percentile.
    """

    percentile: float = Field(default=50.0, gt=0, lt=100, description="of the relative changes of the active layers")

    def advance(self, frozen: Frozen, rounds: int, norms: NDArray[np.float64]) -> Frozen:  # noqa: ARG002
        """Return the state with every leading layer frozen that has settled."""
        import numpy as np

        before, depth = frozen.norms, frozen.depth
        if np.isnan(before).any():
            return Frozen(depth, norms)
        gap = np.abs(before - norms)
        with np.errstate(over="ignore"):  # from next to nothing, a change is as good as infinite
            change = np.divide(gap, before, out=np.where(gap > 0, np.inf, 0.0), where=before > 0)
        limit = np.percentile(change[depth:], self.percentile, method="lower")
        while depth < len(norms) - 1 and change[depth] <= limit:
            depth += 1
        return Frozen(depth, norms)


def change_norms(before: Arrays, after: Arrays, groups: Sequence[AbstractSet[str]]) -> NDArray[np.float64]:
    """Return the Euclidean norm of after - before over the arrays of every group, float64 [num_groups]."""
    import numpy as np

    return np.array(
        [
            math.sqrt(sum(float(((after[name].astype(np.float64) - before[name]) ** 2).sum()) for name in group))
            for group in groups
        ]
    )


def without(arrays: Arrays, names: AbstractSet[str]) -> Arrays:
    """Return the arrays but those of the names, and those that a memory keeps for them as ``prefix/name``."""
    return {name: array for name, array in arrays.items() if name not in names and name.split("/")[-1] not in names}


def freezing_problems(
    freezing: Freezing, algorithm: Algorithm, adapter: str, engine: str = "auto", hierarchy: str = "flat"
) -> list[str]:
    """Return a sentence where the algorithm, adapter, engine or hierarchy of that name leaves nothing to freeze."""
    if isinstance(freezing, NoFreezing):
        return []
    if engine not in ("auto", "sequential"):
        return [f"engine {engine} does not know frozen layers; set learning.engine to auto"]
    if hierarchy != "flat":
        return ["a frozen layer has one value for all, but gNBs have models of their own; set learning.hierarchy: flat"]
    if algorithm.name in ("flora", "fedkseed"):
        return [
            f"{algorithm.name} sends the change of the whole model in every round, so no layer can be left out; set "
            "learning.freezing to none, or learning.algorithm to another"
        ]
    if adapter == "head":
        return ["the adapter head trains no layer that could be frozen; set learning.freezing to none"]
    return []
