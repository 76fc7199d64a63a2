"""Scikit-learn's real handwritten digits, embedded: no file and no network needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from channel.seeding import stream
from ran.learning.tasks.task import TASKS, Dataset, Examples, Kind, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLIT_SEED = 20_240_601
"""Fixed, so that every scenario and seed is measured on the same test digits."""

TEST_PER_CLASS = 45


@TASKS.register("digits")
class Digits(Task):
    """1,797 real handwritten digits of 8 x 8 pixels (UCI Optical Recognition, Alpaydin & Kaynak 1998).

    The test set holds 45 of each class (450 in all), the training set the other 1,347; the split never
    depends on the scenario's seed.
    """

    kind: ClassVar[Kind] = "image_classification"

    def load(self) -> Dataset:
        """Return images scaled from 0..16 to 0..1, float32 [num_samples, 1, 8, 8]."""
        import numpy as np
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        images = (images / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)  # [num_samples, 1, 8, 8]
        test = np.zeros(len(labels), dtype=bool)
        for digit in range(10):
            of_class = np.flatnonzero(labels == digit)
            test[stream(SPLIT_SEED, "digits test split", digit).permutation(of_class)[:TEST_PER_CLASS]] = True
        labels = labels.astype(np.int64)
        return Dataset(
            train=Examples(images[~test], labels[~test]),
            test=Examples(images[test], labels[test]),
            class_names=tuple("0123456789"),
        )

    def encode(self, inputs: NDArray[Any], model: str | None) -> dict[str, NDArray[np.float32]]:
        """Return ``pixel_values`` normalised as the model's checkpoint asks."""
        from ran.learning.tasks.images import pixel_values

        return pixel_values(inputs, model)
