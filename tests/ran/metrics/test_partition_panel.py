"""The picture of the partition."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from ran.metrics.figures import partition


def drawn(counts, names):
    axes = Figure().subplots()
    partition(axes, SimpleNamespace(start={"partition": counts, "class_names": names}))
    return axes


def test_few_ues_have_a_bar_each():
    """Oracle: heights of the bars are the counts, label by label."""
    counts = np.array([[3, 1], [0, 5]])
    axes = drawn(counts, ["cat", "dog"])
    heights = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights == counts.T.tolist()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["cat", "dog"]


def test_many_ues_are_all_there_the_largest_first():
    """Oracle: the topmost step's edge is the sorted sizes of all UEs."""
    counts = np.random.default_rng(0).integers(0, 50, (500, 3))
    axes = drawn(counts, ["a", "b", "c"])
    steps = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    assert len(steps) == 3
    assert steps[-1].get_data().values.tolist() == sorted(counts.sum(axis=1), reverse=True)
    assert axes.get_xlabel() == "all 500 UEs, the largest first"


@pytest.mark.parametrize("num_ues", [4, 400])
def test_text_without_labels_shows_sizes(num_ues):
    """Oracle: one colour, no legend, the sizes themselves."""
    axes = drawn(np.arange(1, num_ues + 1)[:, None], [])
    assert axes.get_legend() is None
    assert axes.get_title(loc="left") + axes.get_title() == "Training samples"


def test_more_labels_than_colours_are_counted_not_named():
    """Oracle: the title; no legend."""
    axes = drawn(np.ones((5, 77)), [f"c{label}" for label in range(77)])
    assert axes.get_legend() is None
    assert "77 labels" in axes.get_title(loc="left") + axes.get_title()


def test_a_run_without_the_record_says_so():
    """Oracle: the text."""
    assert drawn([], []).texts[0].get_text() == "partition not recorded"
