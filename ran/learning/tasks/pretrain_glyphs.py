"""Pre-train the glyph ViT on rendered font digits: ``python -m ran.learning.tasks.pretrain_glyphs``.

It writes config.json, model.safetensors and preprocessor_config.json, which the package ships. No handwriting is
seen. One seed and one thread count give the same weights on one machine; another processor may round differently.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import ViTConfig, ViTForImageClassification

from channel.seeding import stream_key
from ran.learning.tasks.glyphs import draw_digits, render_glyphs
from ran.threads import torch_threads

SEED = 20_240_601
STEPS = 4_000
BATCH_SIZE = 128
LEARNING_RATE = 2e-3
WARM_UP_STEPS = 100
MEAN, STD = 0.5, 0.5


def new_network() -> ViTForImageClassification:
    """Return the architecture with random weights: 16 patches of 2 x 2 pixels, three layers, 103 k parameters."""
    config = ViTConfig(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        image_size=8, patch_size=2, num_channels=1, num_labels=10,
        id2label={digit: str(digit) for digit in range(10)}, label2id={str(digit): digit for digit in range(10)},
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    return ViTForImageClassification(config)


def learning_rate(step: int) -> float:
    """Return the rate of ``step``: a linear warm-up, then half a cosine down to zero."""
    if step < WARM_UP_STEPS:
        return LEARNING_RATE * (step + 1) / WARM_UP_STEPS
    return LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * (step - WARM_UP_STEPS) / (STEPS - WARM_UP_STEPS)))


def pretrain(network: ViTForImageClassification, steps: int = STEPS) -> Iterator[tuple[int, float, float]]:
    """Train in place on digits never drawn twice; yield step, loss and accuracy on the batch before its step."""
    generator = torch.Generator().manual_seed(stream_key(SEED, "glyphs"))
    glyphs = render_glyphs()
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    network.train()
    for step in range(steps):
        images, labels = draw_digits(glyphs, BATCH_SIZE, generator)
        logits = network(pixel_values=(images - MEAN) / STD).logits
        loss = F.cross_entropy(logits, labels, label_smoothing=0.05)
        optimizer.param_groups[0]["lr"] = learning_rate(step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        yield step, loss.item(), (logits.argmax(dim=1) == labels).float().mean().item()


def save(network: ViTForImageClassification, folder: Path) -> None:
    """Write the checkpoint and how images are to be normalised for it."""
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "image_mean": [MEAN], "image_std": [STD]}) + "\n"
    )


def main() -> None:
    """Pre-train and write the checkpoint; the default folder is where the package looks for it."""
    parser = argparse.ArgumentParser(description="Pre-train the glyph ViT on rendered font digits.")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "glyph_vit")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with torch_threads(options.threads), torch.random.fork_rng():
        torch.manual_seed(stream_key(SEED, "initial weights"))
        network = new_network()
        for step, loss, accuracy in pretrain(network):
            if step % 500 == 0 or step == STEPS - 1:
                print(f"step {step}: loss {loss:.3f}, accuracy on fresh glyphs {accuracy:.3f}", flush=True)
    save(network, options.output)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
