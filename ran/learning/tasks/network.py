"""Pre-trained networks and their adapters: the one place that builds Hugging Face and PEFT models."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import AutoConfig, AutoModelForImageClassification, AutoModelForSequenceClassification

from channel.errors import UserError
from ran.learning.tasks.quiet import quiet

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PretrainedConfig, PreTrainedModel

    from ran.learning.adapters import Lora
    from ran.learning.algorithms.algorithm import Arrays
    from ran.learning.models import Model
    from ran.learning.tasks.task import Kind

AUTO_CLASSES = {
    "image_classification": AutoModelForImageClassification,
    "text_classification": AutoModelForSequenceClassification,
}
CLASSIFIERS = ("ForImageClassification", "ForSequenceClassification")
QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("q", "v"),
    ("query_key_value",),
    ("qkv",),
)
"""What the attention projections are called in the various architectures, in order of preference."""


@dataclass(frozen=True)
class Network:
    """A network and its trainable parameters by name.

    Attributes:
        module: the network; called with the task's named arrays as tensors, it returns an object with ``logits``.
        trainable: the trained parameters themselves, under the names that go on the air (for LoRA, PEFT's own).
    """

    module: Any
    trainable: dict[str, torch.nn.Parameter]

    def load(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Set the trainable parameters, in place."""
        assert arrays.keys() == self.trainable.keys(), "these arrays belong to another network"
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                parameter.copy_(torch.from_numpy(arrays[name]))

    def read(self) -> Arrays:
        """Return a copy of the trainable parameters."""
        return {name: parameter.detach().cpu().numpy().copy() for name, parameter in self.trainable.items()}

    def save(self, directory: Path) -> None:
        """Write the adapter in PEFT's format, or without one the whole network in Hugging Face's."""
        with quiet():
            self.module.save_pretrained(directory)


def name_base(directory: Path, model: Model) -> None:
    """Name the base model of a saved adapter by its title: a folder of this machine would tell nobody anything."""
    for file in ("adapter_config.json", "README.md"):
        path = directory / file
        if path.is_file():
            path.write_text(path.read_text().replace(model.source, model.title))


def load_base(model: Model, kind: Kind, class_names: Sequence[str]) -> PreTrainedModel:
    """Return the pre-trained network in single precision, in evaluation mode, with a classifier for the classes.

    A missing or replaced classifier is drawn from torch's random state: the caller seeds it and puts it back.
    Raises UserError when the checkpoint cannot be read, is of another kind, or its classifier does not fit.
    """
    config = _config(model)
    has_head = any(name.endswith(CLASSIFIERS) for name in config.architectures or [])
    if config.num_labels != len(class_names) or not has_head:
        if has_head and model.head == "keep":
            raise UserError(
                f"model {model.source!r} classifies into {config.num_labels} classes, but the data has "
                f"{len(class_names)}; set learning.model.head: replace for a fresh classifier"
            )
        config.id2label = dict(enumerate(class_names))
        config.label2id = {name: index for index, name in enumerate(class_names)}
    try:
        with quiet():
            return AUTO_CLASSES[kind].from_pretrained(
                model.source, config=config, dtype=torch.float32, use_safetensors=True, ignore_mismatched_sizes=True
            )
    except OSError as error:
        raise UserError(
            f"learning.model: {model.source!r} has no weights in safetensors format that can be read "
            f"({_first_line(error)}); pass a local folder with model.safetensors"
        ) from error
    except ValueError as error:
        raise UserError(
            f"learning.model: {model.source!r} is a {config.model_type} model, which cannot do {kind}; "
            "choose another model or another learning.task"
        ) from error


def _config(model: Model) -> PretrainedConfig:
    try:
        with quiet():
            return AutoConfig.from_pretrained(model.source)
    except (OSError, ValueError) as error:
        raise UserError(
            f"learning.model: cannot load {model.source!r}: no such local folder, and the Hugging Face hub cannot be "
            f"reached or has no such model; pass a local copy: --set learning.model.path=/path/to/folder"
        ) from error


def check_fit(config: PretrainedConfig, kind: Kind, shape: tuple[int, ...]) -> None:
    """Raise UserError unless one sample of ``shape`` fits: [channels, height, width], or [num_tokens]."""
    if kind == "text_classification":
        longest = getattr(config, "max_position_embeddings", None)
        if longest is not None and shape[0] > longest:
            raise UserError(
                f"the data's texts have up to {shape[0]} tokens, but the model takes at most {longest}; "
                f"set learning.task.max_length: {longest}"
            )
        return
    size = getattr(config, "image_size", None) or shape[1:]
    height, width = (size, size) if isinstance(size, int) else tuple(size)
    channels = getattr(config, "num_channels", shape[0])
    if shape == (channels, height, width):
        return
    remedies = []
    if shape[1:] != (height, width):
        remedies.append(f"learning.task.resize: {height}")
    if shape[0] != channels:
        remedies.append(f"learning.task.color: {'grayscale' if channels == 1 else 'rgb'}")
    raise UserError(
        f"the data's images are {'x'.join(map(str, shape))} (channels x height x width), but the model takes "
        f"{channels}x{height}x{width}; set {' and '.join(remedies)} (task image_classification), or choose a "
        "model of the data's shape"
    )


def attach_lora(base: PreTrainedModel, lora: Lora) -> Network:
    """Return ``base`` wrapped by PEFT; raises UserError when no layer is called as ``target_modules`` say."""
    heads = _heads(base) if lora.train_head == "yes" else []
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(base, lora.target_modules),
        modules_to_save=heads or None,
    )
    with warnings.catch_warnings():
        # PEFT 0.21 still reads a property that Transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        module = get_peft_model(base, config)
    state = get_peft_model_state_dict(module, save_embedding_layers=False)
    # The state shares its memory with the live parameters: find each one's name on the air by its address.
    live = {parameter.data_ptr(): parameter for parameter in module.parameters() if parameter.requires_grad}
    trainable = {name: live[state[name].data_ptr()] for name in sorted(state)}
    assert len(trainable) == len(live), "PEFT would not save every trainable parameter"
    return Network(module, trainable)


