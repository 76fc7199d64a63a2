"""Images of .npz and .parquet files."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from channel.errors import UserError
from ran.learning.tasks import ImageClassification


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def parquet(folder, images, labels, name="data.parquet", **columns):
    pd.DataFrame({"image": images, "label": labels, **columns}).to_parquet(folder / name)
    return str(folder / name)


@pytest.fixture
def photos():
    return [np.random.default_rng(row).integers(0, 256, (6, 5, 3), dtype=np.uint8) for row in range(4)]


@pytest.mark.parametrize("wrap", [lambda encoded: encoded, lambda encoded: {"bytes": encoded, "path": None}])
def test_parquet_pixels_come_back(tmp_path, photos, wrap):
    """Oracle: PNG is lossless, so each pixel is its byte / 255, channels first; bytes plain or wrapped."""
    path = parquet(tmp_path, [wrap(png(photo)) for photo in photos], ["b", "a", "a", "b"])
    data = ImageClassification(train=path, test=path).load()
    expected = np.stack(photos).transpose(0, 3, 1, 2).astype(np.float32) / 255
    np.testing.assert_array_equal(data.train.inputs, expected)
    assert data.class_names == ("a", "b")
    assert data.test.labels.tolist() == [1, 0, 0, 1]


def test_npz_layouts_agree(images_npz):
    """Property: channels last, channels first and floats in 0..1 are the same images; labels [n, 1] are labels [n]."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (12, 7, 6, 3), dtype=np.uint8)
    labels = np.arange(12) % 3
    variants = [
        {"x_train": pixels, "y_train": labels},
        {"x_train": pixels.transpose(0, 3, 1, 2), "y_train": labels[:, None]},
        {"x_train": pixels / 255.0, "y_train": labels.astype(np.uint8)},
    ]
    loaded = [
        ImageClassification(train=images_npz(7, 6, 3, classes=3, name=f"{index}.npz", **variant)).load().train
        for index, variant in enumerate(variants)
    ]
    assert loaded[0].inputs.shape == (12, 3, 7, 6)
    for other in loaded:
        np.testing.assert_allclose(other.inputs, loaded[0].inputs, atol=1e-7)
        assert other.labels.tolist() == labels.tolist()


def test_colour_and_size(images_npz):
    """Oracle: luma of BT.601 by hand; a constant image stays itself when resized; grey becomes three equal channels."""
    red = np.zeros((6, 4, 4, 3), np.uint8)
    red[..., 0] = 255
    path = images_npz(4, 4, 3, classes=2, x_train=red, y_train=np.arange(6) % 2)
    grey = ImageClassification(train=path, color="grayscale", resize=8).load().train.inputs
    assert grey.shape == (6, 1, 8, 8)
    np.testing.assert_allclose(grey, 0.299, atol=1e-6)
    rgb = ImageClassification(train=images_npz(5, 5, name="grey.npz"), color="rgb").load().train.inputs
    assert rgb.shape == (60, 3, 5, 5)
    assert (rgb[:, 0] == rgb[:, 2]).all()


def test_resizing_averages_when_it_shrinks(images_npz):
    """Oracle: the mean. Every fourth column white is a quarter grey; plain bilinear sampling would see none of it."""
    stripes = np.broadcast_to((np.arange(32) % 4 == 0) * np.uint8(255), (4, 32, 32))
    path = images_npz(32, 32, classes=2, x_train=stripes, y_train=np.arange(4) % 2)
    small = ImageClassification(train=path, resize=8).load().train.inputs
    np.testing.assert_allclose(small.mean(), 0.25, atol=0.03)
    assert small.min() > 0.1


def test_chosen_samples_keep_their_labels(images_npz):
    """Oracle: the label is painted into the pixels."""
    labels = np.arange(200) % 10
    pixels = np.broadcast_to(labels[:, None, None], (200, 3, 3)).astype(np.uint8)
    path = images_npz(3, 3, x_train=pixels, y_train=labels)
    train = ImageClassification(train=path, max_train_samples=70, max_test_samples=5).load().train
    assert len(train.labels) == 70
    np.testing.assert_array_equal((train.inputs[:, 0, 0, 0] * 255).round(), train.labels)


