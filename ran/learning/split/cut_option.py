"""A cut and a quantiser in the numbers by which they are chosen: FLOPs, memory, values and bits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

from ran.learning.adaptation.menu import CutOption, Quantiser
from ran.learning.payload import encode
from ran.learning.split.masks import masks_of
from ran.learning.split.payload import encode_tensor, pack_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ran.learning.compression.compressor import Compressor
    from ran.learning.learner import Learner
    from ran.learning.split.counting import SideCount
    from ran.learning.split.cut import Node
    from ran.learning.split.settings import SplitLearning
    from ran.learning.split.smashed_data import SmashedData
    from ran.learning.split.split_network import SplitNetwork

_LOSS_BYTES = 2
_SAMPLES = 4


def cut_option(
    network: SplitNetwork, counts: Mapping[Node, SideCount], learner: Learner, split: SplitLearning
) -> CutOption:
    """Return the network's first cut in numbers; labels, masks and reported losses as the payloads carry them."""
    batch = learner.batch_of(0, np.zeros(1, np.int64))
    up_bytes, loss_is_there = 0.0, network.stages[-1].node != "ue"
    if network.stages[1].node != "ue":
        up_bytes += sum(mask.numel() for mask in masks_of(batch.inputs).values()) / 8
        up_bytes += len(pack_labels(batch.labels, network.num_classes(batch.labels))) if loss_is_there else 0
    return CutOption(
        after=network.cut_after(0),
        ue_flops=counts["ue"].forward_flops,
        server_flops=counts["gnb"].forward_flops,
        memory_bytes=counts["ue"].memory_bytes(learner.algorithm.batch_size * (1 + split.ahead)),
        values=math.prod(_code_shape(network)),
        uplink_aside_bytes=up_bytes,
        downlink_aside_bytes=_LOSS_BYTES if split.filter and loss_is_there else 0,
        side_bytes=len(encode(network.initial("ue"))),
    )


def quantiser_of(network: SplitNetwork, data: SmashedData) -> Quantiser:
    """Return the bits of a value and a sample, as a few samples' random tensors take them at full width."""
    up, down = (_bits(network, each) for each in (data.activations, data.gradients))
    name = data.activations.name
    if data.gradients != data.activations:
        name = f"{name}, back {data.gradients.name}"
    return Quantiser(name, *up, *down)


def _bits(network: SplitNetwork, compressor: Compressor) -> tuple[float, float]:
    """Return the bits of a value, and those of a sample's scale, or positions."""
    rng = np.random.default_rng(0)
    tensor = torch.from_numpy(rng.standard_normal((_SAMPLES, *_code_shape(network)), np.float32))
    payload, _ = encode_tensor(tensor, compressor, rng, {}, range(_SAMPLES))
    return 8 * payload.value_bytes / tensor.numel(), 8 * payload.scale_bytes / _SAMPLES


def _code_shape(network: SplitNetwork) -> tuple[int, ...]:
    """Return the shape of one sample at the first cut, at full width."""
    bottleneck, shape = network.data.bottleneck, network.hidden_shapes[0]
    return (*shape[:-1], bottleneck.size) if bottleneck else shape
