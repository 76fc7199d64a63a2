"""Texts: reading, and tokens as the checkpoint's own tokenizer makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from channel.errors import UserError
from ran.learning.tasks.quiet import quiet
from ran.learning.tasks.sources import (
    chosen_rows,
    class_indices,
    column,
    is_folder,
    label_words,
    other_columns,
    read_class_folders,
    read_table,
)
from ran.learning.tasks.task import Dataset, Examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.tasks.text_classification import TextClassification

USUAL_TEXT_COLUMNS = ("text", "sentence")


def load_texts(task: TextClassification) -> Dataset:
    """Return the task's data; raises UserError when a file, a column, a label or a text is wrong."""
    train, train_words, train_columns = _read(task, task.train, "train", task.max_train_samples)
    test, test_words, test_columns = _read(task, task.test, "test", task.max_test_samples)
    train_labels, test_labels, names = class_indices(train_words, test_words, task.train)
    return Dataset(Examples(train, train_labels, train_columns), Examples(test, test_labels, test_columns), names)


def _read(
    task: TextClassification, source: str, part: str, limit: int | None
) -> tuple[NDArray[np.object_], list[str], dict[str, NDArray[Any]]]:
    if is_folder(source):
        name = task.text_column or USUAL_TEXT_COLUMNS[0]
        table = read_class_folders(source, part, (".txt",), (name, task.label_column))
        table[name] = [as_text(raw, source) for raw in table[name]]
    else:
        table = read_table(source, part, split=part)
        name = text_column(task.text_column, list(table.columns))
    table = table.iloc[chosen_rows(len(table), limit, part)]
    words = label_words(column(table, task.label_column, source, "label_column"), source)
    texts = checked_texts(column(table, name, source, "text_column"), source)
    return texts, words, other_columns(table, (name, task.label_column))


def text_column(wanted: str, known: list[str]) -> str:
    """Return the column of texts: the one wanted, or else the usual one that there is."""
    usual = [name for name in USUAL_TEXT_COLUMNS if name in known]
    return wanted or (usual[0] if usual else USUAL_TEXT_COLUMNS[0])


def as_text(raw: bytes, source: str) -> str:
    """Return the text of a file, with Unix line ends; raises UserError where it is not UTF-8."""
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{source!r}: byte 0x{raw[error.start]:02x} at {error.start} is not UTF-8; save the text "
            "with UTF-8 encoding"
        ) from error


def checked_texts(texts: list[Any], source: str) -> NDArray[np.object_]:
    """Return texts as an array, object [num_samples]; raises UserError naming the first that is empty."""
    for row, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{source!r}: the text of sample {row} (counted from 0) is empty; fill it in or drop it")
    return np.array(texts, dtype=object)


def tokens(texts: NDArray[np.object_], model: str | None, max_length: int) -> dict[str, NDArray[Any]]:
    """Return the tokenizer's arrays, int64 [num_samples, num_tokens], padded to the longest text.

    Raises UserError when the checkpoint has no tokenizer.
    """
    try:
        with quiet():
            encoded = _tokenizer(model)(
                list(texts), truncation=True, padding="longest", max_length=max_length, return_tensors="np"
            )
    except _NO_TOKENIZER as error:
        raise _refused(model, "pads", error) from error
    return {name: np.asarray(values, dtype=np.int64) for name, values in encoded.items()}


def token_streams(texts: NDArray[np.object_], model: str | None) -> list[NDArray[np.int64]]:
    """Return every text's tokens, int64 [num_tokens], without those that mark its beginning or end.

    Without a ``model`` the tokens are the UTF-8 bytes, 0 to 255. Raises UserError when the checkpoint has no tokenizer.
    """
    if model is None:
        return [np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64) for text in texts]
    try:
        with quiet():
            encoded = _tokenizer(model)(list(texts), add_special_tokens=False)
    except _NO_TOKENIZER as error:
        raise _refused(model, "reads", error) from error
    return [np.array(stream, dtype=np.int64) for stream in encoded["input_ids"]]


_NO_TOKENIZER = (OSError, ValueError, KeyError)


def _tokenizer(model: str | None) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        # Transformers makes an empty one, blind to every word, where a folder has no vocabulary.
        raise ValueError("its vocabulary is empty")
    return tokenizer


def _refused(model: str | None, does: str, error: Exception) -> UserError:
    reason = str(error).strip().split("\n")[0]
    return UserError(
        f"learning.model: {model!r} has no tokenizer that {does} texts ({reason}); give a checkpoint with "
        "tokenizer.json, or a text model's hub name"
    )
