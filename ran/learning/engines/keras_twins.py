"""The small networks in Keras, and their arrays in either framework's layout."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from channel.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.algorithms.algorithm import Arrays


def import_keras(threads: int) -> Any:
    """Return the module ``keras`` on TensorFlow with so many threads.

    TensorFlow takes its thread counts once per process: those of the first caller. Raises UserError on another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        pass  # TensorFlow is already at work in this process.
    import keras

    if keras.config.backend() != "tensorflow":
        raise UserError(
            f"learning.engine: Keras runs on {keras.config.backend()} here; set the environment variable "
            "KERAS_BACKEND=tensorflow, or learning.engine: auto"
        )
    return keras


def twin(keras: Any, network: Any) -> Any:
    """Return the Keras model of a small network: images [batch, channels, height, width] to logits.

    Its layers are named like the torch modules that hold the same parameters. Weights are zeros: drawing them would
    touch Keras's random state, and they are loaded anyway.
    """
    config = network.module.config
    side, layers = config.image_size, keras.layers

    def dense(name: str, units: int, activation: str | None) -> Any:
        return layers.Dense(units, activation, name=_keras_name(name), kernel_initializer="zeros")

    def convolution(name: str, filters: int) -> Any:
        return layers.Conv2D(
            filters, 3, 1, "same", activation="relu", name=_keras_name(name), kernel_initializer="zeros"
        )

    if config.model_type == "airtune_mlp":
        sizes = [*config.hidden, config.num_labels]
        relus = ["relu"] * len(config.hidden) + [None]
        body = [layers.Flatten(), *(dense(f"layers.{i}", sizes[i], relus[i]) for i in range(len(sizes)))]
    else:
        first, second = config.pooling
        body = [
            layers.Permute((2, 3, 1)),  # [batch, height, width, channels], all that Keras convolves on a CPU
            convolution("conv1", config.filters[0]), layers.MaxPooling2D(first),
            convolution("conv2", config.filters[1]), layers.MaxPooling2D(second),
            layers.Permute((3, 1, 2)), layers.Flatten(),
            dense("hidden", config.hidden, "relu"), dense("classifier", config.num_labels, None),
        ]  # fmt: skip
    return keras.Sequential([keras.Input((config.num_channels, side, side)), *body])


def array_name(variable: Any) -> str:
    """Return the name on the air of a Keras variable."""
    layer, kind = variable.path.split("/")[-2:]
    return f"{layer.replace('-', '.')}.{'weight' if kind == 'kernel' else kind}"


def _keras_name(module: str) -> str:
    return module.replace(".", "-")


def to_keras(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a torch array in Keras's layout: weights [inputs, outputs], kernels [height, width, inputs, outputs]."""
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


def from_keras(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a Keras array in torch's layout, a copy; the inverse of ``to_keras``."""
    return np.array(array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T, order="C")


def read(model: Any) -> Arrays:
    """Return a copy of a Keras model's parameters under their names on the air."""
    arrays = {array_name(variable): from_keras(variable.numpy()) for variable in model.trainable_variables}
    return {name: arrays[name] for name in sorted(arrays)}


def load(model: Any, arrays: Arrays) -> None:
    """Set a Keras model's parameters."""
    for variable in model.trainable_variables:
        variable.assign(to_keras(arrays[array_name(variable)]))
