"""Image classification on a local file or folder, or on a dataset of the Hugging Face hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ran.learning.tasks.task import TASKS, Dataset, Kind, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@TASKS.register("image_classification")
class ImageClassification(Task):
    """Images and labels of a local file, of a folder with one folder per class, or of a hub dataset.

    An .npz holds x_train, y_train, x_test, y_test, and columns for partitions as other arrays (writer_train); a
    .parquet encoded images; a .csv the paths of image files, which start at its own folder.
    """

    kind: ClassVar[Kind] = "image_classification"

    train: str = Field(
        min_length=1,
        description="training data: .npz, .parquet, .csv, a folder, or a hub dataset as name or name:split",
    )
    test: str = Field(default="", description="test data; may be left out for .npz and for a hub dataset")
    image_column: str = Field(default="image", description="column of encoded images, or of their paths")
    label_column: str = Field(default="label", description="column of labels (all but .npz)")
    resize: int | None = Field(default=None, ge=1, le=4096, description="height and width to scale to, pixels")
    color: Literal["keep", "grayscale", "rgb"] = Field(default="keep", description="conversion of the channels")
    max_train_samples: int | None = Field(default=None, ge=1, description="use this many, drawn at random")
    max_test_samples: int | None = Field(default=None, ge=1, description="use this many, drawn at random")

    def problems(self) -> list[str]:
        """Return a sentence for each file that is missing or of a kind that cannot be read."""
        from ran.learning.tasks.sources import CLASS_FOLDERS, is_folder, path_problems

        suffixes = (".npz", ".parquet", ".csv", CLASS_FOLDERS)
        found = path_problems(self.train, "train", suffixes)
        if self.test:
            found += path_problems(self.test, "test", suffixes)
        elif is_folder(self.train) or self.train.endswith((".parquet", ".csv")):
            what = "a folder" if is_folder(self.train) else f"a .{self.train.rpartition('.')[2]} file"
            found.append(f"`test`: missing; {what} holds one part only, so name the test data too")
        return found

    def load(self) -> Dataset:
        """Return images, float32 in 0..1 [num_samples, channels, height, width]; raises UserError."""
        from ran.learning.tasks.images import load_images

        return load_images(self)

    def encode(self, inputs: NDArray[Any], model: str | None) -> dict[str, NDArray[np.float32]]:
        """Return ``pixel_values`` normalised as the model's checkpoint asks."""
        from ran.learning.tasks.images import pixel_values

        return pixel_values(inputs, model)
