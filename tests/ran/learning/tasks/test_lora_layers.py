"""LoRA layers in any rank, and merged weights, against PEFT's own loading and dense arithmetic."""

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, ViTForImageClassification

from ran.learning.low_rank import Factors, factors, in_rank, named
from ran.learning.models import GlyphVit
from ran.learning.tasks.lora_layers import LoraLayers
from tests.ran.learning.bare_problem import glyph_lora, glyph_network

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT 0.21
IMAGES = torch.linspace(-1, 1, 3 * 64).reshape(3, 1, 8, 8)


def logits_of(network, images=IMAGES):
    with torch.inference_mode():
        return network.module(pixel_values=images).logits


def drawn(network, rank, seed=0):
    """Return factors of one rank with a B that is not zero."""
    rng = np.random.default_rng(seed)
    start = in_rank(network.read(), rank)
    return {name: 0.2 * rng.standard_normal(array.shape).astype(np.float32) for name, array in start.items()}


def base_bits(network):
    return {name: layer.get_base_layer().weight.detach().clone() for name, layer in network.lora.layers.items()}


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_any_rank_loads_and_saves_as_peft_would(rank, tmp_path):
    """Oracle: PeftModel.from_pretrained of what was saved: equal bits, scaled by alpha over the loaded rank."""
    network = glyph_network(glyph_lora(rank=8))
    arrays = drawn(network, rank)
    network.load(arrays)
    network.save(tmp_path)
    theirs = PeftModel.from_pretrained(ViTForImageClassification.from_pretrained(GlyphVit().source), tmp_path).eval()
    with torch.inference_mode():
        assert torch.equal(logits_of(network), theirs(pixel_values=IMAGES).logits)
    assert all((network.read()[name] == array).all() for name, array in arrays.items())


def test_ranks_that_differ_between_layers_load_and_save(tmp_path):
    """Oracle: PEFT again, told by its rank pattern."""
    network = glyph_network(glyph_lora(rank=8))
    layers = factors(drawn(network, 8))
    mixed = {name: each.resized(2 + index) for index, (name, each) in enumerate(layers.items())}
    network.load(named(mixed, network.read()))
    network.save(tmp_path)
    theirs = PeftModel.from_pretrained(ViTForImageClassification.from_pretrained(GlyphVit().source), tmp_path).eval()
    with torch.inference_mode():
        assert torch.equal(logits_of(network), theirs(pixel_values=IMAGES).logits)


def test_a_smaller_rank_trains_after_a_larger_one():
    """Property: gradients have the new shapes, and a step changes what it should."""
    network = glyph_network(glyph_lora(rank=8))
    for rank in (8, 2, 5):
        network.load(drawn(network, rank))
        optimizer = torch.optim.SGD(network.trainable.values(), lr=0.1)
        network.module(pixel_values=IMAGES).logits.sum().backward()
        optimizer.step()
        shapes = {parameter.grad.shape for parameter in network.trainable.values()}
        assert shapes == {torch.Size([rank, 64]), torch.Size([64, rank])}


def test_merged_factors_act_as_loaded_ones_and_leave_no_trace():
    """Oracle: the same factors loaded as the adapter; after the next load the pre-trained bits are back."""
    network = glyph_network(glyph_lora(rank=4))
    start, stack = network.read(), drawn(network, 6)
    before, plain = base_bits(network), logits_of(network)
    network.load(stack)
    loaded = logits_of(network)
    network.load(start)
    network.merge(stack)
    torch.testing.assert_close(logits_of(network), loaded, atol=2e-5, rtol=0)
    assert not torch.equal(loaded, plain)
    network.load(start)
    assert torch.equal(logits_of(network), plain)
    assert all(torch.equal(weight, before[name]) for name, weight in base_bits(network).items())


def test_two_merges_add_up_and_an_empty_one_changes_nothing():
    """Oracle: one merge of the stack of both."""
    network = glyph_network(glyph_lora(rank=4))
    start, one, two = network.read(), drawn(network, 2, seed=1), drawn(network, 3, seed=2)
    network.load(start)
    network.merge({name: array[:0] if "lora_A" in name else array[:, :0] for name, array in start.items()})
    plain = logits_of(network)
    network.merge(one)
    network.merge(two)
    got = logits_of(network)
    network.load(start)
    assert torch.equal(logits_of(network), plain)
    network.merge(one)
    assert not torch.allclose(logits_of(network), got, atol=1e-4)
    network.merge(two)
    torch.testing.assert_close(logits_of(network), got)


def test_transposed_layers_merge_transposed():
    """Oracle: PEFT's own merge of the same factors into GPT-2's Conv1D weights, stored inputs x outputs."""
    config = GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=11, n_positions=8)
    model = get_peft_model(
        GPT2LMHeadModel(config), LoraConfig(r=2, lora_alpha=16, target_modules=["c_attn"], fan_in_fan_out=True)
    )
    layers = LoraLayers.of(model)
    (name,) = layers.layers
    layer, rng = layers.layers[name], np.random.default_rng(0)
    each = Factors(*(rng.standard_normal(shape).astype(np.float32) for shape in ((2, 8), (24, 2))))
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_(torch.from_numpy(each.a))
        layer.lora_B["default"].weight.copy_(torch.from_numpy(each.b))
    expected = layer.get_base_layer().weight.detach() + layer.get_delta_weight("default").detach()
    layers.merge({f"{name}.lora_A.weight": each.a, f"{name}.lora_B.weight": each.b})
    torch.testing.assert_close(layer.get_base_layer().weight.detach(), expected)
