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
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
)
from transformers.pytorch_utils import Conv1D

from channel.errors import UserError
from ran.learning.models import Checkpoint, Fresh
from ran.learning.tasks.lora_layers import LoraLayers
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
    "causal_lm": AutoModelForCausalLM,
}
CLASSIFIERS = ("ForImageClassification", "ForSequenceClassification")
LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")
QUERY_AND_VALUE = (
    ("q_proj", "v_proj"),
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("q", "v"),
    ("query_key_value",),
    ("qkv",),
    ("c_attn",),
)
"""What the attention projections are called in the various architectures, in order of preference."""


@dataclass(frozen=True)
class Network:
    """A network and its trainable parameters by name.

    Attributes:
        module: the network; called with the task's named arrays as tensors, it returns an object with ``logits``.
        trainable: the trained parameters themselves, under the names that go on the air (for LoRA, PEFT's own), sorted.
        lora: LoRA's layers, which take arrays of any rank; None for other adapters.
    """

    module: Any
    trainable: dict[str, torch.nn.Parameter]
    lora: LoraLayers | None = None

    def load(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Set the trainable parameters, in place; LoRA factors may come in another rank than before."""
        assert arrays.keys() == self.trainable.keys(), "these arrays belong to another network"
        with torch.no_grad():
            for name, parameter in self.trainable.items():
                values = torch.from_numpy(arrays[name])
                if values.shape != parameter.shape:
                    assert self.lora is not None, "these arrays belong to another network"
                    parameter.grad, parameter.data = None, torch.empty_like(values, device=parameter.device)
                parameter.copy_(values)
        if self.lora:
            self.lora.fit(arrays)

    def merge(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        """Add the products of LoRA factors to the frozen weights until the next ``load``."""
        assert self.lora is not None, "only LoRA factors have products"
        self.lora.merge(arrays)

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
        if path.is_file() and model.source is not None:
            path.write_text(path.read_text().replace(model.source, model.title))


def load_base(model: Model, kind: Kind, class_names: Sequence[str]) -> PreTrainedModel:
    """Return the network in single precision, in evaluation mode, with a classifier for the classes.

    A missing or replaced classifier, and all of a network without files, is drawn from torch's random state: the caller
    seeds it and puts it back. A language model has no classes.

    Raises UserError when the checkpoint cannot be read, is of another kind, or its classifier does not fit.
    """
    if isinstance(model, Fresh):
        return _drawn(model, kind, class_names)
    assert isinstance(model, Checkpoint)
    config = _config(model)
    if kind == "causal_lm":
        _require_language_model(model, config)
    else:
        _fit_classifier(model, config, class_names)
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


def _drawn(model: Fresh, kind: Kind, class_names: Sequence[str]) -> PreTrainedModel:
    if kind not in model.kinds:
        raise UserError(
            f"learning.model: {model.name} does {' or '.join(model.kinds)}, not {kind}; choose another model or "
            "another learning.task"
        )
    fields = dict(model.architecture())
    config = AutoConfig.for_model(fields.pop("model_type"), **fields)
    if class_names:
        _name_classes(config, class_names)
    return AUTO_CLASSES[kind].from_config(config, dtype=torch.float32).eval()


def _require_language_model(model: Checkpoint, config: PretrainedConfig) -> None:
    """An encoder would load as well, but look at the very tokens that it is to predict."""
    if not any(name.endswith(LANGUAGE_MODELS) for name in config.architectures or []):
        raise UserError(
            f"learning.model: {model.source!r} is a {config.model_type} model without a causal language head; choose a "
            "causal language model, such as gpt2"
        )


def _fit_classifier(model: Checkpoint, config: PretrainedConfig, class_names: Sequence[str]) -> None:
    has_head = any(name.endswith(CLASSIFIERS) for name in config.architectures or [])
    if config.num_labels == len(class_names) and has_head:
        return
    if has_head and model.head == "keep":
        raise UserError(
            f"model {model.source!r} classifies into {config.num_labels} classes, but the data has "
            f"{len(class_names)}; set learning.model.head: replace for a fresh classifier"
        )
    _name_classes(config, class_names)


def _name_classes(config: PretrainedConfig, class_names: Sequence[str]) -> None:
    config.id2label = dict(enumerate(class_names))
    config.label2id = {name: index for index, name in enumerate(class_names)}


def _config(model: Checkpoint) -> PretrainedConfig:
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
    if kind in ("text_classification", "causal_lm"):
        longest = getattr(config, "max_position_embeddings", None)
        if longest is not None and shape[0] > longest:
            field = "max_length" if kind == "text_classification" else "block_length"
            raise UserError(
                f"the data's texts have up to {shape[0]} tokens, but the model takes at most {longest}; "
                f"set learning.task.{field}: {longest}"
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
        r=lora.largest_rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=_targets(base, lora.target_modules),
        modules_to_save=heads or None,
    )
    with warnings.catch_warnings():
        # PEFT 0.21 still reads a property that Transformers 5.23 has renamed.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)
        # GPT-2 keeps its weights transposed; PEFT sees that by itself, and says so.
        warnings.filterwarnings("ignore", message="fan_in_fan_out is set to False", category=UserWarning)
        module = get_peft_model(base, config)
    state = get_peft_model_state_dict(module, save_embedding_layers=False)
    # The state shares its memory with the live parameters: find each one's name on the air by its address.
    live = {parameter.data_ptr(): parameter for parameter in module.parameters() if parameter.requires_grad}
    trainable = {name: live[state[name].data_ptr()] for name in sorted(state)}
    assert len(trainable) == len(live), "PEFT would not save every trainable parameter"
    return Network(module, trainable, LoraLayers.of(module))


def attach_head(base: PreTrainedModel) -> Network:
    """Return ``base`` with only its classifier trainable; raises UserError where it has none."""
    heads = tuple(f"{name}." for name in _heads(base))
    if not heads:
        raise UserError(
            f"learning.adapter: {base.config.model_type} has no classifier to train alone; choose lora or full"
        )
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
    """Return the names of the parts that stand on top of the backbone: the classifier.

    A language model has none: its head is its vocabulary, as large as the embeddings and often the same weights.
    """
    if base.get_output_embeddings() is not None:
        return []
    return [
        name
        for name, child in base.named_children()
        if name != base.base_model_prefix and any(True for _ in child.parameters())
    ]


def _targets(base: PreTrainedModel, wanted: tuple[str, ...]) -> str:
    """Return a pattern of the names of the adapted layers.

    A pattern and not a list, which PEFT would turn into a set and write in an order that changes from run to run.
    """
    linear = (torch.nn.Linear, Conv1D)
    layers = {name.rsplit(".", 1)[-1] for name, each in base.named_modules() if isinstance(each, linear)}
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
