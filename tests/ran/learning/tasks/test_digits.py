"""The embedded digits."""

import numpy as np
from sklearn.datasets import load_digits

from ran.learning.models import GlyphVit
from ran.learning.tasks import Digits


def test_split_is_stratified_disjoint_and_complete():
    """Oracle: scikit-learn's own arrays. 45 test digits of each class; both parts together are all 1,797, once."""
    data = Digits().load()
    images, labels = load_digits(return_X_y=True)
    assert np.bincount(data.test.labels).tolist() == [45] * 10
    ours = np.concatenate([data.train.inputs, data.test.inputs]).reshape(-1, 64) * 16
    rows = np.column_stack([ours, np.concatenate([data.train.labels, data.test.labels])])
    original = np.column_stack([images, labels])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], original[np.lexsort(original.T)])
    assert data.train.inputs.dtype == np.float32
    assert data.train.inputs.shape == (1347, 1, 8, 8)


def test_split_is_the_same_for_ever():
    """Golden: the first test images' labels and ink; a changed split would make old accuracies incomparable."""
    test = Digits().load().test
    assert test.labels[:12].tolist() == [2, 4, 7, 1, 2, 8, 8, 8, 4, 7, 0, 0]
    assert (test.inputs[:4].sum(axis=(1, 2, 3)) * 16).tolist() == [256, 348, 330, 338]


def test_pixel_values_are_normalised_as_in_pretraining():
    """Oracle: (x - 0.5) / 0.5, what pretrain_glyphs wrote to preprocessor_config.json."""
    inputs = np.array([0.0, 0.25, 1.0], np.float32).reshape(3, 1, 1, 1)
    encoded = Digits().encode(inputs, GlyphVit().source)
    assert encoded["pixel_values"].ravel().tolist() == [-1.0, -0.5, 1.0]
