"""The receiver of smashed data as an attacker: what it heard in a round, and what it makes of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from channel.seeding import stream, stream_key
from ran.learning.privacy_probe.attack import Pairs, attack, reconstruction
from ran.learning.split.probe_settings import LEAST_SAMPLES

if TYPE_CHECKING:
    from ran.learning.split.exchange import Batch
    from ran.learning.split.probe_settings import SmashedDataProbe

TOKENS, _MASK = "input_ids", "attention_mask"


@dataclass(frozen=True)
class Finding:
    """How well inputs were reconstructed; fields as the columns of ``rounds.parquet``, NaN where nothing was."""

    probe_normalised_mse: float = math.nan
    probe_psnr_db: float = math.nan
    probe_ssim: float = math.nan
    probe_mean_ssim: float = math.nan
    probe_token_accuracy: float = math.nan
    probe_samples: int = 0


@dataclass(frozen=True)
class _Heard:
    """What arrived of a sample, its input and its label."""

    smashed: torch.Tensor
    inputs: Mapping[str, torch.Tensor]
    label: torch.Tensor


@dataclass
class Eavesdropper:
    """Listens through one round; memory holds ``probe.samples`` samples at most.

    Attributes:
        probe: the settings.
        seed: of the scenario.
        round_number: from 1.
        num_samples: of the training set, heard or not.
        kept: what was heard last of each sample, by its row.
    """

    probe: SmashedDataProbe
    seed: int
    round_number: int
    num_samples: int
    kept: dict[int, _Heard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        draw = stream(self.seed, "privacy probe samples").random((2, self.num_samples))
        self._rank, self._known = draw[0], draw[1] < self.probe.known_share

    def hear(self, batch: Batch, smashed: torch.Tensor) -> None:
        """Keep a batch's activations as they were received, of those samples that are to be listened to."""
        for at, row in enumerate(batch.rows.tolist()):
            inputs = {name: values[at].cpu() for name, values in batch.inputs.items()}
            self.kept[row] = _Heard(smashed[at].detach().cpu().clone(), inputs, batch.labels[at].cpu())
        while len(self.kept) > self.probe.samples:
            del self.kept[max(self.kept, key=self._rank.__getitem__)]

    def find(self, embeddings: torch.Tensor | None) -> Finding:
        """Return what the attack reconstructs; NaN where too little was heard.

        ``embeddings`` are those of all tokens, [vocabulary, width]; None where inputs are no tokens.
        """
        known, victims = ([row for row in sorted(self.kept) if self._known[row] == side] for side in (True, False))
        if min(len(known), len(victims)) < LEAST_SAMPLES:
            return Finding()
        # Its own seed in every round; torch's random state is left as it was.
        seed = stream_key(self.seed, "privacy probe", self.round_number)
        if embeddings is None:
            return self._images(self._pairs(known), self._pairs(victims), seed)
        everywhere = set.intersection(*(set(self._tokens_of(row).tolist()) for row in known))
        told, wanted = (self._token_pairs(side, embeddings, everywhere) for side in (known, victims))
        return self._tokens(told, wanted, embeddings, seed)

    def _images(self, known: Pairs, victims: Pairs, seed: int) -> Finding:
        # What the attacker takes for the range of values is that of the inputs that it knows.
        peak = float(known.inputs.max() - known.inputs.min()) or 1.0
        leakage = attack(self.probe.attack, known, victims, peak=peak, seed=seed)
        decoder = leakage.decoder
        return Finding(
            leakage.normalised_mse, decoder.psnr_db, decoder.ssim, leakage.mean_image.ssim,
            probe_samples=len(victims.inputs),
        )  # fmt: skip

    def _tokens(self, known: Pairs, victims: Pairs, embeddings: torch.Tensor, seed: int) -> Finding:
        if min(len(known.inputs), len(victims.inputs)) < LEAST_SAMPLES:
            return Finding()
        guesses = reconstruction(self.probe.attack, known, victims.smashed, seed=seed)
        nearest = torch.cdist(guesses, embeddings).argmin(dim=1)
        mean = known.inputs.mean(dim=0)
        error, error_of_mean = (float((each - victims.inputs).double().square().mean()) for each in (guesses, mean))
        recovered = float((nearest == victims.labels).double().mean())
        return Finding(error / error_of_mean, probe_token_accuracy=recovered, probe_samples=len(victims.labels))

    def _pairs(self, rows: Sequence[int]) -> Pairs:
        """Return pairs of whole samples."""
        heard = [self.kept[row] for row in rows]
        name = next(iter(heard[0].inputs))
        return Pairs(
            torch.stack([each.smashed for each in heard]),
            torch.stack([each.inputs[name] for each in heard]),
            torch.stack([each.label for each in heard]),
        )

    def _token_pairs(self, rows: Sequence[int], embeddings: torch.Tensor, everywhere: set[int]) -> Pairs:
        """Return pairs of tokens, their embeddings as inputs and themselves as labels."""
        tokens = torch.cat([self._tokens_of(row) for row in rows])
        smashed = torch.cat([self.kept[row].smashed[self._there(row)] for row in rows])
        telling = ~torch.isin(tokens, torch.tensor(sorted(everywhere), dtype=tokens.dtype))
        chosen = telling.nonzero()[:, 0]
        draw = stream(self.seed, "privacy probe tokens", rows[0]).permutation(len(chosen))[: self.probe.samples]
        chosen = chosen[torch.from_numpy(np.sort(draw))]
        return Pairs(smashed[chosen], embeddings[tokens[chosen]], tokens[chosen])

    def _tokens_of(self, row: int) -> torch.Tensor:
        return self.kept[row].inputs[TOKENS][self._there(row)]

    def _there(self, row: int) -> torch.Tensor:
        """Return which places of a sample hold a token, not padding."""
        inputs = self.kept[row].inputs
        return inputs[_MASK].bool() if _MASK in inputs else torch.ones_like(inputs[TOKENS], dtype=torch.bool)


def embeddings_of(module: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor | None:
    """Return the public embeddings of a network's tokens, [vocabulary, width]; None where its inputs are none."""
    if TOKENS not in inputs:
        return None
    weight: torch.Tensor = module.get_input_embeddings().weight
    return weight.detach().float().cpu()
