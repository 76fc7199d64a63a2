"""Oracle: the same network in torch."""

from __future__ import annotations

import pytest
import torch

from agents.gnn.icgnn import ICGNN, SHIPPED
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


@pytest.mark.parametrize("streams", [1, 4, 5, 7])
def test_what_is_no_number_spoils_no_other_channel(streams):
    """Property: NaN in one channel leaves all others bit for bit, those in its lane of the next block too."""
    network = random_network(seed=1)
    h = rayleigh(40, streams, 9, seed=4, dtype=torch.complex64)
    expected = network.steer(Streams.of(h, 1.0, POWER))
    h[3] = torch.nan
    found = network.steer(Streams.of(h, 1.0, POWER))
    assert torch.isnan(torch.view_as_real(found[3])).all()
    others = torch.arange(40) != 3
    assert torch.equal(found[others], expected[others])


def test_new_weights_count_at_once():
    """Oracle: torch, after weights were changed behind the parameters' backs."""
    network, streams = random_network(seed=1), Streams.of(rayleigh(3, 4, 5, seed=5, dtype=torch.complex64), 1.0, POWER)
    before = network.steer(streams)
    for weight in network.parameters():
        weight.data.mul_(0.8)
    after = network.steer(streams)
    torch.testing.assert_close(after, PrecodingNetwork.steer(network, streams), atol=1e-4, rtol=1e-3)
    assert not torch.allclose(after, before, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_a_shipped_network_loaded_in_inference_mode_serves_ever_after(tmp_path, dtype):
    """Property: the same precoders in inference mode, where it is loaded first, and outside; compiled and in torch."""
    (tmp_path / "own.safetensors").write_bytes(SHIPPED["sum"].read_bytes())  # a path that was not loaded before
    h, precoder = rayleigh(3, 4, 5, seed=6, dtype=dtype), ICGNN(weights=str(tmp_path / "own.safetensors"))
    with torch.inference_mode():
        first = precoder.precode(h, 1.0, POWER)
    assert torch.equal(first, precoder.precode(h, 1.0, POWER))
