"""A trained policy on disk: the layers of an actor as safetensors, what they mean as JSON beside them.

A file is what ``safetensors`` writes: tensors ``weight.0``, ``bias.0``, ``weight.1``, ... (float32, [outputs, inputs]
and [outputs]) and one text in its metadata under ``airtune_policy``: JSON with the ``activation`` between layers
(``tanh`` or ``relu``) and whatever else tells what goes in and comes out (``meta``). Nothing in it is ever executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from channel.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Activation = Literal["tanh", "relu"]
_KEY = "airtune_policy"
_ACTIVATIONS = ("tanh", "relu")
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class Actor:
    """A multi-layer perceptron: y = W_n s(... s(W_0 x + b_0) ...) + b_n.

    Attributes:
        weights: float32 [outputs, inputs] of every layer.
        biases: float32 [outputs] of every layer.
        activation: s.
        meta: what goes in and comes out, as whoever saved it says; JSON.
    """

    weights: tuple[NDArray[np.float32], ...]
    biases: tuple[NDArray[np.float32], ...]
    activation: Activation
    meta: Mapping[str, Any]

    @property
    def inputs(self) -> int:
        """Values that go in."""
        return int(self.weights[0].shape[1])

    @property
    def outputs(self) -> int:
        """Values that come out."""
        return int(self.weights[-1].shape[0])

    def __call__(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the last layer gives for observations [..., inputs], [..., outputs]."""
        import numpy as np

        value = seen
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if place:
                value = np.tanh(value) if self.activation == "tanh" else np.maximum(value, 0)
            value = value @ weight.T + bias
        return value

    def steered(self, seen: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return continuous actions in [-1, 1] of observations [..., inputs], [..., outputs]."""
        import numpy as np

        out = self(seen)
        return np.clip(np.tanh(out) if self.meta["head"] == "tanh" else out, -1.0, 1.0)


def save_actor(
    path: Path,
    weights: Sequence[NDArray[np.float32]],
    biases: Sequence[NDArray[np.float32]],
    activation: Activation,
    meta: Mapping[str, Any],
) -> None:
    """Write an actor; ``meta`` is anything that JSON holds."""
    import numpy as np
    from safetensors.numpy import save_file

    tensors = {}
    for place, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        tensors[f"weight.{place}"] = np.ascontiguousarray(weight, np.float32)
        tensors[f"bias.{place}"] = np.ascontiguousarray(bias, np.float32)
    text = json.dumps({"activation": activation, "layers": len(weights), "meta": dict(meta)})
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {_KEY: text})


def load_actor(path: Path) -> Actor:
    """Return the actor of a file, read once as long as the file does not change.

    Raises UserError where there is no such file, or it is no policy.
    """
    problem = policy_problem(path)
    if problem:
        raise UserError(problem)
    return _read(str(path.resolve()), path.stat().st_mtime_ns)


def likeliest(
    logits: NDArray[np.float32], options: Sequence[int], mask: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Return the option of the highest logit of every choice, [batch, len(options)].

    Args:
        logits: of all options, one choice after another, [batch, sum of options].
        options: how many each choice has.
        mask: which are allowed, likewise; None: all.
    """
    import numpy as np

    allowed = logits if mask is None else np.where(mask, logits, -np.inf)
    edges = np.cumsum([0, *options])
    return np.stack([allowed[:, low:high].argmax(axis=1) for low, high in pairwise(edges)], axis=1)


def policy_problem(path: Path, environment: str | None = None) -> str:
    """Return why a file is no policy, or not one of ``environment``, in one sentence, or an empty string.

    Looks at its header only.
    """
    try:
        described(path, environment)
    except UserError as error:
        return str(error)
    return ""


def trained_in(path: Path) -> dict[str, Any]:
    """Return the parameters of the environment that a policy was trained in; raises UserError as ``described``."""
    own: dict[str, Any] = described(path)["meta"]["environment"]
    return own


def described(path: Path, environment: str | None = None) -> dict[str, Any]:
    """Return what the header says: ``activation``, number of ``layers``, ``inputs``, ``outputs`` and ``meta``.

    Raises UserError where there is no such file, or it is no policy, or one of another environment than this.
    """
    if not path.is_file():
        raise UserError(f"no file {str(path)!r}; give the policy.safetensors of `airtune train-agent`")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= _LONGEST_HEADER else {}
        said: dict[str, Any] = json.loads(header["__metadata__"][_KEY])
        count = int(said["layers"])
        shapes = [tuple(header[f"weight.{place}"]["shape"]) for place in range(count)]
        biases = [tuple(header[f"bias.{place}"]["shape"]) for place in range(count)]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        shapes = []
    fits = bool(shapes) and all(len(shape) == 2 for shape in shapes) and said.get("activation") in _ACTIVATIONS
    fits = fits and all(after[1] == shape[0] for shape, after in pairwise(shapes))
    if not fits or biases != [(shape[0],) for shape in shapes]:
        raise UserError(f"{str(path)!r} holds no policy; give the policy.safetensors of `airtune train-agent`")
    own = said["meta"].get("environment")
    name = own.get("name") if isinstance(own, dict) else None
    if environment is not None and name != environment:
        raise UserError(f"{str(path)!r} was trained in {name}; give one of `airtune train-agent {environment}`")
    return {**said, "inputs": shapes[0][1], "outputs": shapes[-1][0]}


@lru_cache(maxsize=8)
def _read(path: str, changed_ns: int) -> Actor:  # noqa: ARG001 - a file that has changed is another
    from safetensors.numpy import load_file

    said, tensors = described(Path(path)), load_file(path)
    layers = range(said["layers"])
    return Actor(
        tuple(tensors[f"weight.{place}"] for place in layers),
        tuple(tensors[f"bias.{place}"] for place in layers),
        said["activation"],
        said["meta"],
    )
