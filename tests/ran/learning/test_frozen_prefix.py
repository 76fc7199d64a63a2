"""Cached activations of frozen layers, against computing them again."""

import numpy as np
import pytest
import torch

from ran.learning.adapters import Full, Lora
from ran.learning.frozen_prefix import ActivationCache, FrozenPrefix, fingerprint
from ran.learning.layers import split_layers
from tests.ran.learning.bare_problem import glyph_network

IMAGES = torch.linspace(-1, 1, 40 * 64).reshape(40, 1, 8, 8).sin()
SAMPLE_BYTES = 17 * 64 * 4


@pytest.fixture(scope="module")
def network():
    return glyph_network(Lora(rank=4, dropout=0.5))


def prefix_of(network, budget_bytes=1e9, **changed):
    return FrozenPrefix(split_layers(network.module, 2), ActivationCache(budget_bytes), **changed)


def inputs(rows):
    return {"pixel_values": IMAGES[rows]}


def test_cached_activations_are_those_of_a_recomputation_to_the_bit(network):
    """Oracle: no cache at all, and other company in the batch; the layers run on each sample once."""
    cached, anew = prefix_of(network), prefix_of(network, budget_bytes=0)
    ran = []
    hook = cached.split.layers[0].register_forward_hook(lambda *args: ran.append(len(args[2])))
    batches = [np.array([3, 1, 4]), np.array([1, 5, 9, 2, 6, 3]), np.array([4, 4, 1])]
    for rows in batches:
        assert torch.equal(
            cached.hidden(rows, inputs(rows)),
            torch.cat([anew.hidden(rows[i : i + 1], inputs(rows[i : i + 1])) for i in range(len(rows))]),
        )
    hook.remove()
    network.module.eval()
    with torch.no_grad():
        whole = cached.split.prefix(inputs(batches[1]))
    torch.testing.assert_close(cached.hidden(batches[1], inputs(batches[1])), whole, atol=1e-5, rtol=0)
    assert cached.misses == len(cached.known) == len(cached.cache.kept) == 7
    assert anew.misses == 12
    assert anew.known == set()
    assert cached.cache.size_bytes == 7 * SAMPLE_BYTES
    # Both prefixes share one network: 7 runs of the one, 12 of the other, each of a single sample.
    assert ran == [1] * 19


def test_frozen_layers_run_without_dropout_and_the_rest_with_it(network):
    """Property: in training mode two passes differ, though their hidden states are equal; the mode stays."""
    prefix, rows = prefix_of(network), np.arange(6)
    rng = np.random.default_rng(0)
    network.load({name: rng.standard_normal(each.shape).astype(np.float32) for name, each in network.read().items()})
    network.module.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = (prefix(rows, inputs(rows)).logits for _ in range(2))
    assert not torch.equal(first, second)
    assert network.module.training
    network.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(
            prefix.hidden(rows, inputs(rows)), prefix.split.prefix(inputs(rows)), atol=1e-5, rtol=0
        )


def test_gradients_are_those_of_the_whole_network_for_the_active_layers():
    """Oracle: backward of the uncut network with every parameter trained; frozen ones get none."""
    network, rows = glyph_network(Full()), np.arange(8)
    labels = torch.arange(8)
    torch.nn.functional.cross_entropy(network.module(**inputs(rows)).logits, labels).backward()
    whole = {name: parameter.grad.clone() for name, parameter in network.trainable.items()}
    network.module.zero_grad()
    torch.nn.functional.cross_entropy(prefix_of(network)(rows, inputs(rows)).logits, labels).backward()
    for name, parameter in network.trainable.items():
        frozen = "embeddings" in name or ".layers.0." in name or ".layers.1." in name
        assert (parameter.grad is None) == frozen
        if not frozen:
            torch.testing.assert_close(parameter.grad, whole[name], atol=1e-5, rtol=1e-4)


def test_memory_stays_within_its_budget(network):
    """Oracle: bytes counted: room for 3 of 10 samples; the first 3 stay, the rest are computed in every epoch."""
    prefix = prefix_of(network, budget_bytes=3.5 * SAMPLE_BYTES)
    for _ in range(2):
        for start in range(0, 10, 5):
            rows = np.arange(start, start + 5)
            prefix.hidden(rows, inputs(rows))
    assert sorted(prefix.cache.kept) == [0, 1, 2]
    held = sum(each.untyped_storage().nbytes() for each in prefix.cache.kept.values())
    assert held == prefix.cache.size_bytes == 3 * SAMPLE_BYTES
    assert prefix.misses == 10 + 7


def test_a_resumed_client_is_not_charged_for_what_it_already_holds(network):
    """Property: misses count by what the client knows, not by what this process has in memory."""
    prefix, rows = prefix_of(network, known={0, 1}), np.arange(4)
    prefix.hidden(rows, inputs(rows))
    assert prefix.misses == 2
    assert prefix.known == {0, 1, 2, 3}


def test_other_layers_or_values_empty_the_cache(network):
    """Property: the key is the depth and the frozen values, by content."""
    cache, values = ActivationCache(1e9), {"a": np.ones(3, np.float32), "b": np.zeros(2, np.float32)}
    cache.turn_to(2, fingerprint(values))
    prefix, rows = FrozenPrefix(split_layers(network.module, 2), cache), np.arange(2)
    prefix.hidden(rows, inputs(rows))
    cache.turn_to(2, fingerprint({name: values[name].copy() for name in "ba"}))
    assert len(cache.kept) == 2
    cache.turn_to(2, fingerprint(values | {"b": np.array([0.0, 1e-30], np.float32)}))
    assert (cache.kept, cache.size_bytes) == ({}, 0)
    prefix.hidden(rows, inputs(rows))
    cache.turn_to(1, cache.key[1])
    assert not cache.kept
