"""What a payload holds and takes in the environment's learning task."""

from __future__ import annotations

from ran.learning.participation.levels import LEVELS

NUM_PARAMETERS, FLOPS_PER_SAMPLE, LOCAL_EPOCHS = 9610, 56_832.0, 5
"""Of the perceptron that is trained: what a payload holds, a sample's training once, and passes in a round."""


def payload_bits(level: int) -> float:
    """Return the bits of an update at a level."""
    return LEVELS[level].bits * NUM_PARAMETERS
