"""Streaming DiLoCo: DiLoCo whose rounds exchange one fragment of the model each, in four bits if wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from ran.learning.algorithms.algorithm import (
    ALGORITHMS,
    ClientUpdate,
    Descent,
    Problem,
    Server,
    combine,
    descend,
    difference,
    part,
    prefixed,
    weighted_mean,
)
from ran.learning.algorithms.diloco import OuterNesterov, resume, suspended
from ran.learning.algorithms.quantisation import Quantisation, dequantised, quantised

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays, Report


@ALGORITHMS.register("streaming_diloco")
class StreamingDiLoCo(OuterNesterov):
    """DiLoCo by fragments, with overlap and quantised outer gradients (Douillard et al., arXiv 2501.18512).

    The model's layers are dealt to P fragments. Every client keeps a replica of the model of its own, y_k, trains all
    of it in every round, and in round r = 0, 1, ... sends how far fragment p = r mod P has moved since it last
    received it, y_k,p - x_p. The server takes DiLoCo's outer step on x_p alone and sends it down at the
    start of the next round. There the client first takes ``overlap_steps`` (tau) steps, as if x_p were
    still on its way, and then mixes: y_k,p <- mixing y_k,p + (1 - mixing) x_p. Without overlap x_p just replaces y_k,p.

    One round is the paper's H / P inner steps, each fragment is exchanged every P rounds, and a round's
    payloads are 1/P of DiLoCo's both ways; ``quantisation`` shrinks the uplink further, exactly (see ``quantised``).
    P = 1 without quantisation and overlap is DiLoCo. There are at most as many fragments as layers with trained
    parameters. The overlap is that of the algorithm: on the virtual clock training still waits for the download.

    The paper's replicas all take part at all times. Here a UE that was absent goes on from its own replica, and gets
    the fragments that it missed when they are next due; one that is new has the initial values there.
    """

    needs: ClassVar[Literal["superpose", "deliver"]] = "deliver"

    fragments: int = Field(default=4, ge=1, le=10_000, description="P; a round exchanges one of them")
    pattern: Literal["sequential", "strided"] = Field(
        default="strided", description="neighbouring layers in one fragment, or every P-th layer"
    )
    overlap_steps: int = Field(default=0, ge=0, le=1_000_000, description="tau, steps taken before x_p comes in")
    mixing: float = Field(default=0.5, ge=0, le=1, description="part of the own values after an overlap")
    quantisation: Quantisation = Field(default="none", description="of what goes up: 32, 8 or 4 bits a value")

    def problems(self) -> list[str]:
        """Return a sentence when the overlap is longer than a round."""
        if self.local_steps is None or self.overlap_steps <= self.local_steps:
            return []
        return [
            f"`overlap_steps`: {self.overlap_steps} steps do not fit into a round of {self.local_steps}; lower it, or "
            "raise local_steps"
        ]

    def broadcast(self, server: Server) -> Arrays:
        """Return the round and, in one array, the fragment of the last outer step."""
        import numpy as np

        names = self.due(server.model, server.round - 1)
        number: NDArray[np.int64] = np.array(server.round)
        return {"round": number, "values": _joined(server.model, names)}  # type: ignore[dict-item]

    def client_step(self, received: Arrays, problem: Problem, rng: np.random.Generator, memory: Arrays) -> ClientUpdate:
        """Return the move of the fragment that is due; replica, x and the inner optimiser's state to remember."""
        number = int(received["round"])
        replica, known = part("replica", memory) or problem.initial, part("known", memory) or problem.initial
        fragment = _split(received["values"], known, self.due(known, number - 1))
        known = known | fragment
        is_new = not memory
        overlap, mixing = (0, 0.0) if is_new or not self.overlap_steps else (self.overlap_steps, self.mixing)

        problem.load(replica)
        optimizer = self.new_optimizer(problem.parameters())
        resume(optimizer, replica, part("inner", memory))
        batches = self.batches(problem.num_samples, rng)
        before = descend_some(problem, optimizer, islice(batches, overlap))
        replica = problem.read()
        problem.load(replica | combine(fragment, (1 - mixing, fragment), (mixing, replica)))
        after = descend_some(problem, optimizer, batches)
        replica = problem.read()

        due = self.due(known, number)
        moved = {name: difference({name: replica[name]}, {name: known[name]})[name] for name in due}
        passes = before.num_passes + after.num_passes
        return ClientUpdate(
            arrays=quantised(moved, self.quantisation),
            num_samples=problem.num_samples,
            num_steps=before.num_steps + after.num_steps,
            train_loss=(before.loss * before.num_passes + after.loss * after.num_passes) / passes,
            flops=passes * problem.flops_per_sample,
            memory=prefixed("replica", replica) | prefixed("known", known)
            | prefixed("inner", suspended(optimizer, replica)),
        )  # fmt: skip

    def aggregate(self, server: Server, updates: Sequence[Arrays], reports: Sequence[Report]) -> Server:
        """Return the server after the outer step of the fragment that is due, the other fragments as they were."""
        like = {name: server.model[name] for name in self.due(server.model, server.round)}
        moved = [dequantised(update, like, self.quantisation) for update in updates]
        mean = weighted_mean(moved, [self.weight(report) for report in reports])
        return replace(self.server_step(server, mean, reports), round=server.round + 1)

    def due(self, model: Iterable[str], number: int) -> list[str]:
        """Return the names of the parameters that are exchanged at the end of round ``number`` (from 0)."""
        fragments = fragment_names(model, self.fragments, self.pattern)
        return fragments[number % len(fragments)]


