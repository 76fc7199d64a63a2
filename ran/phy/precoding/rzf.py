"""Regularised zero-forcing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.phy.precoding.precoder import PRECODERS, Precoder

if TYPE_CHECKING:
    from torch import Tensor

    from ran.phy.precoding.streams import Streams


@PRECODERS.register("rzf")
class RZF(Precoder):
    """Regularised zero-forcing: columns of H^H (H H^H + alpha I)^-1, each scaled to power P/K.

    alpha = K sigma^2 / P (Peel, Hochwald & Swindlehurst, IEEE Trans. Commun. 2005). With imperfect CSI, h = h_hat + e
    and e_k ~ CN(0, sigma_k^2 I), E[H^H H] = H_hat^H H_hat + sum_k sigma_k^2 I adds sum_k sigma_k^2 to alpha (K
    sigma_e^2 for equal errors): the statistically robust linear precoder of Shenouda & Davidson, IEEE JSAC 2008.
    """

    csi_error_variance: float = Field(
        default=0.0,
        ge=0.0,
        le=100.0,
        description="error variance of a channel coefficient, as a fraction of the estimated stream's mean |h|^2",
    )

    def solve(self, streams: Streams) -> Tensor:
        """Return the regularised columns with equal power per stream, complex [..., M, K]."""
        from ran.phy.precoding.streams import regularised_inverse

        inverse = regularised_inverse(streams.gram(), self.ridge(streams))
        return streams.equal_power(inverse.mH @ streams.direction)

    def ridge(self, streams: Streams) -> Tensor:
        """Return alpha / ||h_k||^2, real [..., K]."""
        import torch

        noise = streams.count * streams.noise
        if self.csi_error_variance == 0.0:
            return noise
        # The strengths over the strongest: squares of absolute path gains would leave single precision.
        strength = streams.strength / streams.strength.amax(-1, keepdim=True).clamp(min=1e-30)
        error = self.csi_error_variance / streams.direction.shape[-1] * strength.square().sum(-1, keepdim=True)
        return noise + torch.where(streams.present, error / strength.square().clamp(min=1e-30), 0.0)
