"""The UEs with the best channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.learning.participation.participation import PARTICIPATIONS, Candidates, Participation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@PARTICIPATIONS.register("channel_aware")
class ChannelAware(Participation):
    """The ``count`` UEs of the highest uplink rate, the policy "best channel" of Amiri et al., arXiv 2001.10402.

    A share ``epsilon`` of them is drawn from the others instead, so that data behind a bad channel count as well.
    """

    count: int = Field(default=5, ge=1, le=100_000, description="UEs in a round")
    epsilon: float = Field(default=0.0, ge=0, le=1, description="share of the places that chance fills, rounded")

    def choose(self, candidates: Candidates, present: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the best by rate, equal ones in random order, then a sample of the rest."""
        import numpy as np

        rng = candidates.rng()
        wanted = min(self.count, len(present))
        by_chance = round(self.epsilon * wanted)
        mixed = rng.permutation(present)
        rate_bit_s = np.nan_to_num(np.asarray(candidates.rate_bit_s()))[mixed]
        ranked = mixed[np.argsort(-rate_bit_s, kind="stable")]
        best = wanted - by_chance
        return np.concatenate([ranked[:best], rng.permutation(ranked[best:])[:by_chance]])
