"""Local training by Keras on TensorFlow, one client after another on one shared model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from channel.seeding import stream
from ran.learning.algorithms.algorithm import ClientUpdate
from ran.learning.engines import keras_twins
from ran.learning.engines.engine import Assignment, Workplace

if TYPE_CHECKING:
    from ran.learning.algorithms.algorithm import Algorithm, Arrays
    from ran.learning.algorithms.course import Course

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
"""Of torch's AdamW."""


class KerasTrainer:
    """Trains each client on the one Keras model that all share, with the optimiser of Keras."""

    def __init__(self, workplace: Workplace) -> None:
        self._keras = keras_twins.import_keras(workplace.threads)
        self.title = f"keras {self._keras.__version__} on tensorflow"
        self._workplace = workplace
        self._model = keras_twins.twin(self._keras, workplace.network)
        names = {keras_twins.array_name(variable) for variable in self._model.trainable_variables}
        assert names == set(workplace.network.trainable), "the twins' parameters differ"
        self._optimizer = optimizer(self._keras, workplace.algorithm)
        self._optimizer.build(self._model.trainable_variables)
        self._fresh = [variable.numpy() for variable in self._optimizer.variables]
        self._gradient = gradient_of(self._model)
        # Views of the very samples that torch's clients train on.
        (images,) = workplace.inputs.values()
        self._images, self._labels = images.numpy(), workplace.labels.numpy()

    def close(self) -> None:
        """Do nothing: the model goes with the trainer."""

    def train(self, assignments: Sequence[Assignment], round_index: int) -> list[ClientUpdate]:
        """Return the updates, in order."""
        return [self._train(each, round_index) for each in assignments]

    def _train(self, each: Assignment, round_index: int) -> ClientUpdate:
        place, rows = self._workplace, self._workplace.rows[each.client]
        algorithm = each.shortened(place.algorithm)
        course = place.algorithm.course(each.received, each.memory)
        bend = self._bending(course)
        keras_twins.load(self._model, course.start)
        for variable, value in zip(self._optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        steps, passes, total = 0, 0, 0.0
        for batch in algorithm.batches(len(rows), stream(place.seed, "batch order", round_index, each.client)):
            chosen = rows[batch]
            loss, gradients = self._gradient(self._images[chosen], self._labels[chosen])
            steps, passes = steps + 1, passes + len(batch)
            if place.algorithm.optimizer == "adamw":
                # Keras adds epsilon before the bias of the second moment is corrected, torch after.
                self._optimizer.epsilon = _EPSILON * (1 - _BETAS[1] ** steps) ** 0.5
            self._optimizer.apply(bend(gradients), self._model.trainable_variables)
            total += float(loss) * len(batch)
        trained = keras_twins.read(self._model)
        arrays, memory = place.algorithm.conclude(each.received, each.memory, trained, steps)
        return ClientUpdate(arrays, len(rows), steps, total / passes, passes * place.flops_per_sample, memory)

    def _bending(self, course: Course) -> Callable[[list[Any]], list[Any]]:
        """Return what turns gradients into the course's directions; sgd's weight decay, in torch L2, included."""
        algorithm, variables = self._workplace.algorithm, self._model.trainable_variables

        def tensors(arrays: Arrays) -> list[Any]:
            values = (keras_twins.to_keras(arrays[keras_twins.array_name(each)]) for each in variables)
            return [self._keras.ops.convert_to_tensor(value) for value in values]

        anchor = tensors(course.start if course.anchor is None else course.anchor) if course.pull else None
        offset = tensors(course.offset) if course.offset is not None else None
        decay = algorithm.weight_decay if algorithm.optimizer == "sgd" else 0.0

        def bend(gradients: list[Any]) -> list[Any]:
            bent = [course.scale * gradient for gradient in gradients] if course.scale != 1.0 else gradients
            if anchor is not None:
                pairs = zip(variables, anchor, strict=True)
                pulls = [course.pull * (variable - target) for variable, target in pairs]
                bent = [gradient + pull for gradient, pull in zip(bent, pulls, strict=True)]
            if offset is not None:
                bent = [gradient + constant for gradient, constant in zip(bent, offset, strict=True)]
            if decay:
                bent = [gradient + decay * variable for gradient, variable in zip(bent, variables, strict=True)]
            return bent

        return bend


def optimizer(keras: Any, algorithm: Algorithm) -> Any:
    """Return Keras's optimiser with the settings of the algorithm's."""
    if algorithm.optimizer == "sgd":
        return keras.optimizers.SGD(algorithm.learning_rate, algorithm.momentum)
    return keras.optimizers.AdamW(algorithm.learning_rate, algorithm.weight_decay, *_BETAS, _EPSILON)


def gradient_of(model: Any) -> Callable[[Any, Any], tuple[Any, list[Any]]]:
    """Return a compiled function of images and labels: mean cross-entropy, and its gradient by variable."""
    import tensorflow as tf

    images = tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)

    @tf.function(input_signature=[images, tf.TensorSpec((None,), tf.int64)])
    def gradient(batch: Any, labels: Any) -> tuple[Any, list[Any]]:
        with tf.GradientTape() as tape:
            logits = model(batch, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return loss, tape.gradient(loss, model.trainable_variables)

    return gradient
