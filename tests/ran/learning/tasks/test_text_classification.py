"""Texts of .csv and .parquet files, and their tokens."""

import json

import numpy as np
import pandas as pd
import pytest

from channel.errors import UserError
from ran.learning.tasks import TextClassification


@pytest.fixture
def csv(tmp_path):
    def write(text: str, name: str = "data.csv") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


def both(path: str, **settings) -> TextClassification:
    return TextClassification(train=path, test=path, **settings)


def test_texts_and_labels_come_back(csv):
    """Oracle: by hand. Quotes, commas, umlauts and the words null and NA are text like any other."""
    data = both(csv('text,label\n"a, ""b""",1\nnull,0\nNA,1\nkrümel,0\n')).load()
    assert data.train.inputs.tolist() == ['a, "b"', "null", "NA", "krümel"]
    assert data.train.labels.tolist() == [1, 0, 1, 0]
    assert data.class_names == ("0", "1")


def test_columns_by_name_or_by_custom(csv, tmp_path):
    """Oracle: by hand; `sentence` is found without being named, a parquet file reads as a csv does."""
    path = csv("idx,sentence,verdict\n0,good,yes\n1,bad,no\n")
    data = both(path, label_column="verdict").load()
    assert data.train.inputs.tolist() == ["good", "bad"]
    assert data.class_names == ("no", "yes")
    pd.DataFrame({"body": ["x", "y"], "label": [3, 5]}).to_parquet(tmp_path / "data.parquet")
    data = both(str(tmp_path / "data.parquet"), text_column="body").load()
    assert data.train.labels.tolist() == [0, 1]


def test_a_folder_per_class_and_other_columns(tmp_path, csv):
    """Oracle: by hand; other columns go with their texts."""
    for name, text in (("pos/1.txt", "good"), ("neg/1.txt", "bad"), ("pos/2.txt", "krümel")):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        csv(text, f"set/{name}")
    task = both(str(tmp_path / "set"))
    assert task.problems() == []
    data = task.load()
    assert data.train.inputs.tolist() == ["bad", "good", "krümel"]
    assert data.train.labels.tolist() == [0, 1, 1]
    data = both(csv("text,label,user\na,0,u1\nb,1,u2\n")).load()
    assert data.train.columns["user"].tolist() == ["u1", "u2"]


def test_chosen_samples_keep_their_labels(csv):
    """Oracle: the label is written in the text."""
    path = csv("text,label\n" + "".join(f"t{row % 4},{row % 4}\n" for row in range(100)))
    data = both(path, max_train_samples=30, max_test_samples=12).load()
    assert (len(data.train.labels), len(data.test.labels)) == (30, 12)
    assert [f"t{label}" for label in data.train.labels] == data.train.inputs.tolist()


@pytest.mark.parametrize(
    ("text", "settings", "sentence"),
    [
        (
            "txt,label\na,0\nb,1\n",
            {},
            "no column 'text'; did you mean 'txt'; its columns are txt, label; set .*text_column",
        ),
        ("text,label\na,0\nb,1\n", {"label_column": "stars"}, "no column 'stars'.*set learning.task.label_column"),
        ("text,label\na,0\nb,\n", {}, "sample 1 .* has no label"),
        ("text,label\na,0\n ,1\n", {}, "text of sample 1 .* is empty"),
        ("text,label\na,0\nb,0\n", {}, "at least two"),
        ("", {}, "cannot read .* as a table"),
        ('text,label\na,0\n"b,1\n', {}, "cannot read .* as a table|has no label"),
    ],
)
def test_tables_that_make_no_sense(csv, text, settings, sentence):
    """Oracle: the sentence names the file, what is wrong and what to do."""
    with pytest.raises(UserError, match=sentence):
        both(csv(text), **settings).load()


@pytest.fixture
def word_tokenizer(tmp_path):
    """A checkpoint folder with a WordLevel tokenizer: [CLS] words [SEP], lower case, padded with 0."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    return str(tmp_path)


def test_tokens_are_padded_and_cut(word_tokenizer):
    """Oracle: by hand from the vocabulary."""
    task = TextClassification(train="x.csv", test="x.csv", max_length=5)
    encoded = task.encode(np.array(["good film", "bad", "bad bad bad bad unheard"], object), word_tokenizer)
    assert encoded["input_ids"].tolist() == [[2, 4, 6, 3, 0], [2, 5, 3, 0, 0], [2, 5, 5, 5, 3]]
    assert encoded["attention_mask"].tolist() == [[1, 1, 1, 1, 0], [1, 1, 1, 0, 0], [1] * 5]
    assert encoded["input_ids"].dtype == np.int64


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path):
    """Oracle: the sentence."""
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="has no tokenizer that pads texts"):
        TextClassification(train="x.csv", test="x.csv").encode(np.array(["a"], object), str(tmp_path))
