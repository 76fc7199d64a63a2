"""The frozen layers of the network that all clients share, and what each client keeps of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ran.learning.algorithms.algorithm import part, prefixed
from ran.learning.flops import TRAINING_OVER_FORWARD, flops_of, forward_flops
from ran.learning.freezing import without
from ran.learning.frozen_prefix import ActivationCache, FrozenPrefix, fingerprint
from ran.learning.layers import layer_groups, split_layers

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Arrays, ClientUpdate
    from ran.learning.freezing import Freezing
    from ran.learning.tasks.network import Network

_HELD, _DEPTH, _ROWS = "held", "depth", "rows"


class FrozenLayers:
    """The first layers of a network, frozen for good, one after another.

    A client's memory says which samples it holds activations of (``held/rows``, of ``held/depth`` layers), so that a
    resumed run charges it for no more than it computed; the activations themselves are only a cache.

    Attributes:
        groups: names of the trainable parameters of every layer, from the input on.
        depth: layers frozen so far.

    Raises UserError where the network has no single stack of transformer layers.
    """

    def __init__(self, network: Network, sample: Mapping[str, torch.Tensor], freezing: Freezing) -> None:
        self.groups = layer_groups(network.module, network.trainable, sample)
        self.depth = 0
        self._network, self._sample = network, dict(sample)
        self._every = dict(network.trainable)
        self._budget_bytes = 1e6 * freezing.cache_mb
        self._caches = dict[int, ActivationCache]()
        self._values = b""
        self._whole = float(forward_flops(network.module, sample))
        self._first = 0.0

    def names(self, depth: int | None = None, since: int = 0) -> frozenset[str]:
        """Return the names of the parameters of layers ``since`` to ``depth``; by default of all frozen ones."""
        return frozenset().union(*self.groups[since : self.depth if depth is None else depth])

    def freeze(self, depth: int, model: Arrays) -> None:
        """Freeze the first ``depth`` layers with the values that they have in ``model``, which has all of them."""
        if depth == self.depth:
            return
        network, frozen = self._network, self.names(depth)
        network.load({name: model[name] for name in network.trainable})
        for name in frozen & network.trainable.keys():
            network.trainable.pop(name).requires_grad_(False)
        self.depth = depth
        self._values = fingerprint({name: model[name] for name in frozen})
        split = split_layers(network.module, depth)
        self._first = float(flops_of(lambda: split.prefix(self._sample)))

    def thaw(self) -> None:
        """Let every layer be trained again, as before the first round."""
        self.depth, self._first = 0, 0.0
        self._caches.clear()
        self._network.trainable.clear()
        self._network.trainable.update(self._every)
        for parameter in self._every.values():
            parameter.requires_grad_(True)

    @property
    def flops_per_sample(self) -> float:
        """FLOPs of training the layers that are left on one sample, given the hidden states before them."""
        return TRAINING_OVER_FORWARD * self.forward_flops_per_sample

    @property
    def forward_flops_per_sample(self) -> float:
        """FLOPs of the forward pass of the layers that are left."""
        return self._whole - self._first

    def prefix(self, client: int, memory: Arrays) -> FrozenPrefix | None:
        """Return what runs the frozen layers for a client of such a memory; None while there are none."""
        if not self.depth:
            return None
        held = part(_HELD, memory)
        known = set(held[_ROWS].tolist()) if held and int(held[_DEPTH]) == self.depth else set()
        cache = self._caches.setdefault(client, ActivationCache(self._budget_bytes))
        cache.turn_to(self.depth, self._values)
        return FrozenPrefix(split_layers(self._network.module, self.depth), cache, known)

    def own(self, memory: Arrays) -> Arrays:
        """Return what the algorithm itself remembers of the layers that are left."""
        return without({name: each for name, each in memory.items() if not name.startswith(f"{_HELD}/")}, self.names())

    def concluded(self, update: ClientUpdate, prefix: FrozenPrefix | None) -> ClientUpdate:
        """Return the update with the FLOPs of the frozen layers, and the samples that the client holds now."""
        if prefix is None:
            return update
        held: Arrays = {_DEPTH: np.array(self.depth), _ROWS: np.array(sorted(prefix.known))}
        flops = update.flops + prefix.misses * self._first
        return replace(update, flops=flops, memory=update.memory | prefixed(_HELD, held))
