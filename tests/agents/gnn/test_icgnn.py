"""Oracles: classical precoders on sizes and channels that training never saw."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from agents.gnn.draws import rayleigh, umi
from agents.gnn.icgnn import ICGNN, SHIPPED
from agents.gnn.network import build, load, save
from channel.errors import UserError
from channel.seeding import stream
from ran.phy.precoding import PRECODERS, RZF, WMMSE, sum_rate

CLASSICAL = ("mrt", "zf", "rzf", "mmse", "wmmse")


def mean_rates(h: torch.Tensor, power: float, *names: str) -> dict[str, float]:
    """Mean sum rates by precoder; noise is 1."""
    return {name: float(sum_rate(h, PRECODERS.get(name)().precode(h, 1.0, power), 1.0).mean()) for name in names}


@pytest.mark.parametrize("snr_db", [0, 10, 20])
@pytest.mark.parametrize(("antennas", "streams"), [(16, 16), (32, 32), (12, 5), (64, 16)])
def test_unseen_sizes(antennas, streams, snr_db):
    """Oracle: on Rayleigh fading 0.96 of WMMSE where M = K, 0.99 of RZF and 0.9 of the best everywhere."""
    h = rayleigh(60 if streams < 32 else 200, streams, antennas, stream(7, "unseen", antennas, streams, snr_db))
    rate = mean_rates(h, 10 ** (snr_db / 10), "icgnn", *CLASSICAL)
    assert rate["icgnn"] >= 0.99 * rate["rzf"]
    assert rate["icgnn"] >= 0.9 * max(rate.values())
    if antennas == streams:
        assert rate["icgnn"] >= 0.96 * rate["wmmse"]


def test_street_canyons():
    """Oracle: on UMi streets of other seeds, 16 x 8 at 30 dBm, at least RZF and 0.95 of WMMSE."""
    h = umi(300, 8, 16, stream(7, "unseen"), worlds=4)
    rate = mean_rates(h, 1.0, "icgnn", "rzf", "wmmse")
    assert rate["icgnn"] >= rate["rzf"]
    assert rate["icgnn"] >= 0.95 * rate["wmmse"]


def test_a_new_network_is_weighted_mmse():
    """Oracle: untrained, three passes lie between RZF and converged WMMSE at 8 x 8, 10 dB, and each is better."""
    h = rayleigh(200, 8, 8, stream(7, "new"))
    from ran.phy.precoding.streams import Streams

    streams = Streams.of(h, 1.0, 10.0)
    stages = build("icgnn", {"passes": 3, "inner_steps": 8})(streams)
    rates = [float(sum_rate(h, streams.total_power(a.mH @ streams.direction), 1.0).mean().detach()) for a in stages]
    assert rates == sorted(rates)
    assert rates[-1] > float(sum_rate(h, RZF().precode(h, 1.0, 10.0), 1.0).mean())
    assert rates[-1] < float(sum_rate(h, WMMSE().precode(h, 1.0, 10.0), 1.0).mean())


def test_weights_travel(tmp_path):
    """Oracle: what was saved; a file that is none, or of another network, is refused in one sentence."""
    options = {"passes": 2, "width": 8}
    network = build("icgnn", options)
    save(network, "icgnn", options, tmp_path / "own.safetensors")
    for name, value in load(tmp_path / "own.safetensors").state_dict().items():
        assert torch.equal(value, network.state_dict()[name])
    h = rayleigh(3, 4, 6, stream(7, "travel"))
    own = ICGNN(weights=str(tmp_path / "own.safetensors")).precode(h, 1.0, 5.0)
    assert not torch.allclose(own, ICGNN().precode(h, 1.0, 5.0), atol=1e-3)
    (tmp_path / "none.safetensors").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"holds no precoding network .* train-precoder"):
        load(tmp_path / "none.safetensors")
    assert ICGNN(weights="nowhere.safetensors").problems()
    assert not ICGNN(weights=str(tmp_path / "own.safetensors")).problems()
    assert ICGNN(weights=str(tmp_path / "own.safetensors"), utility="proportional_fair").problems()
    with pytest.raises(UserError, match="did you mean 'icgnn'"):
        build("icgn", {})
    with pytest.raises(UserError, match=r"network icgnn: .*pases"):
        build("icgnn", {"pases": 2})


def test_shipped_weights_are_small():
    """Property: under 1 MB, and in the package."""
    assert all(path.stat().st_size < 1_000_000 for path in SHIPPED.values())


def test_naming_it_imports_nothing_heavy():
    """Property: a scenario that names icgnn is read without torch."""
    code = (
        "import sys, agents.gnn.icgnn\nfrom ran.phy.precoding import PRECODERS\nPRECODERS.get('icgnn')()\n"
        "assert not {'torch', 'numpy', 'numba', 'sionna'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