def test_a_hub_images_task_without_a_package_is_refused_in_one_line():
    """Oracle: the sentence; whether or not the package `datasets` is installed, without a network both end here."""
    with pytest.raises(UserError, match="pass a local copy"):
        ImageClassification(train="nobody/at-all").load()


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"y_train": np.arange(59)}, "x_train holds 60 images but y_train 59 labels"),
        ({"x_train": np.zeros((60, 4), np.uint8)}, r"x_train has shape \(60, 4\); expected"),
        ({"x_train": np.zeros((60, 4, 4, 2), np.uint8)}, r"x_train has shape \(60, 4, 4, 2\); expected"),
        ({"x_train": np.full((60, 4, 4), 200.0)}, "spans 200 to 200; store uint8 in 0..255, or floats in 0..1"),
        ({"x_test": np.zeros((20, 9, 9), np.uint8)}, "training images are 1x4x4 but test images 1x9x9"),
        ({"y_test": np.full(20, 11)}, "label '11'"),
    ],
)
def test_arrays_that_make_no_sense(images_npz, changed, sentence):
    """Oracle: the sentence names what is wrong and what was expected."""
    with pytest.raises(UserError, match=sentence):
        ImageClassification(train=images_npz(4, 4, **changed)).load()


def test_files_that_cannot_be_read(tmp_path, photos):
    """Oracle: the sentence; a pickle is never loaded."""
    np.savez(tmp_path / "other.npz", X_train=np.zeros(3))
    with pytest.raises(UserError, match="no array 'x_train'; did you mean 'X_train'; it has X_train; name the arrays"):
        ImageClassification(train=str(tmp_path / "other.npz")).load()
    np.savez(tmp_path / "objects.npz", x_train=np.array([{}, {}]), y_train=np.zeros(2))
    with pytest.raises(UserError, match=r"cannot read .*Object arrays"):
        ImageClassification(train=str(tmp_path / "objects.npz")).load()
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(UserError, match=r"cannot read .* as .npz"):
        ImageClassification(train=str(tmp_path / "text.npz")).load()
    (tmp_path / "text.parquet").write_text("not a table")
    with pytest.raises(UserError, match=r"cannot read .* as a table"):
        ImageClassification(train=str(tmp_path / "text.parquet"), test="x.parquet").load()
    with pytest.raises(UserError, match=r"no file '\./nowhere.npz'"):
        ImageClassification(train="./nowhere.npz").load()
    images = [png(photos[0]), b"\x00\x01"]
    with pytest.raises(UserError, match="image of sample 1 cannot be decoded"):
        ImageClassification(train=parquet(tmp_path, images, [0, 1]), test="x.parquet").load()
    pd.DataFrame({"image": images, "labels": [0, 1]}).to_parquet(tmp_path / "c.parquet")
    with pytest.raises(
        UserError, match=r"no column 'label'; did you mean 'labels'; its columns are .*task.label_column"
    ):
        ImageClassification(train=str(tmp_path / "c.parquet"), test="x.parquet").load()
    images = [png(photos[0]), png(photos[1][:3])]
    with pytest.raises(UserError, match=r"differ in shape .*set learning.task.resize"):
        ImageClassification(train=parquet(tmp_path, images, [0, 1]), test="x.parquet").load()


