"""Counter-based random numbers of many replicas at once: a replica's numbers depend on its own key and step alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from channel.seeding import stream_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GOLDEN, _FIRST, _SECOND = (
    np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB),
)  # fmt: skip


def episode_keys(seeds: NDArray[np.int64], episodes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return the key of every replica's episode, uint64 [batch]."""
    return _mix(_mix(np.full(len(seeds), stream_key(0, "episode"), np.uint64), seeds), episodes)


def uniforms(keys: NDArray[np.uint64], draw: int | NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return ``count`` numbers in [0, 1) a replica, [batch, count].

    A function of its arguments only (SplitMix64 finaliser, Steele et al. 2014): ``draw`` names what is drawn, e.g. the
    step, one for all or one a replica.
    """
    state = _mix(keys, np.broadcast_to(np.asarray(draw, np.int64), keys.shape))[:, None]
    state = _mix(np.broadcast_to(state, (len(keys), count)), np.arange(count))
    return (state >> np.uint64(11)).astype(np.float64) * (1.0 / 9007199254740992.0)


def normals(keys: NDArray[np.uint64], draw: int | NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return ``count`` standard normal numbers a replica, [batch, count] (Box and Muller 1958)."""
    u = uniforms(keys, draw, 2 * count)
    return np.sqrt(-2 * np.log1p(-u[:, :count])) * np.cos(2 * np.pi * u[:, count:])


def _mix(state: NDArray[np.uint64], word: NDArray[np.int64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        state = (state + np.asarray(word).astype(np.uint64) + np.uint64(1)) * _GOLDEN
        state = (state ^ (state >> np.uint64(30))) * _FIRST
        state = (state ^ (state >> np.uint64(27))) * _SECOND
        return state ^ (state >> np.uint64(31))
