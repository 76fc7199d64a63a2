"""One batch through a split network, message by message: activations up, gradients down."""

from __future__ import annotations

from collections.abc import Callable, Generator, Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ran.learning.split.masks import pack_masks, unpack_masks
from ran.learning.split.payload import Payload, decode_tensor, encode_tensor, pack_labels, unpack_labels
from ran.learning.split.stages import evaluating
from ran.learning.tasks.task import IGNORED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.compression.compressor import Compressor
    from ran.learning.frozen_prefix import ActivationCache
    from ran.learning.split.cut import Node
    from ran.learning.split.draws import Draws
    from ran.learning.split.party import Outcome, Party
    from ran.learning.split.split_network import SplitNetwork

Kind = Literal["activations", "gradients"]


@dataclass(frozen=True)
class Batch:
    """Samples of one UE.

    Attributes:
        rows: which they are of the training set, int64 [num_samples], all different.
        inputs: the network's named inputs, first axis samples.
        labels: [num_samples], or [num_samples, num_tokens] of a language model.
    """

    rows: NDArray[np.int64]
    inputs: Mapping[str, torch.Tensor]
    labels: torch.Tensor

    def part(self, which: Sequence[int]) -> Batch:
        """Return some of the samples."""
        chosen = list(which)
        inputs = {name: values[chosen] for name, values in self.inputs.items()}
        return Batch(self.rows[chosen], inputs, self.labels[chosen])


@dataclass(frozen=True)
class Message:
    """What one node sends another in the course of a batch.

    Attributes:
        sender: the node.
        receiver: the node on the other side of the cut.
        cut: its number, from the input on.
        kind: activations (towards the loss) or gradients (back from it).
        payload: what crosses.
    """

    sender: Node
    receiver: Node
    cut: int
    kind: Kind
    payload: Payload


@dataclass
class Errors:
    """What the senders of one UE's tensors remember of each sample, by cut and direction; see SmashedData."""

    kept: dict[tuple[int, Kind], Arrays] = field(default_factory=dict)


Heard = Callable[[Batch, torch.Tensor], None]
"""What listens at the first cut's receiver: it may keep what it is given, and changes nothing."""


def exchange(
    split: SplitNetwork,
    parties: Mapping[Node, Party],
    batch: Batch,
    *,
    key: Hashable,
    rng: np.random.Generator,
    errors: Errors,
    draws: Draws | None = None,
    width: float = 1.0,
    report_losses: bool = False,
    features: ActivationCache | None = None,
    heard: Heard | None = None,
    share: float = 1.0,
) -> Generator[Message, None, Outcome]:
    """Yield the messages of one batch, and return its loss; gradients stay in the parties' leaves.

    The caller takes the next message when the last one has arrived, whatever else it does meanwhile. What a sender
    remembers of a message changes only then. A batch that will not go on is closed (``close()``), which frees the
    graphs of all parties, as does letting go of the generator.

    Gradients are sent back as far as there is anything to train: none to a frozen UE.

    Args:
        split: the network.
        parties: who computes, by node.
        batch: the UE's samples.
        key: names the batch among those in flight.
        rng: of the UE, for compressors that round at random.
        errors: of the UE's tensors; empty before its first batch.
        draws: the random stream of dropout in this batch; None: torch's own.
        width: of the codes of a slimmable bottleneck.
        report_losses: send the UE each sample's loss, for the filter, where it does not compute them itself.
        features: what the receiver of the first cut has of the UE's samples, where the first stage is frozen (client-
            frozen mode): only those of samples that it lacks are computed, each alone and without dropout, and sent.
        heard: called with samples and the activations that were received of them across the first cut.
        share: of the labels of a whole batch, of which this is a part: its gradients count so much.
    """
    parties_of = [parties[stage.node] for stage in split.stages]
    side = _Side(split, batch, rng, errors, heard)
    try:
        inputs, labels, arriving = batch.inputs, batch.labels, None
        start = 0
        if features is not None:
            assert not parties_of[0].learns(0), "features of a stage that is trained change"
            start, arriving = 1, (yield from _features(side, parties_of[0], features, key, width))
            inputs = split.view(1, inputs)
        for number, party in enumerate(parties_of[start:-1], start):
            output = party.forward(key, number, inputs, arriving, draws=draws, width=width)
            learning = any(each.learns(at) for at, each in enumerate(parties_of[: number + 1]))
            message = side.towards_loss(number, output)
            yield message
            arriving, inputs, labels = side.arrived(message, output)
            arriving.requires_grad_(learning)
        last = len(parties_of) - 1
        assert arriving is not None, "a split network has two stages or more"
        outcome, gradient = parties_of[last].answer(
            last, inputs, arriving, labels, draws=draws, width=width, share=share
        )
        losses = outcome.losses if report_losses and split.stages[last].node != "ue" else None
        del arriving
        for number in reversed(range(last)):
            if gradient is None:
                break
            message = side.back(number, gradient, losses)
            yield message
            gradient = parties_of[number].backward(key, number, side.received(message, gradient))
        return outcome
    finally:
        for party in parties_of:
            party.drop(key)


