"""Texts: reading, and tokens as the checkpoint's own tokenizer makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from channel.errors import UserError
from ran.learning.tasks.quiet import quiet
from ran.learning.tasks.sources import chosen_rows, class_indices, column, label_words, read_table
from ran.learning.tasks.task import Dataset, Examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.tasks.text_classification import TextClassification

USUAL_TEXT_COLUMNS = ("text", "sentence")


def load_texts(task: TextClassification) -> Dataset:
    """Return the task's data; raises UserError when a file, a column, a label or a text is wrong."""
    train, train_words = _read(task, task.train, "train", task.max_train_samples)
    test, test_words = _read(task, task.test, "test", task.max_test_samples)
    train_labels, test_labels, names = class_indices(train_words, test_words, task.train)
    return Dataset(Examples(train, train_labels), Examples(test, test_labels), names)


def _read(task: TextClassification, source: str, part: str, limit: int | None) -> tuple[NDArray[np.object_], list[str]]:
    table = read_table(source, part, split=part)
    table = table.iloc[chosen_rows(len(table), limit, part)]
    words = label_words(column(table, task.label_column, source, "label_column"), source)
    usual = [name for name in USUAL_TEXT_COLUMNS if name in table.columns]
    name = task.text_column or (usual[0] if usual else USUAL_TEXT_COLUMNS[0])
    texts = column(table, name, source, "text_column")
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{source!r}: the text of sample {row} (counted from 0) is empty; fill it in or drop it")
    return np.array(texts, dtype=object), words


def tokens(texts: NDArray[np.object_], model: str, max_length: int) -> dict[str, NDArray[Any]]:
    """Return the tokenizer's arrays, int64 [num_samples, num_tokens], padded to the longest text.

    Raises UserError when the checkpoint has no tokenizer.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(model)
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            # Transformers makes an empty one, blind to every word, where a folder has no vocabulary.
            raise ValueError("its vocabulary is empty")
        encoded = tokenizer(list(texts), truncation=True, padding="longest", max_length=max_length, return_tensors="np")
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"learning.model: {model!r} has no tokenizer that pads texts ({reason}); give a checkpoint with "
            "tokenizer.json, or a text model's hub name"
        ) from error
    return {name: np.asarray(values, dtype=np.int64) for name, values in encoded.items()}
