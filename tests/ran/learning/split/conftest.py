"""Networks to cut, batches for them, and the gradients of the uncut network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification, GPT2Config, GPT2LMHeadModel

from channel.seeding import stream
from ran.learning.adapters import Adapter, Full, Lora
from ran.learning.models import GlyphVit, HuggingFace
from ran.learning.small_models import Cnn, Mlp, ResNet
from ran.learning.split.cut import Cut
from ran.learning.split.draws import Draws
from ran.learning.split.exchange import Batch, Errors, exchange, run_exchange
from ran.learning.split.party import Party
from ran.learning.split.smashed_data import SmashedData
from ran.learning.split.split_network import SplitNetwork
from ran.learning.tasks import Digits
from ran.learning.tasks.network import load_base

BERT = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24, "vocab_size": 30,
    "pad_token_id": 0, "num_labels": 3,
}  # fmt: skip


def bert(dropout: float):
    config = BertConfig(**BERT, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    tokens = np.random.default_rng(0).integers(1, 30, (6, 7))
    mask = (np.arange(7) < np.array([[7], [5], [3], [7], [1], [4]])).astype(np.int64)
    inputs = {"input_ids": torch.from_numpy(tokens * mask), "attention_mask": torch.from_numpy(mask)}
    return BertForSequenceClassification(config), inputs, torch.tensor([0, 1, 2, 0, 1, 2])


def gpt2(dropout: float):
    rates = {"resid_pdrop": dropout, "embd_pdrop": dropout, "attn_pdrop": dropout}
    config = GPT2Config(n_embd=16, n_layer=3, n_head=2, n_positions=8, vocab_size=30, use_cache=False, **rates)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 30, (4, 8)))
    labels = torch.cat([tokens[:, 1:], torch.full((4, 1), -100)], dim=1)
    return GPT2LMHeadModel(config), {"input_ids": tokens}, labels


def vit(dropout: float):
    base = load_base(GlyphVit(), "image_classification", tuple("0123456789"))
    for module in base.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    train = Digits().load().train
    return base, {"pixel_values": torch.from_numpy(train.inputs[:6]) * 2 - 1}, torch.from_numpy(train.labels[:6])


def small(model):
    base = load_base(model, "image_classification", tuple("0123456789"))
    images = torch.from_numpy(np.random.default_rng(0).random((5, 1, 8, 8), np.float32))
    return base, {"pixel_values": images}, torch.tensor([0, 1, 2, 3, 9])


def mlp(dropout: float):
    assert not dropout
    return small(Mlp(hidden=(20, 12)))


def cnn(dropout: float):
    assert not dropout
    return small(Cnn(filters=(4, 6), hidden=9))


def resnet(dropout: float):
    assert not dropout
    return small(ResNet(stem_width=4, widths=(4, 8)))


KINDS = {"bert": bert, "gpt2": gpt2, "vit": vit, "mlp": mlp, "cnn": cnn, "resnet": resnet}


@dataclass(frozen=True)
class Whole:
    """A network in training mode, one batch, and the gradients that it has for it."""

    network: object
    batch: Batch
    seed: int = 5

    def gradients(self) -> tuple[float, dict[str, torch.Tensor]]:
        """Return loss and gradients of the uncut network by plain PyTorch."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            logits = self.network.module(**self.batch.inputs).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, -2), self.batch.labels.flatten())
        names, leaves = zip(*self.network.trainable.items(), strict=True)
        found = torch.autograd.grad(loss, leaves, allow_unused=True, materialize_grads=True)
        return float(loss.detach()), dict(zip(names, found, strict=True))


def whole(kind: str, adapter: Adapter | None = None, dropout: float = 0.0) -> Whole:
    """Return a small network with an adapter, by default all of it trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base, inputs, labels = KINDS[kind](dropout)
        network = (adapter or Full()).attach(base)
    network.module.train()
    return Whole(network, Batch(np.arange(len(labels)), inputs, labels))


def whole_of(given: Whole, batch: Batch) -> Whole:
    """Return the same network with another batch."""
    return Whole(given.network, batch)


def minilm(folder: str) -> Whole:
    """Return MiniLM with LoRA, and four sentences of eight tokens or fewer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Lora(dropout=0.1).attach(load_base(HuggingFace(path=folder), "text_classification", ("bad", "good")))
    network.module.train()
    tokens = torch.from_numpy(np.random.default_rng(0).integers(1000, 20_000, (4, 8)))
    mask = (torch.arange(8) < torch.tensor([[8], [6], [3], [8]])).long()
    return Whole(
        network, Batch(np.arange(4), {"input_ids": tokens * mask, "attention_mask": mask}, torch.arange(4) % 2)
    )


def cut_up(given: Whole, cut: Cut, data: SmashedData | None = None) -> tuple[SplitNetwork, dict[str, Party]]:
    """Return a network's parts, and parties with copies of its parameters."""
    sample = {name: values[:2] for name, values in given.batch.inputs.items()}
    split = SplitNetwork.of(given.network, cut, data or SmashedData(), sample, stream(1, "bottleneck"))
    return split, {node: Party.of(split, node, split.initial(node)) for node in dict.fromkeys(cut.nodes)}


def one_exchange(split: SplitNetwork, parties: dict[str, Party], given: Whole, **changed):
    """Return outcome and messages of one batch whose messages all arrive."""
    fields = {"key": 0, "rng": stream(1, "rounding"), "errors": Errors(), "draws": Draws(given.seed)} | changed
    return run_exchange(exchange(split, parties, given.batch, **fields))
