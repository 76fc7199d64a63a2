"""Zero-forcing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ran.phy.precoding.precoder import PRECODERS, Precoder

if TYPE_CHECKING:
    from torch import Tensor

    from ran.phy.precoding.streams import Streams


@PRECODERS.register("zf")
class ZF(Precoder):
    """Zero-forcing: the columns of the pseudo-inverse H^H (H H^H)^-1, each scaled to power P/K.

    Streams do not interfere where the rows of H are linearly independent, which needs K <= M; elsewhere the
    pseudo-inverse leaves what interference it must (Wiesel, Eldar & Shamai, IEEE Trans. Signal Process. 2008).
    """

    def solve(self, streams: Streams) -> Tensor:
        """Return the columns of the pseudo-inverse with equal power per stream, complex [..., M, K]."""
        from ran.phy.precoding.streams import regularised_inverse

        ridge = (~streams.present).to(streams.strength.dtype)  # zero, but absent streams need a diagonal
        return streams.equal_power(regularised_inverse(streams.gram(), ridge).mH @ streams.direction)