def _features(
    side: _Side, party: Party, store: ActivationCache, key: Hashable, width: float
) -> Generator[Message, None, torch.Tensor]:
    """Yield the message with the features that the receiver lacks, if any, and return those of the whole batch."""
    store.turn_to(round(1e6 * width), b"")
    rows = side.batch.rows.tolist()
    fresh = dict[int, torch.Tensor]()
    if lacking := [at for at, row in enumerate(rows) if row not in store.kept]:
        part = replace(side, batch=side.batch.part(lacking))
        alone = [part.batch.part([at]).inputs for at in range(len(lacking))]
        with evaluating(side.split.module):
            output = torch.cat([party.forward(key, 0, inputs, None, width=width) for inputs in alone])
        message = part.towards_loss(0, output)
        yield message
        for at, hidden in zip(lacking, part.received(message, output), strict=True):
            fresh[rows[at]] = hidden.clone()
            store.keep(rows[at], fresh[rows[at]])
    return torch.stack([fresh[row] if row in fresh else store.kept[row] for row in rows])


def run_exchange(messages: Generator[Message, None, Outcome]) -> tuple[Outcome, list[Message]]:
    """Return what an exchange comes to when every message arrives at once, and the messages."""
    sent = []
    with closing(messages):
        while True:
            try:
                sent.append(next(messages))
            except StopIteration as stop:
                return stop.value, sent


@dataclass
class _Side:
    """Makes one batch's messages and reads them."""

    split: SplitNetwork
    batch: Batch
    rng: np.random.Generator
    errors: Errors
    heard: Heard | None = None
    next_memory: Arrays = field(default_factory=dict)

    def towards_loss(self, cut: int, output: torch.Tensor) -> Message:
        """Return the message that carries activations, with masks and labels where the receiver is not the UE."""
        sender, receiver = self.split.stages[cut].node, self.split.stages[cut + 1].node
        payload = self._encoded(cut, "activations", output)
        if receiver != "ue":
            loss_is_there = self.split.stages[-1].node != "ue"
            labels = self.batch.labels
            packed = pack_labels(labels, self.split.num_classes(labels)) if loss_is_there else b""
            payload = Payload(payload.tensor, payload.value_bytes, pack_masks(self.batch.inputs), packed)
        return Message(sender, receiver, cut, "activations", payload)

    def back(self, cut: int, gradient: torch.Tensor, losses: np.ndarray | None) -> Message:
        """Return the message that carries gradients, and the samples' losses if there are any to report."""
        payload = self._encoded(cut, "gradients", gradient)
        if losses is not None:
            packed = losses.astype("<f2").tobytes()
            payload = Payload(payload.tensor, payload.value_bytes, losses=packed)
        return Message(self.split.stages[cut + 1].node, self.split.stages[cut].node, cut, "gradients", payload)

    def arrived(
        self, message: Message, like: torch.Tensor
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor], torch.Tensor]:
        """Return activations, inputs and labels as the receiver knows them."""
        tensor, payload, batch = self.received(message, like), message.payload, self.batch
        if message.receiver == "ue":
            return tensor, batch.inputs, batch.labels
        inputs = self.split.view(message.cut + 1, batch.inputs, unpack_masks(payload.masks, batch.inputs))
        labels = batch.labels
        if payload.labels:
            labels = unpack_labels(payload.labels, labels, self.split.num_classes(labels), IGNORED)
        return tensor, inputs, labels

    def received(self, message: Message, like: torch.Tensor) -> torch.Tensor:
        """Return the tensor of a message that has arrived; its sender's memory moves on."""
        if self._compressor(message.kind).remembers:
            # Those of its own samples: other batches may have moved on since it was sent.
            kept = self.errors.kept.get((message.cut, message.kind), {})
            own = {str(row): self.next_memory[str(row)] for row in self.batch.rows.tolist()}
            self.errors.kept[message.cut, message.kind] = kept | own
        tensor = decode_tensor(message.payload, self._compressor(message.kind), like.shape).to(like.device)
        if self.heard is not None and message.cut == 0 and message.kind == "activations":
            self.heard(self.batch, tensor)
        return tensor

    def _encoded(self, cut: int, kind: Kind, values: torch.Tensor) -> Payload:
        known = self.errors.kept.get((cut, kind), {})
        rows = self.batch.rows.tolist()
        payload, self.next_memory = encode_tensor(values, self._compressor(kind), self.rng, known, rows)
        return payload

    def _compressor(self, kind: Kind) -> Compressor:
        return self.split.data.activations if kind == "activations" else self.split.data.gradients
