"""The small models: their sizes, their outputs against bare torch functions, their draw, and files that load again."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import AutoModelForImageClassification

from channel.errors import UserError
from ran.learning.adapters import Full
from ran.learning.algorithms.fedavg import FedAvg
from ran.learning.models import MODELS
from ran.learning.small_models import Cnn, Mlp, ResNet
from ran.learning.tasks.network import load_base
from tests.ran.learning.conftest import digits_learner

DIGITS = tuple("0123456789")


def built(model, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return load_base(model, "image_classification", DIGITS)


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        (Mlp(), 64 * 128 + 128 + 128 * 10 + 10),
        (Mlp(hidden=()), 650),
        (Mlp(hidden=(7, 5), image_size=28, channels=3), 28 * 28 * 3 * 7 + 7 + 7 * 5 + 5 + 5 * 10 + 10),
        (Cnn(), 105_766),
        (Cnn(image_size=28), 105_766),
        (Cnn(image_size=32, channels=3), 105_766 + 2 * 9 * 32),
        (ResNet(), 76_450),
        (ResNet(image_size=28, channels=3, stem_stride=2), 76_450 + 2 * 9 * 8),
        (ResNet(stem_width=4, widths=(4,), blocks=2), 9 * 4 + 8 + 2 * 2 * (9 * 4 * 4 + 8) + 4 * 10 + 10),
    ],
)
def test_number_of_parameters(model, parameters):
    """Oracle: counted by hand, layer by layer; 105,766 = 320 + 18,496 + 1024 x 84 + 84 + 84 x 10 + 10."""
    assert sum(each.numel() for each in built(model).parameters()) == parameters


def test_perceptron_is_linear_layers_with_relu_between():
    """Oracle: the same sums in NumPy."""
    network, images = built(Mlp(hidden=(6, 5))), np.random.default_rng(0).random((3, 1, 8, 8), np.float32)
    w = {name: each.detach().numpy() for name, each in network.named_parameters()}
    values = images.reshape(3, 64)
    for layer in range(3):
        values = values @ w[f"layers.{layer}.weight"].T + w[f"layers.{layer}.bias"]
        values = np.maximum(values, 0) if layer < 2 else values
    np.testing.assert_allclose(network(torch.from_numpy(images)).logits.detach().numpy(), values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "first", "second"), [(8, 1, 2), (28, 2, 3), (16, 2, 2)])
def test_convolutional_network_pools_to_four_by_four(size, first, second):
    """Oracle: torch's own functions in a row."""
    network, images = built(Cnn(image_size=size)), torch.rand(2, 1, size, size, generator=torch.Generator())
    w = dict(network.named_parameters())
    values = F.max_pool2d(F.conv2d(images, w["conv1.weight"], w["conv1.bias"], padding=1).relu(), first)
    values = F.max_pool2d(F.conv2d(values, w["conv2.weight"], w["conv2.bias"], padding=1).relu(), second)
    assert values.shape == (2, 64, 4, 4)
    hidden = F.linear(values.reshape(2, -1), w["hidden.weight"], w["hidden.bias"]).relu()
    expected = F.linear(hidden, w["classifier.weight"], w["classifier.bias"])
    torch.testing.assert_close(network(images).logits, expected)


def test_residual_network_adds_what_convolutions_make():
    """Oracle: torch's own functions in a row: a stem of stride 2, a projected block, and one that keeps its shape."""
    network, images = (
        built(ResNet(image_size=9, stem_width=4, stem_stride=2, widths=(8,), blocks=2)),
        torch.rand(2, 1, 9, 9, generator=torch.Generator()),
    )
    w = dict(network.named_parameters())

    def convolved(values, name, norm, stride=1):
        values = F.conv2d(values, w[f"{name}.weight"], stride=stride, padding=1)
        return F.group_norm(values, values.shape[1] // 4, w[f"{norm}.weight"], w[f"{norm}.bias"])

    values = convolved(images, "stem.0", "stem.1", stride=2).relu()
    assert values.shape == (2, 4, 5, 5)
    for block in ("blocks.0", "blocks.1"):
        branch = convolved(values, f"{block}.residual.0", f"{block}.residual.1").relu()
        branch = convolved(branch, f"{block}.residual.3", f"{block}.residual.4")
        shortcut = F.conv2d(values, w["blocks.0.shortcut.weight"]) if block == "blocks.0" else values
        values = (branch + shortcut).relu()
    expected = F.linear(values.mean(dim=(2, 3)), w["classifier.weight"], w["classifier.bias"])
    torch.testing.assert_close(network(images).logits, expected)


@pytest.mark.parametrize("model", [Mlp(), Cnn()])
def test_drawn_uniformly_from_the_seed(model):
    """Oracle: uniform within 1 / sqrt(fan in): the bound, and the standard deviation bound / sqrt(3) within 5 %."""
    first, again, other = (dict(built(model, seed).named_parameters()) for seed in (0, 0, 1))
    for name, values in first.items():
        assert torch.equal(values, again[name])
        assert not torch.equal(values, other[name])
        weight = first[name.replace("bias", "weight")]
        bound = weight[0].numel() ** -0.5
        assert values.abs().max() <= bound
        if values.numel() > 1000:
            assert float(values.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05)


def test_saved_weights_load_again(tmp_path):
    """Property: save, load by Transformers' own class, and the logits are the same bits."""
    for model in (Mlp(hidden=(9,)), Cnn(filters=(3, 4), hidden=5, image_size=28), ResNet(widths=(8,))):
        learner = digits_learner(model=model, adapter=Full()) if model.image_size == 8 else None
        network = learner._network.module if learner else built(model)
        network.save_pretrained(tmp_path / model.name)
        loaded = AutoModelForImageClassification.from_pretrained(tmp_path / model.name)
        images = torch.rand(2, 1, model.image_size, model.image_size, generator=torch.Generator())
        assert torch.equal(loaded(images).logits, network(images).logits)


def test_learns_digits():
    """Property: 15 central epochs of the 9.6k perceptron pass 90 % of the test digits."""
    algorithm = FedAvg(optimizer="sgd", learning_rate=0.1)
    *_, last = digits_learner(model=Mlp(), adapter=Full(), algorithm=algorithm).central(15)
    assert last.accuracy > 0.9


def test_images_of_another_size_are_refused():
    """Property: the message names the size and the remedy."""
    with pytest.raises(UserError, match="28x28"):
        digits_learner(model=Cnn(image_size=28), adapter=Full())


def test_settings_survive_yaml_and_import_nothing_heavy():
    """Property: dump and validate are inverse; importing the settings imports neither torch nor transformers."""
    for model in (Mlp(hidden=(3, 4)), Cnn(filters=(2, 3)), ResNet(widths=(8, 12))):
        fields = model.model_dump(mode="json")
        assert MODELS.get(fields.pop("name")).model_validate(fields) == model
    code = "import sys, ran.learning.small_models, ran.learning.engines; print({'torch', 'numpy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
