"""Rounds in which a batch's width follows the uplink, and samples of which the model is sure are left out."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ran.learning.adaptation.menu import CutOption, Quantiser
from ran.learning.federation import FederationState
from ran.learning.payload import encode
from ran.learning.split.bottleneck import Bottleneck
from ran.learning.split.rates import widest_in_time
from ran.learning.split.sample_filter import SampleHistory
from ran.learning.split.training import next_turns, run_split_round
from tests.ran.learning.split.test_adaptive_rounds import after, federation_of

TOKENS, SIZE = 17, 32
QUARTERS = "widths: [0.25, 0.5, 0.75, 1]"


def split(more, method="splitfed_v2"):
    return f"learning.split={{method: {method}, {more}}}"


def budget(seconds, more=""):
    return split(f"data: {{bottleneck: {{size: {SIZE}, {QUARTERS}, uplink_budget_s: {seconds}}}}}{more}")


def test_the_widest_code_within_the_budget_by_hand():
    """Oracle: by hand: 4 samples of 100 values of 8 bits, 32 bits of scale, 1 byte of label: 3.36 kbit at full width.

    At 1 Mbit/s: 3.36, 2.56, 1.76, 0.96 ms for widths 1, 3/4, 1/2, 1/4.
    """
    rule = {"size": 20, "widths": (0.25, 0.5, 0.75, 1.0)}
    option, quantiser = CutOption(1, 1.0, 1.0, 1.0, 100, uplink_aside_bytes=1), Quantiser("int8", 8, 32)
    for budget_s, width in ((1.0, 1.0), (3.361e-3, 1.0), (3.359e-3, 0.75), (2.561e-3, 0.75), (2e-3, 0.5), (1e-6, 0.25)):
        bottleneck = Bottleneck(**rule, uplink_budget_s=budget_s)
        assert widest_in_time(bottleneck, option, quantiser, 4, 1e6) == width


def test_bytes_of_a_batch_follow_its_width_and_the_rate():
    """Oracle: by hand: B L k values of 4 bytes, k from the rate that the gNB expects; other bytes do not change.

    At a budget that full codes take just so at half that rate, the half is what fits.
    """
    sizes = {}
    for seconds in (1e3, 1e-9):
        federation, _, [result] = after(1, "ues.count=1", budget(seconds))
        sizes[seconds] = result.ues[0].uplink_payload_bytes, result.ues[0].downlink_payload_bytes
    values = 3 * 16 * TOKENS * SIZE * 4
    assert sizes[1e3][0] - sizes[1e-9][0] == sizes[1e3][1] - sizes[1e-9][1] == values * 3 // 4
    federation = federation_of("ues.count=1", budget(1e3))
    state = FederationState.start(federation)
    rate = federation.simulation.expected_rate_bit_s(state.network, "uplink", 0.0)[0]
    half_s = 8 * (16 * TOKENS * SIZE * 4 / 2 + 16) / rate
    _, _, [result] = after(1, "ues.count=1", budget(1.05 * half_s))
    assert sizes[1e3][0] - result.ues[0].uplink_payload_bytes == values // 2


def test_far_ues_send_narrower_codes_in_the_same_round():
    """Oracle: by hand: UEs that differ in distance alone: the near one gets the width that its rate carries."""
    places = ("ues.count=2", "ues.placement={name: explicit, positions_m: [[60, 0], [40000, 0]]}")
    federation = federation_of(*places, budget(1e3))
    state = FederationState.start(federation)
    rates = federation.simulation.expected_rate_bit_s(state.network, "uplink", 0.0)
    full_s = 8 * (16 * TOKENS * SIZE * 4 + 16) / (rates[0] / 2)
    _, _, [result] = after(1, *places, budget(1.2 * full_s))
    near, far = result.ues
    assert far.uplink_payload_bytes < near.uplink_payload_bytes
    assert far.downlink_payload_bytes < near.downlink_payload_bytes


EPOCH = "learning.algorithm={name: fedavg, local_steps: null, batch_size: 96}"


def losses_of(federation, state, ue):
    """Return the loss of each of a UE's samples under the present model, by plain PyTorch."""
    import torch

    learner = federation.learner
    learner.network.load(state.server.model)
    learner.network.module.eval()
    batch = learner.batch_of(ue, np.arange(learner.num_samples[ue]))
    with torch.no_grad():
        logits = learner.network.module(**batch.inputs).logits
    return torch.nn.functional.cross_entropy(logits, batch.labels, reduction="none").numpy()


