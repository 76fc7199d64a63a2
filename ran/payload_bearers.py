"""Learning payloads on their bearers: begun, ended, given up, for one UE or for many replicas at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ran.state import IDLE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.state import LinkState

_SLICE = 0


def begin(
    link: LinkState, where: NDArray[np.bool_], size: NDArray[np.int64], now_s: float, deadline_s: float = np.inf
) -> None:
    """Queue a payload of ``size`` bytes (RLC's stream, headers included) at every UE of ``where``, [batch, num_ues].

    Whatever was there before has ended, so that the byte counters start again at an SDU boundary.
    """
    bearer = link.bearer[:, :, _SLICE]
    for name in ("sent", "delivered", "lost"):
        bearer[name][where] = 0
    bearer["enqueued"][where] = size[where]
    bearer["head_s"][where], bearer["deadline_s"][where] = now_s, deadline_s


def end(link: LinkState, where: NDArray[np.bool_]) -> None:
    """Leave nothing of the payloads at ``where``: no bytes, no ranges to repeat, no HARQ process."""
    begin(link, where, np.zeros(where.shape, np.int64), np.nan)
    of_payload: NDArray[Any] = where[..., None] & (link.harq["bearer"] == _SLICE)
    link.harq["status"][of_payload] = IDLE
    for b, u in np.argwhere(where & (link.ue["nack_count"] > 0)).tolist():
        count = int(link.ue["nack_count"][b, u])
        kept = link.nack[b, u, :count][link.nack[b, u, :count]["bearer"] != _SLICE]
        link.nack[b, u, : len(kept)] = kept
        link.ue["nack_count"][b, u] = len(kept)
