"""Where data comes from: local tables and folders, or datasets of the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from channel.errors import UserError
from channel.registry import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?(:[\w.-]+)?")
FILE_SUFFIXES = {".csv", ".tsv", ".parquet", ".npz", ".npy", ".json", ".jsonl", ".txt", ".zip", ".gz", ".pkl", ".xlsx"}
CLASS_FOLDERS = "a folder with one folder per class"
"""Stands among the suffixes of a task that reads such folders."""
PLAIN_VALUES = {"string", "integer", "boolean", "categorical", "floating", "datetime64", "date"}
"""What pandas calls the columns that a partition could go by: not images, lists or mappings."""


def is_hub_name(source: str) -> bool:
    """Return whether ``source`` is ``name``, ``owner/name`` or either with ``:split``, rather than a file."""
    path = Path(source).expanduser()
    return bool(HUB_NAME.fullmatch(source)) and path.suffix.lower() not in FILE_SUFFIXES and not path.exists()


def path_problems(source: str, field: str, suffixes: Sequence[str]) -> list[str]:
    """Return a sentence if ``source`` names a local file that is missing or not one of ``suffixes``."""
    if is_hub_name(source):
        return []
    path = Path(source).expanduser()
    if path.is_dir() and CLASS_FOLDERS in suffixes:
        has_classes = any(each.is_dir() for each in path.iterdir())
        return [] if has_classes else [f"`{field}`: {source!r} has no folders in it; expected {CLASS_FOLDERS}"]
    if path.suffix.lower() not in suffixes:
        return [f"`{field}`: cannot read {source!r}; expected {' or '.join(suffixes)}, or a hub dataset owner/name"]
    if path.is_file():
        return []
    siblings = [sibling.name for sibling in path.parent.iterdir()] if path.parent.is_dir() else []
    hint = did_you_mean(path.name, siblings) or "; give the path of an existing file"
    return [f"`{field}`: no file {source!r} (relative paths start at the working directory {Path.cwd()}){hint}"]


def require_path(source: str, field: str, suffixes: Sequence[str]) -> None:
    """Raise UserError with the first of ``path_problems``."""
    problems = path_problems(source, field, suffixes)
    if problems:
        raise UserError(f"learning.task.{problems[0].replace('`', '')}")


def is_folder(source: str) -> bool:
    """Return whether ``source`` is a folder on this machine."""
    return Path(source).expanduser().is_dir()


def read_class_folders(source: str, field: str, suffixes: Sequence[str], columns: tuple[str, str]) -> pd.DataFrame:
    """Return the files with one of ``suffixes`` below every folder of ``source``, ordered by path.

    The two ``columns`` are each file's bytes and its class, the name of the folder. Raises UserError.
    """
    import pandas as pd

    require_path(source, field, (CLASS_FOLDERS,))
    root = Path(source).expanduser()
    files = sorted(path for path in root.glob("*/**/*") if path.suffix.lower() in suffixes and path.is_file())
    if not files:
        raise UserError(f"learning.task.{field}: no file ({' or '.join(suffixes)}) lies in a folder of {source!r}")
    labels = [path.relative_to(root).parts[0] for path in files]
    return pd.DataFrame({columns[0]: [path.read_bytes() for path in files], columns[1]: labels})


def other_columns(table: pd.DataFrame, used: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Return the columns but for ``used`` as words, object [num_rows]; those that hold no plain values are left out."""
    from pandas.api.types import infer_dtype

    return {
        str(name): table[name].astype(str).to_numpy(dtype=object)
        for name in table.columns
        if name not in used and infer_dtype(table[name], skipna=True) in PLAIN_VALUES
    }


def read_table(source: str, field: str, split: str) -> pd.DataFrame:
    """Return the rows of a .csv or .parquet file, or of a hub dataset's ``split``; raises UserError."""
    import pandas as pd

    if is_hub_name(source):
        return _read_hub(source, field, split)
    path = Path(source).expanduser()
    require_path(source, field, (".csv", ".parquet"))
    try:
        if path.suffix.lower() == ".csv":
            # Without na_filter, a text that reads "null" or "NA" stays a text.
            return pd.read_csv(path, na_filter=False, dtype=str)
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"learning.task.{field}: cannot read {source!r} as a table ({reason})") from error


def _read_hub(source: str, field: str, split: str) -> pd.DataFrame:
    name, _, named_split = source.partition(":")
    remedy = f"pass a local copy: --set learning.task.{field}=/path/to/{field}.csv (or .parquet)"
    try:
        import datasets
    except ImportError as error:
        raise UserError(
            f"learning.task.{field}: {source!r} is a hub dataset, which needs the package `datasets` "
            f"(pip install 'airtune[text]'); or {remedy}"
        ) from error
    from ran.learning.tasks.quiet import quiet

    try:
        with quiet():
            table: pd.DataFrame = datasets.load_dataset(name, split=named_split or split).to_pandas()
        return table
    except (OSError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise UserError(
            f"learning.task.{field}: cannot read {source!r} from the Hugging Face hub ({reason}); {remedy}"
        ) from error


def column(table: pd.DataFrame, name: str, source: str, setting: str) -> list[Any]:
    """Return the values of one column; raises UserError with the nearest name."""
    if name not in table.columns:
        known = [str(each) for each in table.columns]
        hint = did_you_mean(name, known).rstrip("?")
        raise UserError(
            f"{source!r} has no column {name!r}{hint}; its columns are {', '.join(known)}; set learning.task.{setting}"
        )
    return list(table[name])


def label_words(values: Sequence[Any], source: str) -> list[str]:
    """Return labels as words; raises UserError naming the first row without one."""
    words = ["" if value is None or value != value else str(value).strip() for value in values]
    if "" in words:
        raise UserError(f"{source!r}: sample {words.index('')} (counted from 0) has no label; fill it in or drop it")
    return words


def class_indices(
    train: Sequence[str], test: Sequence[str], source: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[str, ...]]:
    """Return train and test labels as indices, and the class names: the training labels, sorted.

    Whole numbers sort by value, so that labels 0..n-1 are their own indices. Raises UserError when the test
    data has a class that training lacks, or there are fewer than two classes.
    """
    import numpy as np

    numeric = all(re.fullmatch(r"-?\d+", word) for word in set(train))
    names = sorted(set(train), key=int if numeric else None)
    if len(names) < 2:
        raise UserError(f"{source!r} has {len(names)} class(es) of labels; classification needs at least two")
    unknown = sorted(set(test) - set(names))
    if unknown:
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise UserError(f"the test data has the label {unknown[0]!r}, which {source!r} lacks (it has {shown})")
    index = {name: position for position, name in enumerate(names)}
    return (
        np.array([index[word] for word in train], dtype=np.int64),
        np.array([index[word] for word in test], dtype=np.int64),
        tuple(names),
    )


def chosen_rows(num_rows: int, limit: int | None, part: str) -> NDArray[np.int64]:
    """Return ``limit`` rows drawn at random, ascending, or all; the draw does not depend on any scenario's seed."""
    import numpy as np

    from channel.seeding import stream

    if limit is None or limit >= num_rows:
        return np.arange(num_rows)
    return np.sort(stream(0, "subset", part).permutation(num_rows)[:limit])
