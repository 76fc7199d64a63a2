"""Measures what cuts, widths and quantisers do to accuracy: ``python -m agents.splitting.measure``, a minute.

The quickstart's vision transformer is fine-tuned with LoRA on the digits, all in one place, and then cut. What crosses
the cut goes through the best linear bottleneck there is, the first principal components of the hidden states (Eckart &
Young 1936), and through the compressor; what is measured is the test accuracy with that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agents.splitting.choices import QUANTISERS
from channel.seeding import stream
from ran.learning.adaptation.observed import AFTER, WIDTHS
from ran.learning.split.cut import Cut
from ran.learning.split.smashed_data import SmashedData
from ran.learning.split.split_network import SplitNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.compression import Compressor

_EPOCHS = 10


def accuracies() -> NDArray[np.float64]:
    """Return the test accuracy of every combination, [num_cuts, num_widths, num_quantisers]."""
    from scenarios.build import build_world
    from scenarios.load import load
    from scenarios.run import build_learner

    scenario = load("quickstart", ("learning.partition=iid",))
    learner = build_learner(scenario, build_world(scenario))
    for _ in learner.central(_EPOCHS):
        pass
    task, source = scenario.learning.task, scenario.learning.model.source
    data = task.load()
    seen, test = (task.samples(part, source) for part in (data.train, data.test))
    found = np.zeros((len(AFTER), len(WIDTHS), len(QUANTISERS)))
    cuts = [Cut(after=(after,)) for after in AFTER]
    splits = [SplitNetwork.of(learner.network, cut, SmashedData(), learner.sample(), stream(1, "cut")) for cut in cuts]
    with torch.inference_mode():
        for cut, split in enumerate(splits):
            first, second = split.stages
            train = _hidden(first, seen.inputs)
            inputs = {name: torch.from_numpy(values) for name, values in test.inputs.items()}
            hidden, mean = _hidden(first, test.inputs), train.mean(dim=(0, 1))
            basis = torch.linalg.svd((train - mean).reshape(-1, train.shape[-1]), full_matrices=False)[2]
            for width, part in enumerate(WIDTHS):
                kept = basis[: round(part * train.shape[-1])]
                for quantiser, (compressor, _) in enumerate(QUANTISERS):
                    code = _crossed((hidden - mean) @ kept.T, compressor)
                    logits = second.run(inputs, code @ kept + mean, second.trainable)
                    right = logits.argmax(dim=-1).numpy() == test.labels
                    found[cut, width, quantiser] = right.mean()
    return found


def _hidden(stage: Any, inputs: dict[str, NDArray[Any]]) -> torch.Tensor:
    given = {name: torch.from_numpy(values) for name, values in inputs.items()}
    hidden: torch.Tensor = stage.run(given, None, stage.trainable)
    return hidden


def _crossed(code: torch.Tensor, compressor: Compressor) -> torch.Tensor:
    """Return what arrives of codes, each sample's with a scale of its own."""
    arrays = {f"{place:05d}": each for place, each in enumerate(code.numpy())}
    payload, _ = compressor.compress(arrays, {}, stream(1, "rounding"))
    arrived, _ = compressor.decompress(payload, arrays, {})
    return torch.from_numpy(np.stack([arrived[name] for name in arrays]))


if __name__ == "__main__":
    np.set_printoptions(precision=3, suppress=True)
    print(np.round(accuracies(), 3).tolist())
