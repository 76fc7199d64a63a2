"""FedAvg against a closed form, arithmetic by hand, and a bare PyTorch + PEFT loop."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import ViTForImageClassification

from channel.seeding import stream
from ran.learning.algorithms.fedavg import FedAvg
from ran.learning.models import GlyphVit
from ran.learning.tasks import Digits
from tests.ran.learning.conftest import digits_learner, merge


class Quadratic:
    """f(x) = a/2 (x - b)^2, a Problem of one sample."""

    num_samples = 1
    flops_per_sample = 3.0

    def __init__(self, a: float, b: float) -> None:
        self.a, self.b = a, b
        self.x = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def load(self, arrays):
        with torch.no_grad():
            self.x.copy_(torch.from_numpy(arrays["x"]))

    def read(self):
        return {"x": self.x.detach().numpy().copy()}

    def parameters(self):
        return [self.x]

    def loss(self, batch):
        return (self.a / 2 * (self.x - self.b) ** 2).mean()


def test_two_client_quadratic_has_its_fixed_point():
    """Oracle: closed form sum(w b) / sum(w), w = 1 - (1 - eta a)^K, 0.713442 (REFERENCE section 4)."""
    algorithm = FedAvg(optimizer="sgd", learning_rate=0.05, local_steps=10)
    clients = [Quadratic(1.0, 0.0), Quadratic(10.0, 1.0)]
    arrays = {"x": np.zeros(1)}
    for _ in range(60):
        updates = [algorithm.client_step(arrays, client, stream(0, "order"), {}).arrays for client in clients]
        arrays = merge(algorithm, arrays, updates, [1.0, 1.0])
    pull = 1 - (1 - 0.05 * np.array([1.0, 10.0])) ** 10
    assert arrays["x"][0] == pytest.approx((pull @ [0.0, 1.0]) / pull.sum(), abs=1e-12)
    assert arrays["x"][0] == pytest.approx(0.713442, abs=1e-6)


def test_update_tells_its_bookkeeping():
    """Oracle: by hand. f = (x - 1)^2 / 2 from 0 with eta = 1/2: x = 1/2, 3/4; losses 1/2, 1/8, mean 5/16."""
    algorithm = FedAvg(optimizer="sgd", learning_rate=0.5, local_steps=2)
    update = algorithm.client_step({"x": np.zeros(1)}, Quadratic(1.0, 1.0), stream(0, "order"), {})
    assert update.arrays["x"][0] == pytest.approx(0.75)
    assert (update.num_samples, update.num_steps, update.flops) == (1, 2, 6.0)
    assert update.train_loss == pytest.approx(5 / 16)


def test_server_step_by_hand():
    """Oracle: (1 * 3 + 3 * 7) / 4 = 6 added to 10, elementwise in a 2 x 2 array."""
    current = {"w": np.full((2, 2), 10.0, np.float32)}
    updates = [{"w": np.full((2, 2), 3.0, np.float32)}, {"w": np.array([[7.0, 7.0], [-1.0, 3.0]], np.float32)}]
    merged = merge(FedAvg(), current, updates, [1.0, 3.0])
    assert merged["w"].dtype == np.float32
    np.testing.assert_array_equal(merged["w"], [[16.0, 16.0], [10.0, 13.0]])
    np.testing.assert_array_equal(current["w"], np.full((2, 2), 10.0))


def test_server_sums_in_double_precision():
    """Oracle: exact arithmetic. 1 + 2^-30 - 1 survives in doubles only, and must come out, rounded once."""
    updates = [{"w": np.array([value], np.float32)} for value in (1.0, 2.0**-30, -1.0)]
    merged = merge(FedAvg(), {"w": np.zeros(1, np.float32)}, updates, [1.0, 1.0, 1.0])
    assert merged["w"][0] == pytest.approx(2.0**-30 / 3, rel=1e-6)


@given(st.lists(st.tuples(st.floats(-10, 10, width=32), st.floats(0.5, 100)), min_size=1, max_size=6))
def test_mean_lies_between_its_updates_whatever_their_order(pairs):
    """Property: a weighted mean stays within its range, and does not care about order or the weights' scale."""
    values, weights = [value for value, _ in pairs], [weight for _, weight in pairs]
    current = {"w": np.zeros(1, np.float32)}
    updates = [{"w": np.array([value], np.float32)} for value in values]
    merged = merge(FedAvg(), current, updates, weights)["w"][0]
    assert min(values) - 1e-5 <= merged <= max(values) + 1e-5
    swapped = merge(FedAvg(), current, updates[::-1], [2 * weight for weight in weights[::-1]])["w"][0]
    assert swapped == pytest.approx(merged, abs=1e-5)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT 0.21 on Transformers 5.23
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_one_client_equals_a_bare_peft_loop(optimizer):
    """Oracle: PyTorch + PEFT written out here, same initial adapter and batch order; 1e-6 on every parameter.

    AdamW divides by second moments near zero, so half a unit in the last place grows to 1e-5 in one parameter of
    6,794; for it the loop rounds its update to single precision, as the payload does, at the end of each round.
    """
    rate, rounds, epochs, size = {"adamw": (2e-3, 3, 1, 64), "sgd": (0.05, 2, 2, 128)}[optimizer]
    algorithm = FedAvg(
        optimizer=optimizer, learning_rate=rate, momentum=0.9, local_epochs=epochs, batch_size=size, weight_decay=0.01
    )
    learner = digits_learner(num_clients=1, algorithm=algorithm, seed=7)
    arrays = learner.initial()
    for round_index in range(rounds):
        update = learner.train(0, arrays, round_index)
        arrays = merge(algorithm, arrays, [update.arrays], [update.num_samples])

    bare = get_peft_model(
        ViTForImageClassification.from_pretrained(GlyphVit().source),
        LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj"], modules_to_save=["classifier"]),
    )
    set_peft_model_state_dict(bare, {name: torch.from_numpy(each) for name, each in learner.initial().items()})
    train = Digits().load().train
    images, labels = torch.from_numpy(train.inputs) * 2 - 1, torch.from_numpy(train.labels)
    trained = [parameter for parameter in bare.parameters() if parameter.requires_grad]
    for round_index in range(rounds):
        start = [parameter.detach().clone() for parameter in trained]
        steps = (
            torch.optim.AdamW(trained, lr=rate, weight_decay=0.01)
            if optimizer == "adamw"
            else torch.optim.SGD(trained, lr=rate, momentum=0.9, weight_decay=0.01)
        )
        rng = stream(7, "batch order", round_index, 0)
        for _ in range(epochs):
            for batch in torch.from_numpy(rng.permutation(len(labels))).split(size):
                steps.zero_grad()
                torch.nn.functional.cross_entropy(bare(pixel_values=images[batch]).logits, labels[batch]).backward()
                steps.step()
        if optimizer == "adamw":
            with torch.no_grad():
                for parameter, before in zip(trained, start, strict=True):
                    parameter.copy_(before + (parameter - before))
    expected = get_peft_model_state_dict(bare, save_embedding_layers=False)
    assert expected.keys() == arrays.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(arrays[name], value.detach().numpy(), rtol=0, atol=1e-6)
    assert max(float(np.abs(arrays[name] - each).max()) for name, each in learner.initial().items()) > 1e-2