@pytest.mark.parametrize("cut", ["{after: 2}", "{shape: u_shaped, after: [1, 3]}"])
def test_samples_of_which_the_model_is_sure_are_not_sent(cut):
    """Oracle: by hand: the samples whose loss of the first round is above -ln 0.9, and bytes by their number.

    With a step of rate 0 the losses are those of the model, in half precision where the gNB reports them at 2 bytes
    each. After two rounds the others come again.
    """
    still = "learning.algorithm={name: fedavg, local_steps: null, batch_size: 96, optimizer: sgd, learning_rate: 1e-12}"
    rule = split(f"cut: {cut}, filter: {{max_confidence: 0.9, revisit_rounds: 2}}")
    federation = federation_of(still, rule, "learning.transport=ideal")
    state = FederationState.start(federation)
    wanted = {ue: losses_of(federation, state, ue) for ue in range(3)}
    results = [run_split_round(federation, state) for _ in range(3)]
    side, at_gnb = len(encode(federation.cut_model.network.initial("ue"))), "u_shaped" not in cut
    values = 4 * TOKENS * 64 * (1 if at_gnb else 2)
    for ue, losses in wanted.items():
        known = losses.astype(np.float16).astype(np.float32) if at_gnb else losses
        np.testing.assert_allclose(state.split.histories[ue].losses, known, rtol=2e-3, atol=1e-6)
        samples, left = len(losses), int((known > -math.log(0.9)).sum())
        assert 0 < left < samples
        for result, sent in zip(results, (samples, left, samples), strict=True):
            label_bytes, loss_bytes = (sent, 2 * sent) if at_gnb else (0, 0)
            assert result.ues[ue].uplink_payload_bytes == side + sent * values + label_bytes
            assert result.ues[ue].downlink_payload_bytes == side + sent * values + loss_bytes


def test_a_ue_that_knows_everything_sits_out():
    """Oracle: by hand: a UE that is sure of all its samples has nothing to send; a round of nobody takes no time."""
    federation = federation_of(split("filter: {max_confidence: 0.5, revisit_rounds: 2}"))
    state = FederationState.start(federation)
    run_split_round(federation, state)
    sure = {ue: np.zeros_like(history.losses) for ue, history in state.split.histories.items()}
    for ue, history in state.split.histories.items():
        state.split.histories[ue] = SampleHistory(sure[ue] + (10 if ue == 2 else 0), history.rounds)
    assert [turn.ue for turn in next_turns(federation, state)[1]] == [2]
    assert [row.ue for row in run_split_round(federation, state).ues] == [2]
    for ue, history in state.split.histories.items():
        state.split.histories[ue] = SampleHistory(sure[ue], 0 * history.rounds + 2)
    before = {name: each.copy() for name, each in state.server.model.items()}
    result = run_split_round(federation, state)
    assert (result.ues, result.record.participants, result.record.start_s) == ([], 0, result.record.end_s)
    assert all(np.array_equal(each, state.server.model[name]) for name, each in before.items())


def test_what_is_left_trains_as_well():
    """Property: three rounds of filtered samples cost fewer bytes and reach about the accuracy of all of them."""
    _, _, all_sent = after(3, EPOCH, "learning.transport=ideal", split("cut: {after: 2}"))
    _, _, filtered = after(
        3, EPOCH, "learning.transport=ideal", split("cut: {after: 2}, filter: {max_confidence: 0.9}")
    )
    sent = [sum(result.record.uplink_payload_bytes for result in results) for results in (all_sent, filtered)]
    assert sent[1] < 0.8 * sent[0]
    assert filtered[-1].record.test_accuracy > all_sent[-1].record.test_accuracy - 0.03


@pytest.mark.parametrize("more", [budget(2e-3), split("filter: {max_confidence: 0.9}")])
def test_a_resumed_run_goes_on_bit_for_bit(more):
    """Oracle: the uninterrupted one, resumed after one round of three, on a channel that changes."""
    settings = ("channel=rayleigh", "learning.participation={name: uniform, count: 2, dropout: 0.2}", more)
    federation, state, _ = after(1, *settings)
    saved = {name: np.array(array) for name, array in state.arrays().items()}
    expected = [run_split_round(federation, state) for _ in range(2)]
    again = federation_of(*settings)
    resumed = FederationState.start(again)
    resumed.restore(again, saved)
    assert [repr(run_split_round(again, resumed)) for _ in range(2)] == [repr(each) for each in expected]