def fragment_names(
    names: Iterable[str], count: int, pattern: Literal["sequential", "strided"] = "strided"
) -> list[list[str]]:
    """Return the names of each fragment's parameters, sorted; whole layers, and fewer fragments where layers are few.

    A layer is what goes by one number (encoder.layer.3, net.0), else one module. Layers are ordered by name,
    numbers by size.

    >>> fragment_names(["net.10.bias", "net.2.weight", "net.2.bias", "head.bias"], 2)
    [['head.bias', 'net.10.bias'], ['net.2.bias', 'net.2.weight']]
    """
    layers: dict[str, list[str]] = {}
    for name in sorted(names):
        layers.setdefault(_layer(name), []).append(name)
    ordered = [layers[layer] for layer in sorted(layers, key=_by_number)]
    count = min(count, len(ordered))
    if pattern == "strided":
        parts = [ordered[start::count] for start in range(count)]
    else:
        bounds = [len(ordered) * index // count for index in range(count + 1)]
        parts = [ordered[start:stop] for start, stop in pairwise(bounds)]
    return [sorted(name for layer in fragment for name in layer) for fragment in parts]


def _layer(name: str) -> str:
    numbered = re.match(r"(?:.*?\.)?\d+(?=\.)", name)
    return numbered.group() if numbered else name.rpartition(".")[0] or name


def _by_number(layer: str) -> list[tuple[int, str]]:
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in layer.split(".")]


def descend_some(problem: Problem, optimizer: torch.optim.Optimizer, batches: Iterable[NDArray[np.int64]]) -> Descent:
    """Return ``descend`` of the batches, or the bookkeeping of no step where there are none."""
    batches = iter(batches)
    first = next(batches, None)
    return Descent(0, 0, 0.0) if first is None else descend(problem, optimizer, chain([first], batches))


def _joined(arrays: Arrays, names: Sequence[str]) -> NDArray[np.float32]:
    import numpy as np

    return np.concatenate([arrays[name].ravel() for name in names])


def _split(values: NDArray[np.float32], like: Arrays, names: Sequence[str]) -> Arrays:
    """Return what ``_joined`` joined, by name in the shapes and dtypes of ``like``."""
    import numpy as np

    ends = np.cumsum([like[name].size for name in names])[:-1]
    pieces = zip(names, np.split(values, ends), strict=True)
    return {name: piece.reshape(like[name].shape).astype(like[name].dtype) for name, piece in pieces}
