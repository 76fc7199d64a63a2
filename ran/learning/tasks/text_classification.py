"""Text classification on a local table or folder, or on a dataset of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ran.learning.tasks.task import TASKS, Dataset, Kind, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray


@TASKS.register("text_classification")
class TextClassification(Task):
    """Texts and labels of a .csv or .parquet file, of .txt files in one folder per class, or of a hub dataset."""

    kind: ClassVar[Kind] = "text_classification"

    train: str = Field(
        min_length=1, description="training data: .csv, .parquet, a folder, or a hub dataset as name or name:split"
    )
    test: str = Field(min_length=1, description="test data, likewise")
    text_column: str = Field(default="", description="column of texts; empty: `text` or `sentence`, whichever exists")
    label_column: str = Field(default="label", description="column of labels, numbers or words")
    max_length: int = Field(default=64, ge=2, le=8192, description="longest text, tokens; the rest is cut off")
    max_train_samples: int | None = Field(default=None, ge=1, description="use this many, drawn at random")
    max_test_samples: int | None = Field(default=None, ge=1, description="use this many, drawn at random")

    def problems(self) -> list[str]:
        """Return a sentence for each file that is missing or of a kind that cannot be read."""
        from ran.learning.tasks.sources import CLASS_FOLDERS, path_problems

        suffixes = (".csv", ".parquet", CLASS_FOLDERS)
        return path_problems(self.train, "train", suffixes) + path_problems(self.test, "test", suffixes)

    def load(self) -> Dataset:
        """Return texts, object [num_samples]; raises UserError."""
        from ran.learning.tasks.texts import load_texts

        return load_texts(self)

    def encode(self, inputs: NDArray[Any], model: str | None) -> dict[str, NDArray[Any]]:
        """Return ``input_ids`` and what else the model's tokenizer makes, int64 [num_samples, num_tokens]."""
        from ran.learning.tasks.texts import tokens

        return tokens(inputs, model, self.max_length)
