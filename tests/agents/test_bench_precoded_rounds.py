"""The comparison of precoders in rounds of learning: what they are called with, and what its table says."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

from agents import bench_precoded_rounds as bench
from ran.network import Network
from ran.phy.precoding import RZF, WMMSE, sum_rate
from scenarios.build import build_world
from scenarios.load import load

SMALL = (
    "ues.count=9", "channel={name: rayleigh, coherence_interval_s: 2.5e-3}", "mac.link_adaptation.csi=perfect",
)  # fmt: skip
"""Nine UEs of three cells; intervals of five slots, of which four go down."""


def test_every_downlink_slot_asks_the_precoder_for_what_was_paired(monkeypatch):
    """Oracle: a precoder that writes down what it is asked, called by the slot loop itself.

    Its channels are those of the paired UEs over the root of noise and the other cells' interference, as reported:
    new pairs every slot, new channels every coherence interval.
    """
    asked = list[torch.Tensor]()

    def note(self: RZF, h: torch.Tensor, noise_w: float, power_w: float) -> torch.Tensor:
        asked.append(h.clone())
        return original(self, h, noise_w, power_w)

    original = RZF.precode
    found, power_w = bench.paired_channels(1, 8, SMALL)
    monkeypatch.setattr(RZF, "precode", note)
    bench.paired_channels(1, 8, SMALL)
    assert len(asked) == 8
    for mine, theirs in zip(found, asked, strict=True):
        assert torch.equal(mine, theirs.reshape(mine.shape))
    streams = torch.stack([(h.abs().sum(-1) > 0).sum(-1) for h in found])
    assert (streams >= 2).any()
    # The strongest row of a slot and the world's own channel: what divides it is more than thermal noise.
    network = Network(build_world(load(bench.SCENARIO, ["seed=1", bench._FULL_BUFFER, *SMALL])))
    link = network.air_at(network.start())[0].downlink
    assert (link.reported_noise_w > 1.5 * network.plan.downlink.noise_w).mean() > 0.9
    loudest = (np.abs(link.known.own_rows[0]) ** 2).sum(-1).T / link.reported_noise_w[0]
    norms = found[0].abs().square().sum(-1)
    assert float(norms.max()) <= loudest.max() * (1 + 1e-5)
    assert np.isclose(norms[norms > 0].numpy()[:, None], loudest.ravel(), rtol=1e-4).any(1).all()
    assert not any(
        torch.isclose(norm, found[0].abs().square().sum(-1), rtol=1e-4).any()
        for norm in found[5].abs().square().sum(-1).ravel()
        if norm > 0
    )
    assert power_w == pytest.approx(float(network.plan.downlink.params["prb_power_w"][0]))


def test_costs_are_sum_rates_of_what_was_paired():
    """Oracle: ``sum_rate`` by hand; a call of WMMSE takes longer than one of RZF."""
    channels, power_w = bench.paired_channels(2, 3, SMALL)
    costs = bench.call_costs(channels, power_w, ("rzf", "wmmse"))
    for name, precoder in (("rzf", RZF()), ("wmmse", WMMSE())):
        rates = [float(sum_rate(h, precoder.precode(h, 1.0, power_w), 1.0).mean()) for h in channels]
        assert costs[name].expected_bit_s_hz == pytest.approx(np.mean(rates), rel=1e-4)
    assert costs["wmmse"].call_ms > costs["rzf"].call_ms


def test_rounds_learn_the_same_at_different_times():
    """Property: nothing is lost, so accuracies are equal; maximum ratio sends longer than RZF, and rounds follow."""
    runs = [bench.measure_rounds(name, 3, 2, SMALL) for name in ("mrt", "rzf")]
    assert runs[0].accuracy == runs[1].accuracy
    assert runs[0].downlink_s > runs[1].downlink_s
    assert runs[0].round_s == pytest.approx(runs[0].end_s[-1] / 2)
    assert runs[0].round_s > runs[0].downlink_s


def test_the_bench_leaves_a_table_a_file_and_a_figure(monkeypatch, tmp_path):
    """Property: a line for every precoder, means over seeds as by hand."""
    monkeypatch.setattr(bench, "NAMES", ("mrt", "rzf"))
    monkeypatch.setattr(bench, "SEEDS", (1, 2))
    ways = bench.full_buffer("rzf", 1, SMALL)
    run = bench.PrecodedRounds("rzf", 1, 0.5, 0.8, 1.5, 0.1, (0.8, 1.6), (0.7, 0.8))
    monkeypatch.setattr(bench, "paired_channels", lambda seed, slots: ([torch.ones(1, 1, 2, dtype=torch.cfloat)], 1.0))
    monkeypatch.setattr(bench, "full_buffer", lambda name, seed: ways)
    monkeypatch.setattr(
        bench, "measure_rounds",
        lambda name, seed: bench.PrecodedRounds(name, seed, seed / 2, 0.8, 1.5, 0.1, run.end_s, run.accuracy),
    )  # fmt: skip
    lines = list[str]()
    bench.compare(lines.append, tmp_path)
    row = next(line for line in lines if line.startswith("rzf ")).split()
    assert float(row[1]) == pytest.approx(0.75)
    assert float(row[4]) == pytest.approx(ways.mean_cell_se_bit_s_hz, abs=0.006)
    rows = list(csv.DictReader((tmp_path / "precoded_rounds.csv").read_text().splitlines()))
    assert [(each["precoder"], each["seed"], each["accuracy"]) for each in rows][1] == ("mrt", "2", "0.7 0.8")
    assert (tmp_path / "precoded_rounds.png").stat().st_size > 1000
