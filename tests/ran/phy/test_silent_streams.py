"""Streams that a precoder switches off are sent nowhere."""

from __future__ import annotations

import numpy as np
import torch

from ran.phy.mimo import Mimo
from ran.phy.multi_user import leave_silent
from ran.phy.precoding.precoder import Precoder
from ran.phy.precoding.streams import Streams
from ran.slot import run_slot
from tests.ran.worlds import default_radio, small_world


class FirstOnly(Precoder):
    """All power for the first stream of a group."""

    def solve(self, streams: Streams) -> torch.Tensor:
        """Return maximum ratio for it, zero for the others."""
        rows = streams.direction.clone()
        rows[..., 1:, :] = 0
        return streams.total_power(rows)


def test_streams_without_power_leave_their_group():
    """Oracle: by hand: 0.01 % of the power is silence, 1 % is not; whoever repeats a block stays."""
    v = np.zeros((1, 1, 1, 2, 4), np.complex64)
    v[0, 0, 0, 0] = np.sqrt([5.0, 5e-4, 5e-2, 0.0])
    owner, pending = np.array([[[[2, 0, 1, 3]]]], np.int32), np.array([[-1, -2, -1, 4]])
    leave_silent(owner, v, pending, 5.0)
    assert owner.tolist() == [[[[2, -1, 1, 3]]]]


def test_nobody_is_sent_a_block_where_he_has_no_power():
    """Property: a precoder for first streams alone leaves one UE a group, its block gets through at a high MCS."""
    small = small_world(
        ues_per_cell=6, antennas=8, pattern="D", loss_db=(90, 95), isolation_db=0,
        radio=default_radio(mimo=Mimo(mode="multi_user", max_streams=4, correlation_limit=0.9), precoder=FirstOnly()),
    )  # fmt: skip
    small.downlink.bearer["enqueued"] = 1 << 40
    report, _ = run_slot(small.plan, 0, small.air, small.downlink, None)
    assert report is not None
    assert (report.owner[..., 0] >= 0).any()
    assert (report.owner[..., 1:] == -1).all()
    sent = report.block[0][report.block[0]["prbs"] > 0]
    assert len(sent)
    assert sent["mcs"].min() >= 10
