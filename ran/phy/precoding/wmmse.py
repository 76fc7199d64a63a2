"""Weighted minimum mean square error: a local maximum of the sum rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.phy.precoding.precoder import PRECODERS, Precoder

if TYPE_CHECKING:
    from torch import Tensor

    from ran.phy.precoding.streams import Streams


@PRECODERS.register("wmmse")
class WMMSE(Precoder):
    """Weighted MMSE: a local maximum of the sum rate, climbed to from RZF (Shi et al., IEEE TSP 2011).

    The full-power rewriting replaces the noise by sigma^2 tr(V V^H) / P (Hu et al., IEEE TWC 2021), which needs no
    bisection. The iterate is V = H^H A with A of size K x K (Zhao et al., arXiv 2205.06225), so that an iteration costs
    the same for any number of antennas. The start is RZF with equal powers; the rate grows with every iteration. Each
    batch element stops by itself.
    """

    tolerance: float = Field(
        default=1e-5,
        ge=0.0,
        le=0.1,
        description="stop when the sum rate grows by no more than this fraction; 0 never stops",
    )
    max_iterations: int = Field(default=500, ge=0, le=100_000, description="most iterations; 0 leaves the start")

    def solve(self, streams: Streams) -> Tensor:
        """Return the precoder of the last iteration, complex [..., M, K]."""
        from ran.phy.precoding.wmmse_iteration import climb

        return streams.total_power(climb(streams, self.tolerance, self.max_iterations))
