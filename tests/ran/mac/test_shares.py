"""Shares of the band. Oracle: counting groups."""

from __future__ import annotations

import numpy as np
import pytest

from ran.mac.shares import Shares
from tests.ran.mac.observations import one_cell


def granted(share: list[float], slots: int = 400, groups: int = 7, backlog: int = 10**9) -> np.ndarray:
    """Return how many groups each UE gets in so many slots."""
    scheduler, ues = Shares(), len(share)
    state, count = scheduler.start(1, 1, ues), np.zeros(ues, int)
    for _ in range(slots):
        seen = one_cell(np.full((ues, groups), 100.0), backlog_bytes=backlog)
        seen.bearer["share"] = share
        grant, state = scheduler.decide(seen, state)
        count += np.bincount(grant.ravel(), minlength=ues)
    return count


@pytest.mark.parametrize("share", [[0.5, 0.3, 0.2], [1, 20, 3], [0.9, 0.05, 0.05], [1e-3, 1e-3]])
def test_groups_follow_shares(share):
    """Oracle: the shares themselves, of all groups; counters are off by less than two slots."""
    got = granted(share)
    np.testing.assert_allclose(got, 2800 * np.array(share) / sum(share), atol=15)
    assert got.sum() == 2800


def test_data_without_a_share_count_as_the_others():
    """Oracle: hand computation; nobody said anything of UE 2, so that it has the mean of 3 and 1."""
    np.testing.assert_allclose(granted([3, 1, 0]), 2800 * np.array([3, 1, 2]) / 6, atol=15)
    np.testing.assert_allclose(granted([0, 0]), [1400, 1400], atol=15)


def test_what_one_leaves_goes_to_the_others():
    """Property: a UE whose backlog is covered leaves no group idle."""
    seen = one_cell(np.full((2, 7), 100.0), backlog_bytes=np.array([20, 10**6]))
    seen.bearer["share"] = [0.99, 0.01]
    grant, _ = Shares().decide(seen, Shares().start(1, 1, 2))
    np.testing.assert_array_equal(np.bincount(grant.ravel()), [2, 5])
