"""The attack itself: train a decoder on the attacker's pairs, and measure it on the victims'."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from channel.seeding import stream, stream_key
from ran.learning.privacy_probe.decoders import decoder_for
from ran.learning.privacy_probe.similarity import Similarity
from ran.threads import torch_threads

if TYPE_CHECKING:
    from ran.learning.privacy_probe.settings import PrivacyProbe

EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Pairs:
    """Smashed data [num_samples, ...] and what they were made of: inputs [num_samples, ...], float32; their labels."""

    smashed: torch.Tensor
    inputs: torch.Tensor
    labels: torch.Tensor

    def __post_init__(self) -> None:
        assert len(self.smashed) == len(self.inputs) == len(self.labels), "a pair lacks one half"


@dataclass(frozen=True)
class Leakage:
    """What an attacker makes of the victims' smashed data, beside guesses that need none.

    Attributes:
        decoder: the trained attack.
        mean_image: every guess the attacker's mean input.
        class_mean: the mean input of the victim's class, for an attacker who sees labels, as FedGKT's server does.
    """

    decoder: Similarity
    mean_image: Similarity
    class_mean: Similarity

    @property
    def normalised_mse(self) -> float:
        """MSE over that of the mean input: 1 where smashed data tell nothing, 0 where they tell all."""
        return self.decoder.mse / self.mean_image.mse


def attack(
    probe: PrivacyProbe, attacker: Pairs, victims: Pairs, *, peak: float, seed: int, threads: int = 1
) -> Leakage:
    """Return how well a decoder trained on the attacker's pairs reconstructs the victims' inputs.

    Args:
        probe: the attack's settings.
        attacker: pairs to train on, two or more; none of them a victim's.
        victims: whose inputs are to be guessed.
        peak: width of the range of input values, for PSNR and SSIM.
        seed: of weights and batch orders; equal seeds give equal bits.
        threads: of torch.
    """
    guesses = reconstruction(probe, attacker, victims.smashed, seed=seed, threads=threads)
    mean = attacker.inputs.mean(dim=0)
    means = {
        int(label): attacker.inputs[attacker.labels == label].mean(dim=0) for label in torch.unique(attacker.labels)
    }
    of_class = torch.stack([means.get(int(label), mean) for label in victims.labels])
    return Leakage(
        Similarity.of(guesses, victims.inputs, peak),
        Similarity.of(mean.expand_as(victims.inputs), victims.inputs, peak),
        Similarity.of(of_class, victims.inputs, peak),
    )


def reconstruction(
    probe: PrivacyProbe, attacker: Pairs, smashed: torch.Tensor, *, seed: int, threads: int = 1
) -> torch.Tensor:
    """Return the inputs that a decoder trained on the attacker's pairs makes of smashed data; see ``attack``."""
    with torch_threads(threads), torch.random.fork_rng([]):
        torch.default_generator.manual_seed(stream_key(seed, "privacy probe"))
        return _trained(probe, attacker, stream(seed, "privacy probe"))(smashed)


def _trained(probe: PrivacyProbe, pairs: Pairs, rng: np.random.Generator) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the reconstruction: the mean input plus the decoder of the epoch that validates best, the mean included.

    Smashed data are centred and brought to unit variance over all values, so that their scale does not matter.
    """
    mean, centre = pairs.inputs.mean(dim=0), pairs.smashed.mean(dim=0)
    spread = float((pairs.smashed - centre).double().square().mean().sqrt())
    scale = spread if spread > 1e-6 * float(pairs.smashed.abs().max()) else 1.0
    smashed, wanted = (pairs.smashed - centre) / scale, pairs.inputs - mean
    order = rng.permutation(len(wanted))
    held_out = max(1, round(probe.validation_share * len(order)))
    validation, training = torch.from_numpy(order[:held_out]), order[held_out:]
    decoder = decoder_for(smashed.shape[1:], wanted.shape[1:], probe.width)
    optimizer = torch.optim.Adam(decoder.parameters(), lr=probe.learning_rate)
    best, least = copy.deepcopy(decoder), float(wanted[validation].square().mean())
    for _ in range(probe.epochs):
        shuffled = rng.permutation(training)
        for start in range(0, len(shuffled), probe.batch_size):
            batch = torch.from_numpy(shuffled[start : start + probe.batch_size])
            optimizer.zero_grad(set_to_none=True)
            loss = (decoder(smashed[batch]) - wanted[batch]).square().mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            error = float((_decoded(decoder, smashed[validation]) - wanted[validation]).square().mean())
        if error < least:
            best, least = copy.deepcopy(decoder), error
    return lambda seen: mean + _decoded(best, (seen - centre) / scale)


@torch.no_grad()
def _decoded(decoder: torch.nn.Module, smashed: torch.Tensor) -> torch.Tensor:
    return torch.cat([decoder(part) for part in torch.split(smashed, EVALUATION_BATCH)])
