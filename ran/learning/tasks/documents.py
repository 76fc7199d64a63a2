"""Texts to model: reading, joining and cutting into blocks of tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from channel.errors import UserError
from ran.learning.tasks.sources import (
    chosen_rows,
    column,
    is_folder,
    is_hub_name,
    other_columns,
    read_table,
    require_path,
)
from ran.learning.tasks.task import IGNORED, Dataset, Examples
from ran.learning.tasks.texts import as_text, checked_texts, text_column, token_streams

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from ran.learning.tasks.causal_lm import CausalLm

SPEAKER = re.compile(r"([^\n:]{1,60}):[ \t]*(?:\n|\Z)")
"""The line above a speech of a printed play."""


@dataclass(frozen=True)
class Blocks:
    """Texts cut into samples.

    Attributes:
        inputs: tokens, int64 [num_blocks, block_length]; the padding of a last block is 0.
        labels: the token after each, int64 [num_blocks, block_length]; IGNORED where there is none.
        text: which text each block is of, int64 [num_blocks].
    """

    inputs: NDArray[np.int64]
    labels: NDArray[np.int64]
    text: NDArray[np.int64]


def blocks(texts: NDArray[np.object_], model: str | None, block_length: int) -> Blocks:
    """Return the tokens of every text in blocks, so that each token but the text's first is a label once.

    A text of n tokens gives ceil((n - 1) / block_length) blocks, and none where n < 2. Raises UserError when no block
    comes out, or the checkpoint has no tokenizer.
    """
    streams = token_streams(texts, model)
    counts = [-(-max(len(stream) - 1, 0) // block_length) for stream in streams]
    inputs = np.zeros((sum(counts), block_length), np.int64)
    labels = np.full((sum(counts), block_length), IGNORED, np.int64)
    if not len(inputs):
        raise UserError("the task's texts have no two tokens in a row; give longer texts")
    start = 0
    for stream, count in zip(streams, counts, strict=True):
        # Rows of a text are contiguous, so filling them flat cuts the stream.
        inputs[start : start + count].reshape(-1)[: len(stream) - 1] = stream[:-1]
        labels[start : start + count].reshape(-1)[: len(stream) - 1] = stream[1:]
        start += count
    return Blocks(inputs, labels, np.repeat(np.arange(len(streams)), counts))


def load_documents(task: CausalLm) -> Dataset:
    """Return the task's joined texts; raises UserError when a file, a column or a text is wrong."""
    train = _read(task, task.train, "train")
    if task.test:
        test = _read(task, task.test, "test")
    else:
        held_out = round(task.test_fraction * len(train))
        if not 0 < held_out < len(train):
            raise UserError(
                f"{task.train!r} has {len(train)} text{'s'[: len(train) != 1]}, of which test_fraction "
                f"{task.test_fraction:g} holds out {held_out}; name test data: learning.task.test"
            )
        rows = chosen_rows(len(train), held_out, "held out")
        test, train = train.iloc[rows], train.drop(train.index[rows])
    parts = ((train, "train", task.max_train_texts), (test, "test", task.max_test_texts))
    train_texts, test_texts = (
        _joined(table.iloc[chosen_rows(len(table), limit, part)]) for table, part, limit in parts
    )
    return Dataset(train_texts, test_texts, ())


def _read(task: CausalLm, source: str, part: str) -> pd.DataFrame:
    """Return texts as the column "" (which no file has), and the other columns as words."""
    import pandas as pd

    path = Path(source).expanduser()
    if is_folder(source):
        files = sorted(path.rglob("*.txt"))
        if not files:
            raise UserError(f"learning.task.{part}: the folder {source!r} has no .txt file; give one that has")
        texts = [as_text(file.read_bytes(), str(file)) for file in files]
        others = {"file": np.array([str(file.relative_to(path)) for file in files], dtype=object)}
    elif not is_hub_name(source) and path.suffix.lower() == ".txt":
        require_path(source, part, (".txt",))
        texts, others = _paragraphs(as_text(path.read_bytes(), source))
    else:
        table = read_table(source, part, split=part)
        name = text_column(task.text_column, list(table.columns))
        texts, others = column(table, name, source, "text_column"), other_columns(table, (name,))
    return pd.DataFrame({"": checked_texts(texts, source), **others})


def _paragraphs(text: str) -> tuple[list[str], dict[str, NDArray[np.object_]]]:
    """Return what stands between blank lines, and of a play who speaks; a paragraph without name goes on speaking."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text.strip("\n")) if part.strip()]
    if not paragraphs or not SPEAKER.match(paragraphs[0]):
        return paragraphs, {}
    speakers: list[str] = []
    for paragraph in paragraphs:
        named = SPEAKER.match(paragraph)
        speakers.append(named[1].strip() if named else speakers[-1])
    return paragraphs, {"speaker": np.array(speakers, dtype=object)}


def _joined(table: pd.DataFrame) -> Examples:
    """Return the texts, those that agree in all other columns as one, in the order of their first appearance."""
    others = [name for name in table.columns if name != ""]
    if not others:
        texts, columns = ["\n\n".join(table[""])], {}
    else:
        groups = table.groupby(others, sort=False, observed=True)[""].agg("\n\n".join).reset_index()
        texts = list(groups[""])
        columns = {name: groups[name].to_numpy(dtype=object) for name in others}
    return Examples(np.array(texts, dtype=object), np.empty(0, np.int64), columns)
