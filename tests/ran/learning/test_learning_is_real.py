"""Oracle: central fine-tuning of the same adapter with as many sample passes. The long study of `make test-all`."""

from __future__ import annotations

import pytest

from scenarios.load import load
from scenarios.run import build_federation
from tests.ran.learning.conftest import merge

SEEDS = (1, 2, 3, 4, 5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_federated_reaches_95_percent_of_central(seed, record_property):
    """15 rounds of the quickstart: at least 95 % of central accuracy, and better than the base model by far.

    Payloads arrive unchanged over the digital transport too (RLC AM loses nothing), so the exchange is ideal here.
    """
    federation = build_federation(load("quickstart", [f"seed={seed}"]))
    learner, algorithm = federation.learner, federation.algorithm
    model = learner.initial()
    for round_index in range(15):
        updates = [learner.train(client, model, round_index) for client in range(8)]
        model = merge(algorithm, model, [u.arrays for u in updates], [float(u.num_samples) for u in updates])
    *_, central = learner.central(15)
    federated, zero_shot = learner.evaluate(model).accuracy, learner.zero_shot().accuracy
    record_property("federated", federated)
    print(f"seed {seed}: zero-shot {zero_shot:.3f}, federated {federated:.3f}, central {central.accuracy:.3f}")
    assert federated >= 0.95 * central.accuracy
    assert federated > zero_shot + 0.1
