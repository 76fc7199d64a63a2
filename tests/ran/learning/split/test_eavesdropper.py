"""A privacy probe in the run: what it hears, what it finds, and that it changes nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from channel.errors import UserError
from ran.learning.compression.compressor import COMPRESSORS
from ran.learning.privacy_probe import PrivacyProbe
from ran.learning.split.cut import Cut
from ran.learning.split.eavesdropper import Eavesdropper, Finding, embeddings_of
from ran.learning.split.exchange import Batch
from ran.learning.split.payload import decode_tensor
from ran.learning.split.probe_settings import SmashedDataProbe
from ran.learning.split.smashed_data import SmashedData
from ran.learning.tasks import Digits
from tests.ran.learning.split.conftest import cut_up, one_exchange, whole
from tests.ran.learning.split.test_split_rounds import after, split

FEW = "privacy_probe: {samples: 60, attack: {epochs: 3, width: 8}}"


def listener(samples=400, **attack):
    return Eavesdropper(SmashedDataProbe(samples=samples, attack=PrivacyProbe(**attack)), 1, 1, 5000)


def batch_of(inputs, labels, name="pixel_values", **more):
    return Batch(np.arange(len(labels)), {name: inputs, **more}, labels)


def test_the_probe_changes_nothing_else():
    """Oracle: bits of the run without it: model, memories, rows and events; dropout and rounding at random included."""
    more = ("learning.adapter={name: lora, dropout: 0.2}", "learning.rounds=2")
    data = "data: {activations: int8, gradients: int8}"
    _, state, plain = after(2, split(more=data), *more)
    _, probed_state, probed = after(2, split(more=f"{data}, {FEW}"), *more)
    for name, array in state.arrays().items():
        assert repr(probed_state.arrays()[name].tolist()) == repr(np.asarray(array).tolist()), name
    for result, other in zip(plain, probed, strict=True):
        assert repr(result.ues) == repr(other.ues)
        assert repr(result.batches) == repr(other.batches)
        assert math.isnan(result.record.probe_normalised_mse)
        assert math.isfinite(other.record.probe_normalised_mse + other.record.probe_ssim)
        assert 20 <= other.record.probe_samples <= 40


@pytest.mark.parametrize("compressor", [{"name": "none"}, {"name": "int8"}, {"name": "top_k", "density": 0.1}])
def test_it_hears_what_was_received(compressor):
    """Oracle: the first cut's payload, decoded; of no other cut."""
    given = whole("bert")
    name = compressor.pop("name")
    data = SmashedData(activations=COMPRESSORS.get(name)(**compressor))
    parts, parties = cut_up(given, Cut(shape="u_shaped", after=(1, 2)), data)
    heard = []
    _, messages = one_exchange(parts, parties, given, heard=lambda *each: heard.append(each))
    [(batch, tensor)] = heard
    assert batch is given.batch
    torch.testing.assert_close(tensor, decode_tensor(messages[0].payload, data.activations, (6, 7, 16)), atol=0, rtol=0)


def test_it_sees_through_the_identity_and_nothing_in_constants():
    """Oracle: smashed data that are the images, at another scale, and such as are all alike: error 0 and the mean's."""
    train = Digits().load().train
    images, labels = torch.from_numpy(train.inputs[:600]), torch.from_numpy(train.labels[:600])
    found = []
    for smash in (lambda x: 7 * x + 1, torch.zeros_like):
        ear = listener(epochs=30, batch_size=16, learning_rate=5e-3, width=16)
        ear.hear(batch_of(images, labels), smash(images))
        assert len(ear.kept) == 400
        found.append(ear.find(None))
    assert found[0].probe_normalised_mse < 0.02
    assert found[0].probe_ssim > 0.95 > 0.9 > found[0].probe_mean_ssim
    assert found[1].probe_normalised_mse == pytest.approx(1, abs=0.05)
    assert found[1].probe_ssim == pytest.approx(found[1].probe_mean_ssim, abs=0.05)
    assert 160 < found[0].probe_samples < 240
    assert repr(listener().find(None)) == repr(Finding())


def test_victims_are_none_of_those_it_trains_on(monkeypatch):
    """Oracle: inputs that are their own row: the two sides share none, at every round, and are the same rows again."""
    seen = []

    def noted(probe, known, victims, **_):
        seen.append((set(known.inputs.flatten().tolist()), set(victims.inputs.flatten().tolist())))
        raise UserError("enough")

    monkeypatch.setattr("ran.learning.split.eavesdropper.attack", noted)
    rows = torch.arange(300.0).reshape(-1, 1)
    for _ in range(2):
        ear = listener(samples=100)
        ear.hear(batch_of(rows, torch.zeros(300)), rows)
        with pytest.raises(UserError, match="enough"):
            ear.find(None)
    assert seen[0] == seen[1]
    assert not seen[0][0] & seen[0][1]
    assert len(seen[0][0] | seen[0][1]) == 100


def test_tokens_are_recovered_from_their_embeddings():
    """Oracle: smashed data that are the embeddings: every one; all alike: the commonest at best; no [CLS]."""
    given = whole("bert")
    table = embeddings_of(given.network.module, given.batch.inputs)
    assert table.shape == (30, 16)
    rng = np.random.default_rng(0)
    # A token matters to the error by its embedding's size; fresh ones are as small as 0.02.
    table = 50 * table
    tokens = torch.from_numpy(rng.integers(2, 30, (200, 7)))
    tokens[:, 0] = 1
    mask = torch.from_numpy((np.arange(7) < rng.integers(3, 8, (200, 1))).astype(np.int64))
    found = []
    for smash in (lambda each: 3 * table[each] - 1, lambda each: torch.zeros(*each.shape, 16)):
        ear = listener(samples=300, epochs=30, learning_rate=5e-3)
        ear.hear(batch_of(tokens * mask, torch.zeros(200), "input_ids", attention_mask=mask), smash(tokens * mask))
        found.append(ear.find(table))
    assert found[0].probe_token_accuracy > 0.99
    assert found[0].probe_normalised_mse < 0.01
    assert found[1].probe_token_accuracy < 0.12
    assert found[1].probe_normalised_mse == pytest.approx(1, abs=0.05)
    assert math.isnan(found[0].probe_ssim)
    assert all(each.probe_samples == 300 for each in found)
    assert embeddings_of(None, {"pixel_values": table}) is None


def test_features_of_a_frozen_side_are_heard_once():
    """Oracle: the bytes: they cross in the first round, and never again."""
    algorithm = "learning.algorithm={name: fedavg, local_steps: null, batch_size: 16}"
    _, _, [first, second] = after(2, split(more=f"ue_side: frozen, {FEW}"), algorithm)
    assert first.record.probe_samples >= 20
    assert math.isfinite(first.record.probe_normalised_mse)
    assert (second.record.probe_samples, second.record.uplink_payload_bytes) == (0, 0)
