"""The UEs of the highest utility: much to learn from, and quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from ran.learning.participation.participation import PARTICIPATIONS, Candidates, Participation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@PARTICIPATIONS.register("oort")
class Oort(Participation):
    """Guided selection by statistical and system utility (Oort: Lai et al., OSDI 2021, arXiv 2010.06081).

    Statistical: n sqrt(mean of squared sample losses), here n times the mean training loss of the UE's last update,
    which is all that it reports. Divided by the largest, it gains sqrt(0.1 log(R) / L) for an update last seen in round
    L of now R. System: times (T / t)^alpha where the UE's last round took t longer than T. Of the places, epsilon
    explore UEs never heard of, at random; the others exploit: a sample, as likely as their utility, of those whose
    utility is ``cutoff`` of the last place's at least.

    Left out of the paper: the pacer (T is fixed, or the median of durations seen), exploring fast UEs first, the
    blacklist of UEs chosen often, clipping of outliers, and noise for privacy.
    """

    count: int = Field(default=5, ge=1, le=100_000, description="UEs in a round")
    preferred_s: float | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="duration T that a UE's part should not exceed, s; null: the median seen",
    )
    alpha: float = Field(default=2.0, ge=0, le=100, description="how much slowness costs; 0: nothing")
    epsilon: float = Field(default=0.9, ge=0, le=1, description="share of places that explore, in the first round")
    epsilon_decay: float = Field(default=0.98, gt=0, le=1, description="factor on epsilon from round to round")
    epsilon_min: float = Field(default=0.2, ge=0, le=1, description="epsilon never falls below this")
    cutoff: float = Field(default=0.95, gt=0, le=1, description="share of the last place's utility that is enough")

    def choose(self, candidates: Candidates, present: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return exploited and explored UEs; where either kind is short, the other fills its places."""
        import numpy as np

        rng = candidates.rng()
        heard_of = candidates.history["rounds"][present] > 0
        known, unknown = present[heard_of], rng.permutation(present[~heard_of])
        wanted = min(self.count, len(present))
        epsilon = max(self.epsilon_min, self.epsilon * self.epsilon_decay**candidates.round)
        explored = int(np.clip(round(epsilon * wanted), wanted - len(known), len(unknown)))
        exploited = wanted - explored
        if not exploited:
            return unknown[:explored]
        utility = self.utility(candidates)[known]
        last_place = np.sort(utility)[-exploited]
        worthy = utility >= self.cutoff * last_place
        # Utility that is nought everywhere leaves the choice to chance.
        weights = np.where(worthy, utility, 0.0) + 1e-12 * worthy
        picked = rng.choice(known, exploited, replace=False, p=weights / weights.sum())
        return np.concatenate([picked, unknown[:explored]])

    def utility(self, candidates: Candidates) -> NDArray[np.float64]:
        """Return the utility of every UE, float64 [num_ues]; 0 for those never heard of."""
        import numpy as np

        history = candidates.history
        seen = history["rounds"] > 0
        utility = np.zeros(len(candidates))
        if not seen.any():
            return utility
        statistical = np.nan_to_num(np.asarray(candidates.num_samples)[seen] * history["train_loss"][seen], posinf=0.0)
        statistical = np.maximum(statistical, 0.0) / (statistical.max() if statistical.max() > 0 else 1.0)
        uncertainty = np.sqrt(0.1 * np.log(candidates.round + 1) / history["last_round"][seen])
        duration_s = history["duration_s"][seen]
        preferred_s = self.preferred_s or float(np.median(duration_s))
        slowness = np.maximum(duration_s, preferred_s) / preferred_s if preferred_s > 0 else np.ones(seen.sum())
        utility[seen] = (statistical + uncertainty) / slowness**self.alpha
        return utility
