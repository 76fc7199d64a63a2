"""How far UEs of asynchronous split learning may drift apart."""

from __future__ import annotations

from pydantic import Field

from channel.component import Settings


class BoundedStaleness(Settings):
    """UEs go round at their own pace, the fastest at most ``max_staleness`` cycles ahead of the slowest.

    A cycle is what a round is elsewhere: the UE side comes down, takes its local steps with the servers' side, batch by
    batch, and its change goes up. A change is merged when it arrives, waiting for no other:

        w <- w + n_k / sum_i n_i (1 + tau)^-exponent change_k

    n_k the UE's samples, tau how many cycles the furthest change that is merged by then is ahead of this one; the
    weight is FedAsync's polynomial (Xie, Koyejo & Gupta, arXiv 1903.03934, section 5.2). A UE that has concluded c
    cycles begins the next one once every UE that is still there has concluded c - ``max_staleness`` (stale synchronous
    parallel, Ho et al., NIPS 2013, section 2); hence tau <= ``max_staleness``.

    A round is an evaluation: no cycle begins once the slowest UE has concluded ``cycles``, and all that is under way
    ends. With ``max_staleness`` 0 and one cycle that is splitfed_v2, where no UE is lost.
    """

    max_staleness: int = Field(default=2, ge=0, le=1000, description="cycles that a UE may be ahead of the slowest")
    exponent: float = Field(default=0.5, ge=0, le=100, description="of the weight of stale changes; 0: all weigh alike")
    cycles: int = Field(default=2, ge=1, le=1000, description="of the slowest UE between two evaluations")

    def weight(self, staleness: int) -> float:
        """Return (1 + tau)^-exponent."""
        return float((1 + staleness) ** -self.exponent)
