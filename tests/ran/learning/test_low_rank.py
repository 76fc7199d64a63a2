"""Factors of unequal ranks, against the products written out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ran.learning.low_rank import Factors, factors, in_rank, named, other_arrays, resized, stacked

SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def draw(rng: np.random.Generator, inputs: int, outputs: int, rank: int) -> Factors:
    return Factors(rng.standard_normal((rank, inputs)), rng.standard_normal((outputs, rank)))


@given(shape=SHAPES, ranks=st.lists(st.integers(0, 12), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_stacks_product_is_the_weighted_sum_of_products(shape, ranks, seed):
    """Oracle: sum_k w_k B_k A_k / r_k written out; also after ``compact``, whose rank fits the layer."""
    rng = np.random.default_rng(seed)
    parts, weights = [draw(rng, *shape, rank) for rank in ranks], rng.random(len(ranks))
    exact = sum(w * part.b @ part.a / max(part.rank, 1) for w, part in zip(weights, parts, strict=True))
    whole = stacked(parts, weights)
    assert whole.rank == sum(ranks)
    np.testing.assert_allclose(whole.product(), exact, atol=1e-13)
    np.testing.assert_allclose(whole.compact().product(), exact, atol=1e-13)
    assert whole.compact().rank <= max(min(shape), 1)


@given(shape=SHAPES, rank=st.integers(1, 12), kept=st.integers(1, 12), seed=st.integers(0, 99))
def test_best_is_the_best_approximation(shape, rank, kept, seed):
    """Oracle: Eckart & Young: the squared error is the sum of the squared singular values left out, by NumPy."""
    whole = draw(np.random.default_rng(seed), *shape, rank)
    found = whole.best(kept)
    left_out = np.linalg.svd(whole.product(), compute_uv=False)[kept:]
    assert found.rank <= kept
    assert np.linalg.norm(found.product() - whole.product()) == pytest.approx(np.sqrt((left_out**2).sum()), abs=1e-12)


def test_first_components_of_the_best_are_the_best_of_their_rank():
    """Oracle: ``best`` itself in the smaller rank: a client of rank r needs no decomposition of its own."""
    whole = draw(np.random.default_rng(1), 7, 9, 6)
    np.testing.assert_allclose(whole.best(5).resized(2).product(), whole.best(2).product(), atol=1e-13)


@given(shape=SHAPES, rank=st.integers(1, 6), more=st.integers(0, 5), seed=st.integers(0, 99))
def test_zeros_added_and_taken_away_change_no_product(shape, rank, more, seed):
    """Property: enlarging keeps the product; cutting back, or dropping zeros, gives the factors again."""
    small = draw(np.random.default_rng(seed), *shape, rank)
    large = small.resized(rank + more)
    assert large.rank == rank + more
    np.testing.assert_allclose(large.product(), small.product(), atol=1e-13)
    for back in (large.resized(rank), large.without_zeros()):
        np.testing.assert_allclose(back.a, small.a)
        np.testing.assert_allclose(back.b, small.b, atol=1e-13)


def test_cutting_keeps_what_the_first_components_contribute():
    """Oracle: by hand. B A / 2 of two components: the first contributes 3 * 5 / 2; alone, B is halved for rank 1."""
    both = Factors(np.array([[5.0], [7.0]]), np.array([[3.0, 11.0]]))
    one = both.resized(1)
    assert one.product()[0, 0] == pytest.approx(7.5)
    assert (one.a[0, 0], one.b[0, 0]) == (5.0, 1.5)


def test_names_are_pefts_and_other_arrays_pass_through():
    """Oracle: names written out; dtypes are those of ``like``."""
    arrays = {
        "x.q.lora_A.weight": np.ones((2, 3), np.float32), "x.q.lora_B.weight": np.ones((4, 2), np.float32),
        "classifier.bias": np.zeros(2, np.float32),
    }  # fmt: skip
    assert list(factors(arrays)) == ["x.q"]
    assert list(other_arrays(arrays)) == ["classifier.bias"]
    cut = in_rank(arrays, 1)
    assert {name: array.shape for name, array in cut.items()} == {
        "classifier.bias": (2,), "x.q.lora_A.weight": (1, 3), "x.q.lora_B.weight": (4, 1),
    }  # fmt: skip
    assert {array.dtype for array in cut.values()} == {np.dtype(np.float32)}
    assert resized(arrays, arrays) is arrays
    back = named(factors(arrays), arrays) | other_arrays(arrays)
    assert back.keys() == arrays.keys()
