"""Networks drawn fresh, and which model goes with which task."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import GPT2Config, GPT2LMHeadModel, ViTForImageClassification

from channel.errors import UserError
from ran.learning.adapters import Full, HeadOnly
from ran.learning.models import GlyphVit, HuggingFace, TinyGpt, TinyVit, model_problems
from ran.learning.tasks import ImageClassification
from ran.learning.tasks.network import load_base
from tests.ran.learning.conftest import digits_learner


def drawn(model, kind, names=(), seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return load_base(model, kind, names)


def test_tiny_gpt_is_gpt2_of_its_sizes():
    """Oracle: GPT-2's parameter count by hand, output and input vectors shared; the draw follows torch's seed."""
    width, layers, context = 24, 3, 40
    network = drawn(TinyGpt(width=width, layers=layers, context=context, heads=2), "causal_lm")
    block = 4 * width + (3 * width**2 + 3 * width) + (width**2 + width) + (8 * width**2 + 5 * width)
    assert sum(each.numel() for each in network.parameters()) == (256 + context) * width + layers * block + 2 * width
    assert isinstance(network, GPT2LMHeadModel)
    assert not network.training
    again, other = (drawn(TinyGpt(), "causal_lm", seed=seed).lm_head.weight for seed in (0, 1))
    assert torch.equal(drawn(TinyGpt(), "causal_lm").lm_head.weight, again)
    assert not torch.equal(again, other)


def test_tiny_gpt_sees_no_future():
    """Property: a later token changes no earlier prediction."""
    network = drawn(TinyGpt(), "causal_lm")
    tokens = torch.arange(20)[None]
    changed = tokens.clone()
    changed[0, 12:] += 7
    with torch.inference_mode():
        one, other = network(input_ids=tokens).logits, network(input_ids=changed).logits
    assert torch.allclose(one[0, :12], other[0, :12], atol=1e-6)
    assert not torch.allclose(one[0, 12], other[0, 12], atol=1e-3)


def test_tiny_vit_has_the_data_s_classes():
    """Oracle: its own configuration, and the logits' shape."""
    network = drawn(TinyVit(layers=1, width=16), "image_classification", ("a", "b", "c"))
    assert isinstance(network, ViTForImageClassification)
    assert network.config.id2label == {0: "a", 1: "b", 2: "c"}
    with torch.inference_mode():
        assert network(pixel_values=torch.zeros(2, 3, 32, 32)).logits.shape == (2, 3)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: TinyGpt(width=10, heads=3), "width 10 cannot be shared by 3 heads; make it a multiple of heads"),
        (lambda: TinyVit(width=10, heads=3), "width 10 cannot be shared by 3 heads"),
        (lambda: TinyVit(patch_size=5), "image_size 32 is no multiple of patch_size 5"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(make, sentence):
    """Oracle: the sentence."""
    with pytest.raises(ValidationError, match=sentence):
        make()


def test_what_does_not_go_together_is_said():
    """Oracle: the sentences; what goes together has none."""
    assert model_problems(TinyGpt(), "causal_lm", "full") == []
    assert model_problems(GlyphVit(), "image_classification", "lora") == []
    assert model_problems(HuggingFace(path="gpt2"), "causal_lm", "lora") == []
    [problem] = model_problems(GlyphVit(), "causal_lm", "lora")
    assert problem == (
        "glyph_vit cannot do causal_lm; choose huggingface or tiny_gpt, or a task of image_classification"
    )
    [problem] = model_problems(TinyVit(), "image_classification", "lora")
    assert problem.endswith("set learning.adapter: full, or choose a pre-trained model")
    with pytest.raises(UserError, match="tiny_gpt does causal_lm, not image_classification; choose another"):
        drawn(TinyGpt(), "image_classification", ("a", "b"))


def test_a_fresh_network_is_saved_whole_and_trains(tmp_path, images_npz):
    """Oracle: Transformers reads it back with the trained weights; colour images of 32 x 32 need no remedy."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    learner = digits_learner(
        task=ImageClassification(train=images_npz(32, 32, 3, classes=3, x_train=colours)),
        model=TinyVit(layers=1, width=16), adapter=Full(), num_clients=2,
    )  # fmt: skip
    update = learner.train(0, learner.initial(), 0)
    arrays = {name: array + update.arrays[name] for name, array in learner.initial().items()}
    learner.save(arrays, tmp_path)
    loaded = ViTForImageClassification.from_pretrained(tmp_path)
    np.testing.assert_array_equal(loaded.classifier.weight.detach().numpy(), arrays["classifier.weight"])


def test_a_language_model_has_no_head_to_train_alone(tmp_path):
    """Oracle: the sentence."""
    GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="gpt2 has no classifier to train alone; choose lora or full"):
        HeadOnly().attach(load_base(HuggingFace(path=str(tmp_path)), "causal_lm", ()))
