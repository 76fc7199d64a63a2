"""Oracles: equality itself, and the linear programme whose optimum no scheduler can exceed."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from ran.mac.max_min import MaxMin
from ran.slot import run_slot
from tests.ran.mac.observations import faded_rates, one_cell, serve_full_buffer
from tests.ran.worlds import small_world


def largest_minimum(rate_bits):
    """Return max_x min_u sum_g x_ug r_ug, where the shares of every group add up to 1."""
    ues, groups = rate_bits.shape
    below = np.hstack([-np.kron(np.eye(ues), np.ones(groups)) * rate_bits.ravel(), np.ones((ues, 1))])
    whole = np.hstack([np.tile(np.eye(groups), ues), np.zeros((groups, 1))])
    found = linprog(np.r_[np.zeros(ues * groups), -1.0], below, np.zeros(ues), whole, np.ones(groups))
    assert found.success
    return -found.fun


def test_throughputs_are_equal_and_near_the_best_that_equal_ones_can_be():
    """Catches: a mean that forgets this slot's grants; groups taken without regard to what others lose (0.93)."""
    ratios = []
    for seed in range(6):
        rate = faded_rates(seed, ues=6, groups=13)
        mean_bits, _ = serve_full_buffer(MaxMin(), rate, slots=5000)
        np.testing.assert_allclose(mean_bits, mean_bits.mean(), rtol=0.02)
        ratios.append(mean_bits.min() / largest_minimum(rate))
    assert max(ratios) < 1.0 + 1e-6
    assert np.mean(ratios) > 0.95


def test_throughputs_over_the_radio_are_equal():
    """Oracle: equality within 2 % of the bytes that arrived, over 20 dB. Catches: rates believed, not measured."""
    small = small_world(ues_per_cell=5, loss_db=(125.0, 145.0), scheduler="max_min", pattern="D")
    small.downlink.bearer["enqueued"] = 1 << 40
    for slot in range(4000):
        run_slot(small.plan, slot, small.air, small.downlink, None)
    arrived = small.downlink.bearer["delivered"][0, :, 0]
    np.testing.assert_allclose(arrived, arrived.mean(), rtol=0.02)
    assert np.ptp(small.downlink.tally["prb_slots"]) > 0.5 * small.downlink.tally["prb_slots"].mean()


def test_the_poorest_takes_the_group_that_others_can_spare():
    """Hand case: UE 0 is poorest and as good as anywhere on group 1, the only one that is nothing to UE 1."""
    rate = np.array([[1000.0, 900.0], [1000.0, 100.0]])
    owner, _ = MaxMin().decide(one_cell(rate), np.array([[500.0, 501.0]]))
    assert owner[0, 0].tolist() == [1, 0]


def test_a_ue_without_any_rate_holds_up_nobody():
    """Hand case: the poorest UE can carry nothing; the other takes all."""
    rate = np.array([[0.0, 0.0, 0.0], [100.0, 200.0, 300.0]])
    owner, _ = MaxMin().decide(one_cell(rate), np.array([[1.0, 5000.0]]))
    assert owner[0, 0].tolist() == [1, 1, 1]


def test_a_covered_backlog_takes_no_more_groups():
    """Hand case: 100 bytes fit in one group of 1000 bits with a tenth to spare; the richer UE takes the rest."""
    rate = np.full((2, 4), 1000.0)
    owner, _ = MaxMin().decide(one_cell(rate, backlog_bytes=np.array([100, 10_000])), np.array([[1.0, 9000.0]]))
    assert sorted(owner[0, 0].tolist()) == [0, 1, 1, 1]
