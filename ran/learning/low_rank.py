"""LoRA's factors as arrays: stacked, resized and approximated, whatever the rank of each client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays

_A, _B = ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True)
class Factors:
    """One layer's low-rank change: its weight is W + alpha * product, product = B A / r (Hu et al., arXiv 2106.09685).

    With the rank in the product, factors of different ranks mean the same thing and alpha, common to all clients,
    drops out of every sum.

    Attributes:
        a: A, [rank, inputs].
        b: B, [outputs, rank].
    """

    a: NDArray[np.floating]
    b: NDArray[np.floating]

    @property
    def rank(self) -> int:
        """Number of components r."""
        return len(self.a)

    def product(self) -> NDArray[np.float64]:
        """Return B A / r in double precision, [outputs, inputs]; zeros for rank 0."""
        import numpy as np

        return self.b.astype(np.float64) @ self.a.astype(np.float64) / max(self.rank, 1)

    def resized(self, rank: int) -> Factors:
        """Return the first ``rank`` components, or all of them and zeros; what stays contributes what it did."""
        import numpy as np

        kept = min(rank, self.rank)
        a, b = np.zeros((rank, self.a.shape[1])), np.zeros((len(self.b), rank))
        a[:kept] = self.a[:kept]
        b[:, :kept] = self.b[:, :kept] * (rank / max(self.rank, 1))
        return Factors(a, b)

    def without_zeros(self) -> Factors:
        """Return the components that contribute: those whose column of B is not all zero; the product is unchanged."""
        kept = self.b.any(axis=0)
        return Factors(self.a[kept], self.b[:, kept] * (kept.sum() / max(self.rank, 1)))

    def compact(self) -> Factors:
        """Return factors of the same product with a rank no larger than the layer's inputs or outputs."""
        import numpy as np

        outputs, inputs = len(self.b), self.a.shape[1]
        if self.rank <= min(outputs, inputs):
            return self
        if inputs <= outputs:
            return Factors(np.eye(inputs), inputs * self.product())
        return Factors(outputs * self.product(), np.eye(outputs))

    def best(self, rank: int) -> Factors:
        """Return the best approximation of the product by ``rank`` components, the strongest first.

        From the singular value decomposition U S V^T: B / r = U S and A = V^T, of which any first rows are again the
        best approximation of their rank (Eckart & Young 1936). Fewer components where the layer has no more.
        """
        import numpy as np

        q, upper = np.linalg.qr(self.b.astype(np.float64) / max(self.rank, 1))
        p, lower = np.linalg.qr(self.a.astype(np.float64).T)
        u, values, vt = np.linalg.svd(upper @ lower.T)
        found = min(rank, len(values))
        return Factors(vt[:found] @ p.T, (q @ u[:, :found]) * values[:found] * found)


def stacked(parts: Sequence[Factors], weights: Sequence[float]) -> Factors:
    """Return factors whose product is sum_k w_k product_k exactly: ranks add up (Wang et al., arXiv 2409.05976).

    A is [A_1; ...; A_K], B is [w_1 R/r_1 B_1, ..., w_K R/r_K B_K] with R = sum_k r_k; in double precision.
    """
    import numpy as np

    rank = sum(part.rank for part in parts)
    scaled = [
        part.b.astype(np.float64) * (weight * rank / max(part.rank, 1))
        for part, weight in zip(parts, weights, strict=True)
    ]
    return Factors(np.concatenate([part.a.astype(np.float64) for part in parts]), np.concatenate(scaled, axis=1))


def factors(arrays: Mapping[str, NDArray[np.float32]]) -> dict[str, Factors]:
    """Return the LoRA factors among the arrays by the name of their layer; arrays go under PEFT's names."""
    return {
        name.removesuffix(_A): Factors(a, arrays[name.removesuffix(_A) + _B])
        for name, a in arrays.items()
        if name.endswith(_A)
    }


def named(layers: Mapping[str, Factors], like: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """Return the factors as arrays under PEFT's names, in the dtypes that these names have in ``like``."""
    arrays = {}
    for layer, each in layers.items():
        arrays[layer + _A] = each.a.astype(like[layer + _A].dtype)
        arrays[layer + _B] = each.b.astype(like[layer + _B].dtype)
    return arrays


def other_arrays(arrays: Mapping[str, NDArray[np.float32]]) -> Arrays:
    """Return the arrays that are no LoRA factors, such as a trained classifier."""
    return {name: array for name, array in arrays.items() if not name.endswith((_A, _B))}


def resized(arrays: Arrays, like: Arrays) -> Arrays:
    """Return the arrays with every layer's factors in the rank that the layer has in ``like``; others unchanged."""
    ranks = {layer: each.rank for layer, each in factors(like).items()}
    mine = factors(arrays)
    if all(each.rank == ranks[layer] for layer, each in mine.items()):
        return arrays
    return other_arrays(arrays) | named({layer: each.resized(ranks[layer]) for layer, each in mine.items()}, arrays)


def in_rank(arrays: Arrays, rank: int) -> Arrays:
    """Return the arrays with the factors of every layer in one rank; others unchanged."""
    layers = {layer: each.resized(rank) for layer, each in factors(arrays).items()}
    return other_arrays(arrays) | named(layers, arrays)
