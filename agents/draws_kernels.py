"""``agents.draws`` one number at a time, for compiled loops."""

from __future__ import annotations

import numba
import numpy as np

_GOLDEN, _FIRST, _SECOND = (
    np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB),
)  # fmt: skip


@numba.njit(cache=True, inline="always")  # type: ignore[untyped-decorator]
def _mix(state: np.uint64, word: int) -> np.uint64:
    state = (state + np.uint64(word) + np.uint64(1)) * _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return state ^ (state >> np.uint64(31))


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def uniform(key: np.uint64, draw: int, place: int) -> float:
    """Return ``agents.draws.uniforms([key], draw, place + 1)[0, place]``, in [0, 1)."""
    state = _mix(_mix(key, draw), place)
    return np.float64(state >> np.uint64(11)) * (1.0 / 9007199254740992.0)
