"""Maximum ratio transmission."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ran.phy.precoding.precoder import PRECODERS, Precoder

if TYPE_CHECKING:
    from torch import Tensor

    from ran.phy.precoding.streams import Streams


@PRECODERS.register("mrt")
class MRT(Precoder):
    """Maximum ratio: v_k = sqrt(P/K) conj(h_k) / ||h_k||, best without interference (Lo, IEEE Trans. Commun. 1999)."""

    def solve(self, streams: Streams) -> Tensor:
        """Return the conjugate directions with equal power per stream, complex [..., M, K]."""
        return streams.equal_power(streams.direction)