def attach_head(base: PreTrainedModel) -> Network:
    """Return ``base`` with only its classifier trainable."""
    heads = tuple(f"{name}." for name in _heads(base))
    for name, parameter in base.named_parameters():
        parameter.requires_grad_(name.startswith(heads))
    return _bare(base)


def attach_full(base: PreTrainedModel) -> Network:
    """Return ``base`` with every parameter trainable."""
    base.requires_grad_(True)
    return _bare(base)


def _bare(base: PreTrainedModel) -> Network:
    return Network(base, {name: each for name, each in sorted(base.named_parameters()) if each.requires_grad})


def _heads(base: PreTrainedModel) -> list[str]:
    """Return the names of the parts that stand on top of the backbone: the classifier."""
    return [
        name
        for name, child in base.named_children()
        if name != base.base_model_prefix and any(True for _ in child.parameters())
    ]


def _targets(base: PreTrainedModel, wanted: tuple[str, ...]) -> str:
    """Return a pattern of the names of the adapted layers.

    A pattern and not a list, which PEFT would turn into a set and write in an order that changes from run to run.
    """
    layers = {name.rsplit(".", 1)[-1] for name, each in base.named_modules() if isinstance(each, torch.nn.Linear)}
    usual = next((names for names in QUERY_AND_VALUE if layers.issuperset(names)), ())
    chosen = wanted or usual
    known = [name for name, _ in base.named_modules()]
    unknown = [name for name in chosen if not any(re.fullmatch(_ends_with(name), other) for other in known)]
    if chosen and not unknown:
        return _ends_with(*chosen)
    trouble = f"no layer is called {unknown[0]!r}" if unknown else "no query and value projections were found"
    raise UserError(
        f"learning.adapter.target_modules: {trouble} in {base.config.model_type}; its linear layers are called "
        f"{', '.join(sorted(layers))}"
    )


def _ends_with(*names: str) -> str:
    return rf"(.*\.)?({'|'.join(re.escape(name) for name in names)})"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
