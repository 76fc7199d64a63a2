"""Causal language modelling: the next token of local texts, or of a dataset of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ran.learning.tasks.task import TASKS, Dataset, Examples, Kind, Samples, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TASKS.register("causal_lm")
class CausalLm(Task):
    """Predict the next token of texts from a .txt, .csv or .parquet file, a folder of .txt files, or a hub dataset.

    Texts that agree in every other column are joined, with a blank line in between, and cut into samples of
    ``block_length`` tokens, the last one padded; every token but a joined text's first is predicted once. What a
    partition can go by is the other columns: of a table its own; of a folder ``file``; of a .txt file whose first
    paragraph begins with a line ``NAME:``, as plays are printed, ``speaker``. Accuracy is the share of next tokens
    rightly predicted, and perplexity is exp(loss).
    """

    kind: ClassVar[Kind] = "causal_lm"

    train: str = Field(
        min_length=1, description="training texts: .txt, .csv, .parquet, a folder, or a hub dataset (name:split)"
    )
    test: str = Field(default="", description="test texts, likewise; empty: test_fraction of the training texts")
    test_fraction: float = Field(
        default=0.1, gt=0, lt=1, description="share of the texts (of a .txt: paragraphs) held out, drawn at random"
    )
    text_column: str = Field(default="", description="column of texts; empty: `text` or `sentence`, whichever exists")
    block_length: int = Field(default=64, ge=2, le=65_536, description="tokens of a sample")
    tokenizer: Literal["model", "bytes"] = Field(
        default="model", description="bytes: the UTF-8 bytes themselves, as a network without files always takes them"
    )
    max_train_texts: int | None = Field(default=None, ge=1, description="use this many, drawn at random")
    max_test_texts: int | None = Field(default=None, ge=1, description="use this many, drawn at random")

    def problems(self) -> list[str]:
        """Return a sentence for each file that is missing or of a kind that cannot be read."""
        from ran.learning.tasks.sources import is_folder, path_problems

        named = [("train", self.train), *([("test", self.test)] if self.test else [])]
        suffixes = (".txt", ".csv", ".parquet")
        return [
            text for field, source in named if not is_folder(source) for text in path_problems(source, field, suffixes)
        ]

    def load(self) -> Dataset:
        """Return joined texts, object [num_texts], their columns, and no labels; raises UserError."""
        from ran.learning.tasks.documents import load_documents

        return load_documents(self)

    def encode(self, inputs: NDArray[Any], model: str | None) -> dict[str, NDArray[np.int64]]:
        """Return ``input_ids``, int64 [num_blocks, block_length]."""
        from ran.learning.tasks.documents import blocks

        return {"input_ids": blocks(inputs, None if self.tokenizer == "bytes" else model, self.block_length).inputs}

    def samples(self, examples: Examples, model: str | None) -> Samples:
        """Return blocks of tokens, the token after each as its label, and their texts' columns."""
        from ran.learning.tasks.documents import blocks

        cut = blocks(examples.inputs, None if self.tokenizer == "bytes" else model, self.block_length)
        columns = {name: values[cut.text] for name, values in examples.columns.items()}
        return Samples({"input_ids": cut.inputs}, cut.labels, columns)
