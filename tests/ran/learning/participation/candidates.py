"""Candidates for the rules, with what a test wants them to look like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ran.learning.history import no_history
from ran.learning.participation import Candidates


def candidates(
    num_ues: int,
    *,
    history: Mapping[str, Sequence[float]] | None = None,
    rate_bit_s: Sequence[float] | None = None,
    **changed: object,
) -> Candidates:
    """Return ``num_ues`` candidates of 10 samples each, at time 0 before the first round, but for what is changed."""
    past = no_history(num_ues)
    for name, values in (history or {}).items():
        past[name] = values

    def rates() -> np.ndarray:
        assert rate_bit_s is not None, "this rule must not look at the channel"
        return np.array(rate_bit_s)

    fields = {"num_samples": [10] * num_ues, "round": 0, "clock_s": 0.0, "seed": 1}
    return Candidates(history=past, rate_bit_s=rates, **(fields | changed))  # type: ignore[arg-type]
