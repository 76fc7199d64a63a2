"""A transformer cut between two of its layers, whatever its architecture calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from channel.errors import UserError


def transformer_layers(module: torch.nn.Module) -> torch.nn.ModuleList:
    """Return the layers of a transformer's one stack: the list of as many equal parts as its configuration says.

    Raises UserError where there is no such list, or more than one (as in encoder-decoder models).
    """
    config = getattr(module, "config", None)
    count = getattr(config, "num_hidden_layers", None)
    found = [
        each
        for each in module.modules()
        if isinstance(each, torch.nn.ModuleList) and len(each) == count and len({type(layer) for layer in each}) == 1
    ]
    # The layers' own lists may happen to be as long: only lists that lie in no other one count.
    inner = {id(each) for outer in found for layer in outer for each in layer.modules()}
    stacks = [each for each in found if id(each) not in inner]
    if len(stacks) == 1:
        return stacks[0]
    kind = getattr(config, "model_type", type(module).__name__)
    raise UserError(
        f"a {kind} model has {len(stacks) or 'no'} stack{'s'[: len(stacks) != 1]} of transformer layers to cut; choose "
        "an encoder or decoder with one, such as BERT, DistilBERT, ViT or GPT-2"
    )


class _Reached(BaseException):
    """The output of the last layer of the first part; no `except Exception` of a model's own may catch it."""

    def __init__(self, hidden: object) -> None:
        self.hidden = hidden


@dataclass(frozen=True)
class Split:
    """Two parts of one network that share its parameters: nothing is copied, and gradients flow through both.

    Attributes:
        module: the whole network.
        layers: its transformer layers.
        index: how many of them the first part has, 1 .. len(layers).
    """

    module: torch.nn.Module
    layers: torch.nn.ModuleList
    index: int

    def prefix(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Return the hidden states after the first ``index`` layers, float [num_samples, num_tokens, width]."""

        def stop(layer: object, args: object, output: object) -> NoReturn:  # noqa: ARG001
            raise _Reached(output)

        hook = self.layers[self.index - 1].register_forward_hook(stop)
        try:
            self.module(**inputs)
        except _Reached as reached:
            if isinstance(reached.hidden, torch.Tensor):
                return reached.hidden
        finally:
            hook.remove()
        kind = type(self.layers[0]).__name__
        raise UserError(f"the layers of this model ({kind}) do not return hidden states alone; choose another model")

    def suffix(self, hidden: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> Any:
        """Return the network's output from the hidden states that ``prefix`` returned.

        The network's own code runs, with its first layers answering ``hidden``; what it computes before them, such as
        embeddings, is dropped. So of ``inputs`` only what later parts look at matters: attention masks and shapes; the
        rest may be zeros, such as tokens or pixels that are not known on this side of the cut.
        """

        def answer(*args: object, **kwargs: object) -> torch.Tensor:  # noqa: ARG001
            return hidden

        skipped = self.layers[: self.index]
        before = [vars(layer).get("forward") for layer in skipped]
        for layer in skipped:
            layer.forward = answer
        try:
            return self.module(**inputs)
        finally:
            for layer, own in zip(skipped, before, strict=True):
                if own is None:
                    del layer.forward
                else:
                    layer.forward = own


def split_layers(module: torch.nn.Module, index: int) -> Split:
    """Return a Hugging Face transformer, PEFT's wrapping included, cut after its first ``index`` layers.

    split.suffix(split.prefix(inputs), inputs) is module(**inputs), to the bit where there is no dropout. Raises
    UserError where the model has no single stack of layers, or not so many.
    """
    layers = transformer_layers(module)
    if not 1 <= index <= len(layers):
        raise UserError(f"a cut after layer {index} of a model with {len(layers)}; choose 1 to {len(layers)}")
    return Split(module, layers, index)


def layer_groups(
    module: torch.nn.Module, trainable: Mapping[str, torch.nn.Parameter], inputs: Mapping[str, torch.Tensor]
) -> list[frozenset[str]]:
    """Return the names of the trainable parameters of every layer; the first one's also of all that runs before it.

    What runs before the layers (embeddings) is found by running ``inputs``: the modules that are done when the first
    layer starts. What runs after them belongs to no layer.
    """
    layers, done = transformer_layers(module), list[torch.nn.Module]()

    def note(part: torch.nn.Module, args: object, output: object) -> None:  # noqa: ARG001
        done.append(part)

    def stop(layer: object, args: object) -> NoReturn:  # noqa: ARG001
        raise _Reached(None)

    hooks = [part.register_forward_hook(note) for part in module.modules()]
    hooks.append(layers[0].register_forward_pre_hook(stop))
    try:
        with torch.no_grad():
            module(**inputs)
    except _Reached:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    parts = [{id(each) for each in layer.parameters()} for layer in layers]
    parts[0] |= {id(each) for part in done for each in part.parameters()}
    return [frozenset(name for name, each in trainable.items() if id(each) in part) for part in parts]
