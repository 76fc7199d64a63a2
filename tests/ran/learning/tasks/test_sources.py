"""Names of data, labels and columns: what is a file, what is a hub name, and what is wrong with either."""

import sys

import numpy as np
import pandas as pd
import pytest

from channel.errors import UserError
from ran.learning.tasks import ImageClassification, TextClassification
from ran.learning.tasks.sources import chosen_rows, class_indices, is_hub_name, label_words, read_table


@pytest.mark.parametrize("name", ["mnist", "stanfordnlp/sst2", "stanfordnlp/sst2:validation", "a.b/c-d_e:train"])
def test_hub_names(name):
    """Oracle: the hub's own naming, owner optional, with a split after a colon."""
    assert is_hub_name(name)


@pytest.mark.parametrize(
    "name", ["train.csv", "data/train.parquet", "./sst2", "/abs/sst2", "../a/b", "~/x", "a/b/c", "x.npz"]
)
def test_file_names(name):
    """Oracle: paths with a data file's suffix, or that cannot be a hub name."""
    assert not is_hub_name(name)


def test_an_existing_folder_or_file_is_never_a_hub_name(tmp_path, monkeypatch):
    """Property: what lies on disk wins."""
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("owner/data")
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "data").touch()
    assert not is_hub_name("owner/data")


def test_problems_name_the_missing_file_and_its_nearest_neighbour(tmp_path):
    """Oracle: the sentence; the loader reports it at the field in backticks."""
    (tmp_path / "train.csv").touch()
    task = TextClassification(train=str(tmp_path / "trian.csv"), test=str(tmp_path / "train.csv"))
    [problem] = task.problems()
    assert problem.startswith("`train`: no file ")
    assert problem.endswith("did you mean 'train.csv'?")
    assert (
        ImageClassification(train="photos.zip").problems()[0].startswith("`train`: cannot read 'photos.zip'; expected")
    )
    assert ImageClassification(train="owner/photos").problems() == []
    [_, missing] = ImageClassification(train=str(tmp_path / "x.parquet")).problems()
    assert missing.startswith("`test`: missing")


def test_labels_sort_as_numbers_or_as_words():
    """Oracle: by hand; labels 0..n-1 keep their own index beyond 9, and test labels use the training index."""
    train, test, names = class_indices(["10", "2", "0", "2"], ["10"], "x")
    assert (train.tolist(), test.tolist(), names) == ([2, 1, 0, 1], [2], ("0", "2", "10"))
    train, test, names = class_indices(["pos", "neg"], ["neg", "pos"], "x")
    assert (train.tolist(), test.tolist(), names) == ([1, 0], [0, 1], ("neg", "pos"))


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        (["1", "1"], ["1"], "1 class"),
        (["0", "1"], ["0", "-1"], "label '-1', which 'x' lacks .it has 0, 1"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(train, test, sentence):
    """Oracle: the sentence."""
    with pytest.raises(UserError, match=sentence):
        class_indices(train, test, "x")


@pytest.mark.parametrize("hole", ["", None, float("nan"), "  "])
def test_a_missing_label_is_found(hole):
    """Oracle: the row's number in the sentence."""
    with pytest.raises(UserError, match=r"sample 2 .* has no label"):
        label_words(["a", 0, hole], "x")


def test_chosen_rows_are_a_fixed_subset():
    """Property: ascending, distinct, in range, the same every time; another part draws others."""
    rows = chosen_rows(1000, 50, "train")
    assert (np.diff(rows) > 0).all()
    assert 0 <= rows.min() <= rows.max() < 1000
    assert len(rows) == 50
    assert (rows == chosen_rows(1000, 50, "train")).all()
    assert (rows != chosen_rows(1000, 50, "test")).any()
    assert chosen_rows(3, None, "train").tolist() == chosen_rows(3, 7, "train").tolist() == [0, 1, 2]


def test_a_hub_dataset_without_its_package_says_what_to_do(monkeypatch):
    """Oracle: one line that names the package and the local alternative."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        UserError, match=r"pip install 'airtune\[text\]'.*--set learning.task.test=/path/to/test.csv"
    ) as caught:
        read_table("stanfordnlp/sst2:validation", "test", "test")
    assert "\n" not in str(caught.value)


def test_hub_datasets_are_read_by_name_and_split(monkeypatch):
    """Oracle: a stand-in for the package `datasets` that records how it is called; its errors become one line."""
    calls = []

    class Datasets:
        def load_dataset(self, name, split):
            calls.append((name, split))
            if name == "nobody/nothing":
                raise ConnectionError("Couldn't reach the Hub\nsecond line")
            return self

        def to_pandas(self):
            return pd.DataFrame({"sentence": ["fine"], "label": [1]})

    monkeypatch.setitem(sys.modules, "datasets", Datasets())
    assert read_table("stanfordnlp/sst2:validation", "test", "test").columns.tolist() == ["sentence", "label"]
    read_table("imdb", "train", "train")
    assert calls == [("stanfordnlp/sst2", "validation"), ("imdb", "train")]
    with pytest.raises(UserError, match=r"Couldn't reach the Hub\); pass a local copy: --set"):
        read_table("nobody/nothing", "train", "train")
