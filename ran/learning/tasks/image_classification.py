"""Image classification on a local .npz or .parquet file, or on a dataset of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ran.learning.tasks.task import TASKS, Dataset, Kind, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TASKS.register("image_classification")
class ImageClassification(Task):
    """Images and labels of a local .npz (x_train, y_train, x_test, y_test) or .parquet file, or a hub dataset."""

    kind: ClassVar[Kind] = "image_classification"

    train: str = Field(
        min_length=1, description="training data: .npz, .parquet, or a hub dataset as name or name:split"
    )
    test: str = Field(default="", description="test data; may be left out for .npz and for a hub dataset")
    image_column: str = Field(default="image", description="column of encoded images (.parquet, hub)")
    label_column: str = Field(default="label", description="column of labels (.parquet, hub)")
    resize: int | None = Field(default=None, ge=1, le=4096, description="height and width to scale to, pixels")
    color: Literal["keep", "grayscale", "rgb"] = Field(default="keep", description="conversion of the channels")
    max_train_samples: int | None = Field(default=None, ge=1, description="use this many, drawn at random")
    max_test_samples: int | None = Field(default=None, ge=1, description="use this many, drawn at random")

    def problems(self) -> list[str]:
        """Return a sentence for each file that is missing or of a kind that cannot be read."""
        from ran.learning.tasks.sources import path_problems

        suffixes = (".npz", ".parquet")
        found = path_problems(self.train, "train", suffixes)
        if self.test:
            found += path_problems(self.test, "test", suffixes)
        elif self.train.endswith(".parquet"):
            found.append("`test`: missing; a .parquet file holds one part only, so name the test file too")
        return found

    def load(self) -> Dataset:
        """Return images, float32 in 0..1 [num_samples, channels, height, width]; raises UserError."""
        from ran.learning.tasks.images import load_images

        return load_images(self)

    def encode(self, inputs: NDArray[Any], model: str) -> dict[str, NDArray[np.float32]]:
        """Return ``pixel_values`` normalised as the model's checkpoint asks."""
        from ran.learning.tasks.images import pixel_values

        return pixel_values(inputs, model)
