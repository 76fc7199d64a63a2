"""What the rows of a split round say of a UE's times."""

from __future__ import annotations

from ran.learning.federation import FederationState
from ran.learning.split.training import run_split_round
from ran.report import _setting
from tests.ran.learning.split.test_split_rounds import federation_of, split


def test_a_ue_trains_from_the_model_to_its_last_batch():
    """Oracle: the events: the model has arrived when training starts, not when the last gradient came down."""
    federation = federation_of(split())
    result = run_split_round(federation, FederationState.start(federation))
    begun = {event["ue"]: event["time_s"] for event in result.events if event["event"] == "training_start"}
    assert {row.ue: row.downlink_done_s for row in result.ues} == begun
    assert all(row.downlink_done_s < row.compute_done_s < row.uplink_done_s for row in result.ues)


def test_figures_name_the_split_method():
    """Oracle: the scenario's method stands where an uncut run names its algorithm."""
    model = {"model": {"name": "glyph_vit"}, "adapter": {"name": "lora"}, "algorithm": {"name": "fedavg"}}
    whole = {"ues": {"count": 2}, "radio": {"carrier_hz": 3.5e9, "bandwidth_hz": 20e6}, "seed": 1, "learning": model}
    cut = {**whole, "learning": {**model, "split": {"method": "splitfed_v2"}}}
    assert "fedavg" in _setting(whole)
    assert "splitfed v2" in _setting(cut)
    assert "fedavg" not in _setting(cut)
