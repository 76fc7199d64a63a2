"""The frozen layers of one client's network: run once per sample, their output kept as far as memory reaches."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.layers import Split


def fingerprint(arrays: Arrays) -> bytes:
    """Return a digest of names and values."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).data)
    return digest.digest()


@dataclass
class ActivationCache:
    """Hidden states of one client's samples after its frozen layers (AutoCache, arXiv 2102.03161; arXiv 2102.01386).

    Samples are kept until ``budget_bytes`` is full and none is thrown out for another: an epoch shows every sample
    once, so replacing the oldest would always throw out the one that comes next.

    Attributes:
        budget_bytes: most bytes of activations to keep.
        key: what the activations are of: number of layers and the frozen values.
        kept: hidden states by the sample's row in the training set, [num_tokens, width].
        size_bytes: bytes of all that is kept.
    """

    budget_bytes: float
    key: tuple[int, bytes] = (0, b"")
    kept: dict[int, torch.Tensor] = field(default_factory=dict)
    size_bytes: int = 0

    def turn_to(self, depth: int, values: bytes) -> None:
        """Forget everything unless it is of these layers with these values, given by their ``fingerprint``."""
        if self.key != (depth, values):
            self.key, self.size_bytes = (depth, values), 0
            self.kept.clear()

    def keep(self, row: int, hidden: torch.Tensor) -> None:
        """Keep one sample's hidden states if they fit."""
        size = hidden.numel() * hidden.element_size()
        if self.size_bytes + size <= self.budget_bytes:
            self.kept[row] = hidden
            self.size_bytes += size


@dataclass
class FrozenPrefix:
    """Runs a network whose first layers are frozen.

    Every sample goes through the frozen layers alone, in a batch of one and without dropout: the bits do not depend on
    its company in a batch, so a cached activation is that of a recomputation.

    Attributes:
        split: the network, cut after its frozen layers; the frozen values are loaded.
        cache: the client's, turned to these layers.
        known: rows that the client itself holds activations of; grows. The cache may hold fewer after a resumed run.
        misses: samples that the client had to run through the frozen layers so far.
    """

    split: Split
    cache: ActivationCache
    known: set[int] = field(default_factory=set)
    misses: int = 0

    def __call__(self, rows: NDArray[np.int64], inputs: Mapping[str, torch.Tensor]) -> Any:
        """Return the network's output for samples ``rows`` of the training set, whose inputs are ``inputs``."""
        return self.split.suffix(self.hidden(rows, inputs), inputs)

    def hidden(self, rows: NDArray[np.int64], inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the hidden states after the frozen layers, [num_samples, num_tokens, width]."""
        wanted = [int(row) for row in rows]
        self.misses += sum(row not in self.known for row in wanted)
        fresh = self._run({row: index for index, row in enumerate(wanted) if row not in self.cache.kept}, inputs)
        states = [fresh[row] if row in fresh else self.cache.kept[row] for row in wanted]
        for row, state in fresh.items():
            self.cache.keep(row, state)
        self.known.update(row for row in wanted if row in self.cache.kept)
        return torch.stack(states)

    def _run(self, places: Mapping[int, int], inputs: Mapping[str, torch.Tensor]) -> dict[int, torch.Tensor]:
        """Return the hidden states of some rows, given where in ``inputs`` they are."""
        if not places:
            return {}
        module, training = self.split.module, self.split.module.training
        module.eval()
        try:
            with torch.no_grad():
                return {
                    row: self.split.prefix({name: values[at : at + 1] for name, values in inputs.items()})[0]
                    for row, at in places.items()
                }
        finally:
            module.train(training)
