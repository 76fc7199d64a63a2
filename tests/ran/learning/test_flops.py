"""FLOPs against the closed form of a vision transformer."""

import pytest
import torch

from ran.learning.adapters import Full, Lora
from ran.learning.flops import forward_flops
from ran.learning.models import GlyphVit
from ran.learning.tasks.network import load_base
from tests.ran.learning.conftest import digits_learner

TOKENS, PATCHES, WIDTH, HIDDEN, LAYERS, CLASSES, PATCH_PIXELS = 17, 16, 64, 128, 3, 10, 4


def vit_multiply_adds(rank: int, head_copies: int) -> int:
    """Patches, then per layer q k v o, two products of attention, two of the MLP and LoRA's on q and v; the head."""
    attention = 4 * TOKENS * WIDTH**2 + 2 * TOKENS**2 * WIDTH
    layer = attention + 2 * TOKENS * WIDTH * HIDDEN + 2 * TOKENS * 2 * rank * WIDTH
    return PATCHES * PATCH_PIXELS * WIDTH + LAYERS * layer + head_copies * WIDTH * CLASSES


@pytest.mark.parametrize(("adapter", "rank"), [(Full(), 0), (Lora(rank=8), 8), (Lora(rank=3), 3)])
def test_forward_flops_of_a_vit(adapter, rank):
    """Oracle: closed form, 2 FLOPs per multiply-add, attention's two products included; linear in the batch."""
    module = adapter.attach(load_base(GlyphVit(), "image_classification", tuple("0123456789"))).module.eval()
    images = torch.zeros(1, 1, 8, 8)
    assert forward_flops(module, {"pixel_values": images}) == 2 * vit_multiply_adds(rank, head_copies=1)
    assert forward_flops(module, {"pixel_values": images.repeat(5, 1, 1, 1)}) == 10 * vit_multiply_adds(rank, 1)


def test_training_costs_three_forward_passes_a_sample(learner):
    """Oracle: REFERENCE section 5, backward counted as twice forward; local epochs multiply."""
    expected = 3 * 2 * vit_multiply_adds(rank=8, head_copies=1)
    update = learner.train(3, learner.initial(), 0)
    assert update.flops == expected * learner.num_samples[3]
    twice = digits_learner(algorithm=learner.algorithm.model_copy(update={"local_epochs": 2, "batch_size": 64}))
    assert twice.train(3, twice.initial(), 0).flops == 2 * update.flops
