"""What a learned rule sees of a round of split learning and what its choices mean, for environments and scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ran.learning.compression import Compressor
from ran.learning.compression.fp16 import Fp16
from ran.learning.compression.int8 import Int8
from ran.learning.compression.top_k import TopK
from ran.observed import Field, pack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

AFTER = (1, 2, 3)
"""Layers of the UE's part, by the place of the cut."""
WIDTHS = (0.5, 0.25, 0.125)
COMPRESSORS: tuple[Compressor, ...] = (Fp16(), Int8(), TopK(density=0.1, feedback="none"))
SIZES = (len(AFTER), len(WIDTHS), len(COMPRESSORS))

LEAST_FREE = 0.2
"""Part of the server that other tenants leave at least."""


@dataclass(frozen=True)
class SplitSeen:
    """What is known of the UEs of a round; [batch, num_ues] unless said otherwise.

    Attributes:
        there: which of them there are.
        uplink, downlink: bit/s of each, had it the whole band.
        speed: FLOP/s of each.
        frugality: FLOP/J of each processor.
        memory: bytes of each.
        server: part of the server that is free, [batch].
    """

    there: NDArray[np.bool_]
    uplink: Values
    downlink: Values
    speed: Values
    frugality: Values
    memory: Values
    server: Values


@dataclass(frozen=True)
class SplitLayout:
    """How a round becomes an observation, and numbers become cuts, widths and quantisers.

    Attributes:
        ues: most of them; they are numbered from the fastest, and those that are not there come last.
    """

    ues: int

    def blocks(self) -> tuple[Field, ...]:
        """Return the observation, block by block."""
        return (
            Field("uplink", "log10 bit/s", 4, 8, "rate of each UE, had it the whole band", self.ues),
            Field("downlink", "log10 bit/s", 4, 8, "likewise", self.ues),
            Field("speed", "log10 FLOP/s", 8, 12, "of each UE", self.ues),
            Field("frugality", "log10 FLOP/J", 8, 12, "of each UE's processor", self.ues),
            Field("memory", "log10 byte", 5, 11, "of each UE", self.ues),
            Field("there", "1", 0, 1, "whether there is such a UE", self.ues),
            Field("server", "1", 0, 1, "part of the server that is free"),
        )

    def values(self, seen: SplitSeen) -> dict[str, Values]:
        """Return the observation by block, [batch, count] each; of UEs that are not there the least."""
        import numpy as np

        names = ("uplink", "downlink", "speed", "frugality", "memory")
        known = {name: np.where(seen.there, getattr(seen, name), 1.0) for name in names}
        values = {name: np.log10(value) for name, value in known.items()}
        return {**values, "there": seen.there.astype(np.float64), "server": seen.server[:, None]}

    def pack(self, seen: SplitSeen) -> NDArray[np.float32]:
        """Return the observation, in [-1, 1], float32 [batch, size]."""
        return pack(self.blocks(), self.values(seen))

    def options(self) -> list[int]:
        """Return the options of every single choice: all UEs' cuts, then widths, then quantisers."""
        return [size for size in SIZES for _ in range(self.ues)]

    def mask(self, there: NDArray[np.bool_], cuts: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which options are allowed, [batch, sum of options]; a UE that is not there has one.

        Args:
            there: which UEs there are, [batch, num_ues].
            cuts: which of them each can hold, [batch, num_ues, num_cuts].
        """
        import numpy as np

        parts = [cuts.copy(), *(np.ones((*there.shape, size), bool) for size in SIZES[1:])]
        for part in parts:
            part[~there] = np.arange(part.shape[-1]) == 0
        return np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)

    def places(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return cut, width and quantiser of every UE, [batch, num_ues, 3], of choices [batch, 3 num_ues]."""
        import numpy as np

        return np.moveaxis(np.asarray(chosen).reshape(-1, len(SIZES), self.ues), 1, 2)
