"""Every rule that spreads samples over clients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel.errors import UserError
from ran.learning import PARTITIONS
from ran.learning.partition import Dirichlet, Iid, class_counts


@pytest.mark.parametrize("name", PARTITIONS.names())
@given(
    num_clients=st.integers(1, 12), per_client=st.integers(1, 6), spare=st.integers(0, 100),
    num_classes=st.integers(1, 6), seed=st.integers(0, 1000),
)  # fmt: skip
def test_every_sample_has_one_owner_and_nobody_too_few(name, num_clients, per_client, spare, num_classes, seed):
    """Property: a partition of the indices, ascending, at least ``min_samples`` each, the same again by seed."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, num_clients * per_client + spare)
    rule = PARTITIONS.get(name)(min_samples=per_client)
    parts = rule.split(labels, num_clients, np.random.default_rng(seed))
    again = rule.split(labels, num_clients, np.random.default_rng(seed))
    assert len(parts) == num_clients
    assert all(len(part) >= per_client for part in parts)
    assert all((np.diff(part) > 0).all() for part in parts)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert all((one == other).all() for one, other in zip(parts, again, strict=True))


def test_dirichlet_shares_have_the_distribution_s_variance():
    """Oracle: closed form. A share of Dirichlet(alpha, .., alpha) over K has variance (K-1) / (K^2 (K alpha + 1))."""
    num_clients, alpha, labels = 4, 0.5, np.repeat(np.arange(20), 500)
    rng = np.random.default_rng(3)
    rule = Dirichlet(alpha=alpha, min_samples=1)
    counts = [class_counts(rule.split(labels, num_clients, rng), labels, 20) for _ in range(60)]
    shares = np.stack(counts) / 500  # [draws, num_clients, num_classes]
    assert shares.mean(axis=(0, 2)) == pytest.approx(np.full(4, 0.25), abs=0.03)
    expected = (num_clients - 1) / (num_clients**2 * (num_clients * alpha + 1))
    assert shares.var(axis=(0, 2)).mean() == pytest.approx(expected, rel=0.08)


def test_iid_deals_evenly():
    """Oracle: sizes differ by one at most, and class counts stay within 5 sigma of hypergeometric."""
    labels = np.repeat(np.arange(10), 100)
    parts = Iid().split(labels, 7, np.random.default_rng(0))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert np.abs(class_counts(parts, labels, 10) - 1000 / 70).max() < 5 * np.sqrt(1000 / 70)


def test_class_counts_by_hand():
    """Oracle: counting by hand; a class that nobody holds keeps its column."""
    counts = class_counts([np.array([0, 1, 4]), np.array([2, 3])], np.array([0, 0, 1, 1, 1]), 3)
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0]]


def test_more_clients_than_samples_is_refused():
    """Oracle: the numbers in the sentence, and its remedy."""
    with pytest.raises(UserError, match=r"5 clients with at least 8 samples each need 40 .* has 39; use fewer UEs"):
        Dirichlet().split(np.zeros(39, np.int64), 5, np.random.default_rng(0))
