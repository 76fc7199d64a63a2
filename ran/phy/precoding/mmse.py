"""Minimum mean square error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ran.phy.precoding.precoder import PRECODERS, Precoder

if TYPE_CHECKING:
    from torch import Tensor

    from ran.phy.precoding.streams import Streams


@PRECODERS.register("mmse")
class MMSE(Precoder):
    """Transmit Wiener filter: V = beta H^H (H H^H + K sigma^2/P I)^-1, beta from sum ||v_k||^2 = P.

    The minimum of the sum of mean square errors E||s - y / beta||^2 with one receive gain for all streams (Joham,
    Utschick & Nossek, IEEE Trans. Signal Process. 2005). Its directions are those of RZF; its powers are not equal,
    since weak streams get more, until noise makes that vain.
    """

    def solve(self, streams: Streams) -> Tensor:
        """Return the Wiener filter, complex [..., M, K]."""
        from ran.phy.precoding.streams import regularised_inverse

        ridge = streams.count * streams.noise
        inverse = regularised_inverse(streams.gram(), ridge)
        # diag(1 / d_k) and the column scale of the inverse, over the largest so that squares stay in range.
        column = (streams.noise / (1.0 + ridge)).sqrt()
        column = column / column.amax(-1, keepdim=True)
        return streams.total_power((inverse * column[..., None, :]).mH @ streams.direction)
