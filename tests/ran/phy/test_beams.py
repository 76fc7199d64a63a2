"""Oracles: the defining matrix products in double precision, and what maximum ratio transmission guarantees."""

from __future__ import annotations

import numpy as np
import pytest

from ran.air import beams_of, radio_threads
from ran.phy.link_kernels import prb_power
from tests.ran.worlds import small_world


def test_cross_gains_equal_the_matrix_products():
    """Oracle: |h_v . w_u|^2 by einsum with w_u = conj(h_u)/||h_u||. Catches a lost conjugate or swapped UE indices."""
    small = small_world(cells=3, ues_per_cell=2, seeds=(1, 2), antennas=8)
    table = beams_of(small.plan, small.snapshot, small.serving_cell)
    h = small.snapshot.gain[:, :, 0].astype(np.complex128)  # [batch, num_rx, num_tx, num_tx_ant, num_subbands]
    for b in range(2):
        for u in range(6):
            cell = small.serving_cell[b, u]
            own = h[b, u, cell]  # [num_tx_ant, num_subbands]
            beam = own.conj() / np.linalg.norm(own, axis=0)
            expected = np.abs(np.einsum("vms,ms->vs", h[b, :, cell], beam)) ** 2
            np.testing.assert_allclose(table.cross[b, :, :, u].T, expected, rtol=1e-4, atol=expected.max() * 1e-9)
            np.testing.assert_allclose(
                table.cross[b, :, u, u], np.linalg.norm(own, axis=0) ** 2, rtol=1e-4
            )  # the beam collects all of ||h||^2


def test_threads_do_not_change_a_bit():
    """Property: the parallel kernels' results are equal for one thread and two."""
    small = small_world(cells=3, ues_per_cell=4, antennas=8)
    tables = []
    for threads in (1, 2):
        with radio_threads(threads):
            tables.append(beams_of(small.plan, small.snapshot, small.serving_cell).cross)
    assert (tables[0] == tables[1]).all()


@pytest.mark.parametrize(
    ("prbs", "loss_db", "expected_dbm"), [(1, 80, -80 + 64), (10, 100, -80 + 80), (51, 130, 23 - 17.0757)]
)
def test_uplink_power_follows_the_standard(prbs, loss_db, expected_dbm):
    """Oracle: TS 38.213 7.1.1 by hand, per PRB: P0 + alpha PL, or P_max - 10 log10(M) when that is less."""
    small = small_world()
    power_w = prb_power(prbs, 10 ** (-loss_db / 10), small.plan.uplink.params)
    assert 10 * np.log10(power_w / 1e-3) == pytest.approx(expected_dbm, abs=1e-3)