def test_a_folder_per_class_and_a_table_of_paths(tmp_path, photos):
    """Oracle: the same pixels as in memory, in order of the paths; the class is the folder's name."""
    for row, (name, photo) in enumerate(zip("baab", photos, strict=True)):
        (tmp_path / "set" / name / "deeper").mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name / "deeper" / f"{row}.PNG").write_bytes(png(photo))
    (tmp_path / "set" / "a" / "notes.txt").write_text("no image")
    folder = str(tmp_path / "set")
    task = ImageClassification(train=folder, test=folder)
    assert task.problems() == []
    data = task.load()
    expected = np.stack([photos[row] for row in (1, 2, 0, 3)]).transpose(0, 3, 1, 2).astype(np.float32) / 255
    np.testing.assert_array_equal(data.train.inputs, expected)
    assert data.class_names == ("a", "b")
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    paths = [f"set/{name}/deeper/{row}.PNG" for row, name in enumerate("baab")]
    pd.DataFrame({"image": paths, "label": list("baab"), "camera": [1, 2, 1, 2]}).to_csv(
        tmp_path / "t.csv", index=False
    )
    table = ImageClassification(train=str(tmp_path / "t.csv"), test=str(tmp_path / "t.csv")).load().train
    np.testing.assert_array_equal(table.inputs[[1, 2, 0, 3]], expected)
    assert table.columns["camera"].tolist() == ["1", "2", "1", "2"]


def test_folders_without_classes_or_test_are_refused(tmp_path):
    """Oracle: the sentences."""
    (tmp_path / "flat").mkdir()
    [problem, missing] = ImageClassification(train=str(tmp_path / "flat")).problems()
    assert problem.endswith("has no folders in it; expected a folder with one folder per class")
    assert missing == "`test`: missing; a folder holds one part only, so name the test data too"
    (tmp_path / "flat" / "a").mkdir()
    with pytest.raises(UserError, match=r"no file .* lies in a folder of"):
        ImageClassification(train=str(tmp_path / "flat"), test=str(tmp_path / "flat")).load()


def test_columns_of_files_stay_with_their_samples(tmp_path, photos, images_npz):
    """Oracle: the column repeats the label; what is no plain value (bytes, lists) is left out."""
    path = parquet(tmp_path, [png(photo) for photo in photos] * 5, list("abab") * 5, writer=list("abab") * 5,
                   thumbnail=[b"x"] * 20, box=[[1, 2]] * 20)  # fmt: skip
    train = ImageClassification(train=path, test=path, max_train_samples=9).load().train
    assert set(train.columns) == {"writer"}
    assert train.columns["writer"].tolist() == [("a", "b")[label] for label in train.labels]
    path = images_npz(3, 3, classes=3, writer_train=np.arange(60) % 3, odd_train=np.zeros(7))
    task = ImageClassification(train=path, max_train_samples=30)
    train = task.load().train
    assert train.columns["writer"].tolist() == [str(label) for label in train.labels]
    assert set(train.columns) == {"writer"}
    assert set(task.samples(train, None).columns) == {"writer", "label"}


def test_checkpoints_own_statistics_are_used(tmp_path):
    """Oracle: (x - mean) / std by hand, per channel; 0.5 for a checkpoint that names none."""
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.25, 1.0]}')
    task = ImageClassification(train="x.npz")
    images = np.full((1, 3, 1, 1), 0.6, np.float32)
    assert task.encode(images, str(tmp_path))["pixel_values"].ravel() == pytest.approx([1.0, 1.6, 0.3])
    (tmp_path / "preprocessor_config.json").unlink()
    assert task.encode(images, str(tmp_path))["pixel_values"].ravel() == pytest.approx([0.2] * 3)


def test_cifar_subset_and_mnist(shared_data):
    """Oracle: data/README.md: shapes, sizes and balance of the real files."""
    cifar = ImageClassification(
        train=str(shared_data / "cifar10_subset_train.parquet"), test=str(shared_data / "cifar10_subset_test.parquet"),
        label_column="label_name", max_train_samples=300, resize=8, color="grayscale",
    ).load()  # fmt: skip
    assert cifar.train.inputs.shape == (300, 1, 8, 8)
    assert np.bincount(cifar.test.labels).tolist() == [300] * 10
    assert cifar.class_names[:3] == ("airplane", "automobile", "bird")
    mnist = ImageClassification(train=str(shared_data / "mnist.npz"), max_train_samples=50, max_test_samples=50).load()
    assert mnist.train.inputs.shape == (50, 1, 28, 28)
