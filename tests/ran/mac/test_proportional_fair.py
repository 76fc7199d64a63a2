"""Oracle: the conditions of Karush, Kuhn and Tucker, and the convex optimum of sum log R."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from ran.mac.proportional_fair import ProportionalFair
from ran.slot import run_slot
from tests.ran.mac.observations import faded_rates, one_cell, serve_full_buffer
from tests.ran.worlds import small_world


def kkt_residual(rate_bits, mean_bits, share):
    """Return by how much the worst group falls short of max_u r_ug / R_u, relative to it.

    With U = sum log R_u and R_u = sum_g x_ug r_ug, group g may go only to UEs of largest dU/dx_ug = r_ug / R_u.
    ``share`` are the shares x_ug, adding up to 1 for every group.
    """
    slope = rate_bits / mean_bits[:, None]
    return 1.0 - ((share * slope).sum(axis=0) / slope.max(axis=0)).min()


def best_log_utility(rate_bits):
    """Return the rates R_u that maximise sum log R_u, by sequential quadratic programming."""
    ues, groups = rate_bits.shape

    def rates(x):
        return (x.reshape(ues, groups) * rate_bits).sum(axis=1)

    found = minimize(
        lambda x: -np.log(rates(x)).sum(),
        np.full(ues * groups, 1.0 / ues),
        jac=lambda x: (-rate_bits / rates(x)[:, None]).ravel(),
        bounds=[(0.0, 1.0)] * (ues * groups),
        constraints={
            "type": "eq",
            "fun": lambda x: x.reshape(ues, groups).sum(axis=0) - 1.0,
            "jac": lambda x: np.tile(np.eye(groups), ues),  # noqa: ARG005
        },
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    assert found.success
    assert kkt_residual(rate_bits, rates(found.x), found.x.reshape(ues, groups)) < 1e-4
    return rates(found.x)


def test_long_run_shares_maximise_log_utility():
    """Full buffer, six UEs over 20 dB: KKT residual, and every UE's rate beside the convex optimum's."""
    for seed in range(3):
        rate = faded_rates(seed, ues=6, groups=13)
        mean_bits, share = serve_full_buffer(ProportionalFair(), rate, slots=6000)
        assert kkt_residual(rate, mean_bits, share) < 0.03
        np.testing.assert_allclose(mean_bits, best_log_utility(rate), rtol=0.03)


def test_shares_maximise_log_utility_over_the_radio():
    """The same through ``run_slot``: rates as reported, served bits as they arrived, retransmissions left out."""
    small = small_world(ues_per_cell=5, loss_db=(125.0, 145.0), pattern="D")
    small.downlink.bearer["enqueued"] = 1 << 40
    rate = small.air.downlink.rate_bits[small.plan.kinds[0].downlink][0].astype(float)
    held, served, slots = np.zeros_like(rate), np.zeros(len(rate)), 0
    for slot in range(6000):
        report, _ = run_slot(small.plan, slot, small.air, small.downlink, None)
        if slot >= 1000:
            slots += 1
            served += small.downlink.bearer["served_bits"][0, :, 0]
            fresh = report.block["attempt"][0] == 1
            for group, ue in enumerate(report.owner[0, 0, :, 0]):
                held[ue, group] += ue >= 0 and fresh[ue]
    assert kkt_residual(rate, served / slots, held / held.sum(axis=0)) < 0.03


def test_prefers_each_ue_where_it_is_good():
    """Hand-made channel in which each UE is good on one half of the band: it gets that half."""
    rate = np.array([[3000] * 5 + [100] * 5, [100] * 5 + [3000] * 5], float)
    owner, _ = ProportionalFair().decide(one_cell(rate, served_bits=1000), np.full((1, 2), 1000.0))
    assert owner[0, 0].tolist() == [0] * 5 + [1] * 5
