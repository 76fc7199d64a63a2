"""Oracles: rates of the precoder itself, one pass in bare NumPy loops, and relabelled streams."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.gnn.icgnn_network import Graph, IcgnnNetwork, Pass, Reception, coefficients_of, weighted_mmse_shares
from agents.gnn.network import build
from ran.phy.precoding import sum_rate
from ran.phy.precoding.streams import Streams
from ran.phy.precoding.wmmse_iteration import climb
from tests.ran.phy.precoding.channels import rayleigh

POWER = 7.0


def random_network(*, seed: int, **options: int | bool) -> IcgnnNetwork:
    """A network whose every weight matters; a new one's heads are zero."""
    network = build("icgnn", {"width": 8, **options})
    generator = torch.Generator().manual_seed(seed)
    for weight in network.parameters():
        weight.data += 0.1 * torch.randn(weight.shape, generator=generator)
    return network.eval().requires_grad_(requires_grad=False)


def graph_of(h: torch.Tensor) -> Graph:
    return Graph.of(Streams.of(h, 1.0, POWER))


def test_reception_has_the_rates_of_its_precoder():
    """Oracle: sum_rate of V = U^H A at full power; without A, of maximum ratio with equal powers."""
    h = rayleigh(6, 4, 5, seed=1) * torch.tensor([1.0, 0.3, 2.0, 1.0])[:, None]
    streams, coefficients = Streams.of(h, 1.0, POWER), rayleigh(6, 4, 4, seed=2)
    for a, used in ((coefficients, coefficients), (None, torch.eye(4, dtype=h.dtype).expand(6, 4, 4))):
        v = streams.total_power(used.mH @ streams.direction)
        rate = Reception.of(graph_of(h), a).log_weight.sum(-1) / np.log(2.0)
        torch.testing.assert_close(rate, sum_rate(h, v, 1.0))


def test_shares_are_those_of_weighted_mmse():
    """Oracle: the classical iteration from the same precoder: its shares and weights give its next precoder."""
    h = rayleigh(6, 4, 5, seed=3)
    streams, graph = Streams.of(h, 1.0, POWER), graph_of(h)
    rows = climb(streams, 0.0, 1)
    start = torch.linalg.lstsq(streams.direction.mH, climb(streams, 0.0, 0).mH).solution
    reception = Reception.of(graph, start)
    found = coefficients_of(graph, weighted_mmse_shares(graph, reception), reception.log_weight, 4, 0.0)
    torch.testing.assert_close(streams.total_power(found.mH @ streams.direction), streams.total_power(rows))


def by_hand(layer: Pass, graph: Graph, reception: Reception, log_share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One graph's pass in loops: features, messages along suffered and caused interference, shares and amplitudes."""
    gram, noise = graph.gram[0].numpy(), graph.log_noise[0].exp().numpy()
    gain = reception.coupling[0].numpy() + np.diag(reception.signal[0].numpy())  # |h_k^T v_j|^2
    size = len(noise)
    total = gain.sum(1) + noise
    signal = gain.diagonal()
    weight = np.log(total / (total - signal))
    target = np.log(np.exp(weight) * signal * noise / total**2)
    target -= np.log(np.exp(target).sum())
    hidden = []
    for k in range(size):
        others = [j for j in range(size) if j != k]
        price = sum(gain[j, k] / (total[j] - signal[j]) for j in others)
        load = sum(abs(gram[k, j]) ** 2 for j in others)
        logs = [
            -np.log(noise[k] * size), log_share[k] + np.log(size), target[k] + np.log(size),
            np.log(signal[k] / noise[k]), np.log(signal[k] * size),
        ]  # fmt: skip
        features = [*(np.array(logs) / 4.0), weight[k], 1.0 - noise[k] / (total[k] - signal[k]), price, load]
        hidden.append(np.maximum(layer.embed.weight.numpy() @ features + layer.embed.bias.numpy(), 0.0))
    for turn in layer.rounds:
        mean = layer.everyone.weight.numpy() @ np.mean(hidden, 0)
        fresh = []
        for k in range(size):
            suffered = sum(gain[k, j] / total[k] * hidden[j] for j in range(size) if j != k)
            caused = sum(gain[j, k] / total[j] * hidden[j] for j in range(size) if j != k)
            heard = turn.weight.numpy() @ np.concatenate([hidden[k], suffered, caused]) + turn.bias.numpy()
            fresh.append(hidden[k] + np.maximum(heard + mean, 0.0))
        hidden = fresh
    pull, share, amplitude = (layer.head.weight.numpy() @ np.array(hidden).T) + layer.head.bias.numpy()[:, None]
    chosen = log_share + pull * (target - log_share) + share
    return chosen - np.log(np.exp(chosen).sum()), amplitude + (0.0 if layer.first else weight)


@pytest.mark.parametrize("index", [0, 1])
def test_a_pass_is_the_one_in_loops(index):
    """Oracle: ``by_hand``, with path gains apart so that what is suffered is not what is caused."""
    h = rayleigh(1, 4, 5, seed=4) * torch.tensor([1.0, 0.4, 1.6, 0.8])[:, None]
    graph, layer = graph_of(h), random_network(seed=5).double().passes[index]
    reception = Reception.of(graph, rayleigh(1, 4, 4, seed=6))
    log_share = torch.log_softmax(torch.tensor([[0.3, -0.5, 0.1, 0.9]], dtype=torch.float64), -1)
    expected = by_hand(layer, graph, reception, log_share[0].numpy())
    for found, value in zip(layer(graph, reception, log_share), expected, strict=True):
        np.testing.assert_allclose(found[0].numpy(), value, rtol=1e-9)


def test_relabelled_streams_get_their_own_columns():
    """Property: permuting the streams permutes rows and columns of A, with weights that training did not tame."""
    h, order = rayleigh(5, 6, 6, seed=7), torch.tensor([2, 0, 5, 1, 4, 3])
    network = random_network(seed=8).double()
    found, moved = network(Streams.of(h, 1.0, POWER))[-1], network(Streams.of(h[:, order], 1.0, POWER))[-1]
    torch.testing.assert_close(moved, found[:, order][:, :, order], atol=1e-9, rtol=0)


def test_absent_streams_are_not_heard():
    """Oracle: the network without the rows of zeros."""
    h = rayleigh(5, 4, 6, seed=9)
    padded = torch.zeros(5, 6, 6, dtype=h.dtype)
    there = torch.tensor([0, 2, 3, 5])
    padded[:, there] = h
    network = random_network(seed=10).double()
    found = network(Streams.of(padded, 1.0, POWER))[-1]
    expected = network(Streams.of(h, 1.0, POWER))[-1]
    torch.testing.assert_close(found[:, there][:, :, there], expected, atol=1e-9, rtol=0)
