"""FLOPs of a network, counted on the operations that it really executes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

TRAINING_OVER_FORWARD = 3
"""Training on a sample is a forward pass and a backward pass of twice its FLOPs."""


def forward_flops(module: Any, inputs: Mapping[str, torch.Tensor]) -> int:
    """Return the FLOPs of one forward pass of ``inputs``: matrix products and convolutions, 2 per multiply-add.

    Normalisations, activations and other element-wise operations are not counted.
    """
    return flops_of(lambda: module(**inputs))


def flops_of(compute: Callable[[], object]) -> int:
    """Return the FLOPs of what ``compute`` does."""
    # The fused attention kernel of the CPU is unknown to the counter; its mathematical form is two matrix products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        compute()
    return int(counter.get_total_flops())
