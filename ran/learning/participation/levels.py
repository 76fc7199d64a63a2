"""How hard an update may be compressed where a policy decides: a short ladder of compressors without memory."""

from __future__ import annotations

from dataclasses import dataclass

from ran.learning.compression import Compressor
from ran.learning.compression.int8 import Int8
from ran.learning.compression.none import NoCompression
from ran.learning.compression.qsgd import Qsgd
from ran.learning.compression.top_k import TopK


@dataclass(frozen=True)
class Level:
    """A level of compression.

    Attributes:
        compressor: that makes the payload; it remembers nothing, so that UEs may come and go.
        bits: of the payload, over the number of parameters; measured (``python -m agents.rounds.fit``).
    """

    compressor: Compressor
    bits: float


LEVELS = (
    Level(NoCompression(), 32.26),
    Level(Int8(), 8.013),
    Level(Qsgd(levels=1, coding="elias"), 1.445),
    Level(TopK(density=0.01, feedback="none"), 0.464),
)
"""From everything to very little."""
