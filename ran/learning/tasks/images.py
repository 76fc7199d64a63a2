"""Images: reading, colour, size, and the normalisation that a checkpoint asks for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from channel.errors import UserError
from channel.registry import did_you_mean
from ran.learning.tasks.quiet import quiet
from ran.learning.tasks.sources import (
    chosen_rows,
    class_indices,
    column,
    is_folder,
    is_hub_name,
    label_words,
    other_columns,
    read_class_folders,
    read_table,
    require_path,
)
from ran.learning.tasks.task import Dataset, Examples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.tasks.image_classification import ImageClassification

    Images = NDArray[np.float32]
    Columns = dict[str, NDArray[Any]]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""ITU-R BT.601 weights of red, green and blue."""


def load_images(task: ImageClassification) -> Dataset:
    """Return the task's data; raises UserError when a file, a column, a label or an image is wrong."""
    train, train_words, train_columns = _read(task, task.train, "train", task.max_train_samples)
    test, test_words, test_columns = _read(task, task.test or task.train, "test", task.max_test_samples)
    if train.shape[1:] != test.shape[1:]:
        raise UserError(
            f"training images are {shape_text(train)} but test images {shape_text(test)} (channels x height x "
            "width); set learning.task.resize and learning.task.color to bring them together"
        )
    train_labels, test_labels, names = class_indices(train_words, test_words, task.train)
    return Dataset(Examples(train, train_labels, train_columns), Examples(test, test_labels, test_columns), names)


def shape_text(images: Images) -> str:
    """Return the shape of one image, e.g. ``1x8x8``."""
    return "x".join(str(size) for size in images.shape[1:])


def _read(task: ImageClassification, source: str, part: str, limit: int | None) -> tuple[Images, list[str], Columns]:
    if not is_hub_name(source) and Path(source).suffix.lower() == ".npz":
        return _read_npz(task, source, part, limit)
    used = (task.image_column, task.label_column)
    if is_folder(source):
        table = read_class_folders(source, part, IMAGE_SUFFIXES, used)
    else:
        table = read_table(source, part, split=part)
    table = table.iloc[chosen_rows(len(table), limit, part)]
    words = label_words(column(table, task.label_column, source, "label_column"), source)
    images = [
        _prepared(_decoded(value, source, row)[None], task)[0]
        for row, value in enumerate(column(table, task.image_column, source, "image_column"))
    ]
    shapes = sorted({image.shape for image in images})
    if len(shapes) != 1:
        raise UserError(
            f"the images of {source!r} differ in shape (channels, height, width), such as {shapes[0]} and "
            f"{shapes[-1]}; set learning.task.resize and learning.task.color"
        )
    return np.stack(images), words, other_columns(table, used)


def _read_npz(
    task: ImageClassification, source: str, part: str, limit: int | None
) -> tuple[Images, list[str], Columns]:
    require_path(source, part, (".npz",))
    try:
        with np.load(Path(source).expanduser(), allow_pickle=False) as archive:
            missing = [name for name in (f"x_{part}", f"y_{part}") if name not in archive]
            if missing:
                hint = did_you_mean(missing[0], archive.files).rstrip("?")
                raise UserError(
                    f"{source!r} has no array {missing[0]!r}{hint}; it has {', '.join(archive.files)}; "
                    "name the arrays x_train, y_train, x_test, y_test"
                )
            pixels, labels = archive[f"x_{part}"], archive[f"y_{part}"].reshape(-1)
            others = {
                name: archive[name]
                for name in archive.files
                if name.endswith(f"_{part}") and name[:2] not in ("x_", "y_")
            }
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"learning.task.{part}: cannot read {source!r} as .npz ({error})") from error
    if len(pixels) != len(labels):
        raise UserError(f"{source!r}: x_{part} holds {len(pixels)} images but y_{part} {len(labels)} labels")
    rows = chosen_rows(len(pixels), limit, part)
    images = _prepared(_channels_first(pixels[rows], source, part), task)
    columns = {
        name.removesuffix(f"_{part}"): values[rows].astype(str).astype(object)
        for name, values in others.items()
        if values.shape == labels.shape
    }
    return images, label_words(list(labels[rows]), source), columns


def _channels_first(pixels: NDArray[Any], source: str, part: str) -> Images:
    """Return float32 in 0..1 [num_samples, channels, height, width] from whichever order the file uses."""
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    elif pixels.ndim == 4 and pixels.shape[-1] in (1, 3):
        pixels = pixels.transpose(0, 3, 1, 2)
    elif pixels.ndim != 4 or pixels.shape[1] not in (1, 3):
        raise UserError(
            f"{source!r}: x_{part} has shape {pixels.shape}; expected [samples, height, width], or four axes "
            "with 1 or 3 channels last (or second)"
        )
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / 255.0
    scaled: Images = pixels.astype(np.float32)
    if scaled.size and not (scaled.min() >= 0.0 and scaled.max() <= 1.0):
        raise UserError(
            f"{source!r}: x_{part} ({pixels.dtype}) spans {scaled.min():g} to {scaled.max():g}; store uint8 in "
            "0..255, or floats in 0..1"
        )
    return scaled


def _decoded(value: Any, source: str, row: int) -> Images:
    """Return one encoded image as float32 in 0..1 [channels, height, width].

    ``value``: its bytes, the hub's {"bytes": ...}, or a file's path, which starts at the table's folder.
    """
    from PIL import Image, UnidentifiedImageError

    encoded: Any = value.get("bytes") if isinstance(value, dict) else value
    try:
        if isinstance(encoded, str):
            encoded = (Path(source).expanduser().parent / encoded).read_bytes()
        image = Image.open(io.BytesIO(encoded))
        pixels = np.asarray(image.convert("L" if image.mode in {"1", "L"} else "RGB"), dtype=np.float32) / 255.0
    except (UnidentifiedImageError, TypeError, OSError) as error:
        raise UserError(
            f"{source!r}: the image of sample {row} cannot be decoded; expected the bytes of a PNG or JPEG file, or "
            "the path of one"
        ) from error
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _prepared(images: Images, task: ImageClassification) -> Images:
    """Return images [num_samples, channels, height, width] in the colour and size that the task asks for."""
    if task.color == "grayscale" and images.shape[1] == 3:
        images = np.einsum("c,nchw->nhw", LUMA, images)[:, None]
    elif task.color == "rgb" and images.shape[1] == 1:
        images = np.repeat(images, 3, axis=1)
    if task.resize is not None and images.shape[2:] != (task.resize, task.resize):
        scaled = torch.nn.functional.interpolate(
            torch.from_numpy(np.ascontiguousarray(images)), (task.resize, task.resize), mode="bilinear", antialias=True
        )
        images = scaled.clamp(0.0, 1.0).numpy()
    return images


def pixel_values(images: Images, model: str | None) -> dict[str, Images]:
    """Return ``(images - mean) / std`` with the checkpoint's own mean and std per channel, 0.5 if it names none."""
    mean, std = _statistics(model)
    return {"pixel_values": ((images - mean) / std).astype(np.float32)}


def _statistics(model: str | None) -> tuple[Images, Images]:
    if model is None:
        return _per_channel(None), _per_channel(None)
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        with quiet():
            settings, _ = ImageProcessingMixin.get_image_processor_dict(model)
    except OSError:
        settings = {}
    return _per_channel(settings.get("image_mean")), _per_channel(settings.get("image_std"))


def _per_channel(values: Sequence[float] | float | None) -> Images:
    """Return values shaped [channels or 1, 1, 1]."""
    return np.atleast_1d(np.asarray(0.5 if values is None else values, dtype=np.float32)).reshape(-1, 1, 1)
