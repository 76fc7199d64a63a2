"""What FedGKT does not go with: every choice beside it that it has no use for is refused, one sentence each."""

from __future__ import annotations

import pytest

from ran.learning.compression import Compression
from ran.learning.gkt import FedGkt
from ran.learning.gkt.settings import gkt_problems

GOOD = {
    "model": "resnet", "adapter": "full", "algorithm": "fedavg", "hierarchy": "flat", "freezing": "none",
    "schedule": "synchronous", "aggregator": "weighted_mean", "engine": "auto", "loss_recovery": "zero_fill",
    "transport": "digital", "privacy": "", "attack": "", "split": "", "compression": "",
}  # fmt: skip
WRONG = {
    "model": "cnn", "adapter": "lora", "algorithm": "fedprox", "hierarchy": "edge", "freezing": "autofreeze",
    "schedule": "buffered", "aggregator": "median", "engine": "batched", "loss_recovery": "rescale",
    "transport": "over_the_air", "privacy": "set", "attack": "label_flip", "split": "set",
}  # fmt: skip


def test_what_goes_together():
    """Oracle: nothing is refused of the packaged choices, over ideal links, or of anything where FedGKT is off."""
    assert gkt_problems(FedGkt(), Compression(), GOOD) == []
    assert gkt_problems(FedGkt(), Compression(), GOOD | {"transport": "ideal"}) == []
    assert gkt_problems(None, Compression(), WRONG) == []


@pytest.mark.parametrize("section", WRONG)
def test_one_wrong_choice_is_one_sentence(section):
    """Oracle: the section by name, or the transport's, in the only sentence."""
    (problem,) = gkt_problems(FedGkt(), Compression(), GOOD | {section: WRONG[section]})
    assert f"learning.{section}" in problem
    assert WRONG[section] in problem or WRONG[section] == "set" or section == "attack"
