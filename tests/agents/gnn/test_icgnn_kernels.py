"""Oracle: the same network in torch."""

from __future__ import annotations

import pytest
import torch

from agents.gnn.network import PrecodingNetwork
from ran.phy.precoding.streams import Streams
from tests.agents.gnn.test_icgnn_network import POWER, random_network
from tests.ran.phy.precoding.channels import rayleigh


def difference(h: torch.Tensor, **options: int | bool) -> torch.Tensor:
    """Largest difference of each precoder over its largest entry, [batch]."""
    network, streams = random_network(seed=1, **options), Streams.of(h, 1.0, POWER)
    found, expected = network.steer(streams), PrecodingNetwork.steer(network, streams)
    return (found - expected).abs().amax((-2, -1)) / expected.abs().amax((-2, -1)).clamp(min=1e-30)


@pytest.mark.parametrize(("streams", "antennas"), [(1, 4), (2, 2), (5, 12), (16, 16), (18, 24)])
@pytest.mark.parametrize("batch", [3, 70])
def test_compiled_passes_are_those_of_torch(streams, antennas, batch):
    """Oracle: torch, single precision; numbers of streams that fill no four, batches that fill no lanes."""
    h = rayleigh(batch, streams, antennas, seed=2, dtype=torch.complex64)
    h *= torch.logspace(-1, 0, batch)[:, None, None]
    assert difference(h).max() < 1e-4


def test_options_and_absent_streams_are_those_of_torch():
    """Oracle: torch; three passes of one round, an odd width, a log K feature, some and all streams absent."""
    h = rayleigh(40, 6, 8, seed=3, dtype=torch.complex64)
    h[::2, 1], h[::3, 4], h[7] = 0, 0, 0
    assert difference(h, passes=3, rounds=1, width=5, inner_steps=3, log_count=True).max() < 1e-4
