"""The memory of training."""

from types import SimpleNamespace

import pytest
import torch

from ran.learning.adapters import Full, HeadOnly, Lora
from ran.learning.memory import activation_bytes, training_bytes
from tests.ran.learning.conftest import digits_learner


class TwoLayers(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 3), torch.nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.second(torch.relu(self.first(x))))


def test_two_layers_by_hand():
    """Oracle: by hand. Kept are the relu's 3 outputs, also the second layer's inputs, for each of 5 samples."""
    module = TwoLayers()
    assert activation_bytes(module, {"x": torch.ones(5, 4)}) == 5 * 3 * 4
    weights = 4 * 3 + 3 + 3 * 2 + 2
    sample = {"x": torch.ones(1, 4)}
    assert training_bytes(module, sample, batch_size=5, state_floats=2) == 4 * weights * (1 + 1 + 2) + 5 * 12
    module.first.requires_grad_(False)
    frozen = training_bytes(module, sample, batch_size=5, state_floats=0)
    assert frozen == 4 * weights + 4 * (3 * 2 + 2) + 5 * 12


def test_adapters_need_less_than_everything():
    """Property: head < LoRA < full; activations grow with the batch, nothing else does."""
    needed = [digits_learner(adapter=adapter).training_bytes() for adapter in (HeadOnly(), Lora(), Full())]
    assert needed == sorted(needed)
    learner = digits_learner()
    bare = 4 * learner.num_parameters + 12 * learner.num_trainable
    assert learner.training_bytes() > bare
    assert learner.initial().keys() == digits_learner().initial().keys()


@pytest.mark.filterwarnings("ignore:.*cuda:UserWarning")
def test_measuring_leaves_no_gradients():
    """Property: no parameter has a gradient afterwards."""
    module = TwoLayers()
    activation_bytes(module, {"x": torch.ones(1, 4)})
    assert all(each.grad is None for each in module.parameters())


@pytest.mark.filterwarnings("ignore:.*cuda:UserWarning")
def test_counting_leaves_no_graph_behind():
    """Property: a leaf remembers its shape as long as any graph lives; afterwards it takes weights of another one."""
    module = TwoLayers()
    activation_bytes(module, {"x": torch.ones(1, 4)})
    with torch.no_grad():
        module.first.weight.data, module.first.bias.data = torch.ones(5, 4), torch.ones(5)
        module.second.weight.data = torch.ones(2, 5)
    module(torch.ones(1, 4)).logits.sum().backward()
    assert module.first.weight.grad.shape == (5, 4)
