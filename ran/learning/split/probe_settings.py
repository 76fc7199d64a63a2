"""What a scenario says of a privacy probe beside split learning, and where that makes no sense."""

from __future__ import annotations

from pydantic import Field

from channel.component import Settings
from ran.learning.privacy_probe import PrivacyProbe

LEAST_SAMPLES = 20
"""Fewer samples on either side would make the error of the reconstruction a matter of chance."""


class SmashedDataProbe(Settings):
    """An attack in the run: reconstruct inputs from the activations that crossed the first cut, as they were received.

    The receiver keeps what it got of a random part of the training samples in the round, compressed and decoded again;
    it knows the inputs of a ``known_share`` of them (of accomplices, or leaked), trains ``attack`` on these pairs at
    the round's end and reconstructs the inputs of the others, which it never saw. Activations of different batches come
    from different states of the UE sides, as the attacker would have them. Images are reconstructed as they are; of
    text the token embeddings, one token after the other, and the nearest one is the guess. Tokens that every known
    sample has (such as [CLS]) tell nothing and do not count.

    The probe takes no part in the run: no air, no virtual time, no random numbers of the training's.
    """

    attack: PrivacyProbe = PrivacyProbe()
    known_share: float = Field(default=0.5, gt=0, lt=1, description="of the samples heard, those the attack trains on")
    samples: int = Field(
        default=600, ge=2 * LEAST_SAMPLES, le=1_000_000, description="most samples to listen to; of text, also tokens"
    )
    every: int = Field(default=1, ge=1, le=1_000_000, description="rounds from one attack to the next")


def probe_problems(probe: SmashedDataProbe | None, *, rounds: int, is_frozen: bool) -> list[str]:
    """Return a sentence, the remedy included, where the probe would find nothing out."""
    if probe is None:
        return []
    if probe.every > rounds:
        return [f"`privacy_probe.every`: of {rounds} rounds none is probed; set it to {rounds} or less"]
    if is_frozen and probe.every > 1:
        return ["`privacy_probe.every`: features of a frozen UE side cross once, in the first round; set it to 1"]
    if min(probe.known_share, 1 - probe.known_share) * probe.samples < LEAST_SAMPLES:
        return [
            f"`privacy_probe.known_share`: {probe.known_share:g} of {probe.samples} samples leaves fewer than "
            f"{LEAST_SAMPLES} to train on or to reconstruct; set it nearer to 0.5, or raise privacy_probe.samples"
        ]
    return []
