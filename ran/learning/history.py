"""What earlier rounds showed of every UE: the memory that participation rules choose by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.round import LocalTraining
    from ran.transfer import Delivery

HISTORY_DTYPE = np.dtype(
    [
        ("rounds", "i8"),  # rounds in which an update of the UE arrived
        ("last_round", "i8"),  # the last of them, counted from 1; 0 for none
        ("train_loss", "f8"),  # mean loss there; NaN before
        ("duration_s", "f8"),  # from the round's start to the update's arrival; NaN before
        ("energy_j", "f8"),  # spent so far on computing and on the radio
        ("missed", "i8"),  # rounds in which updates arrived, but none of the UE, since its last one
    ]
)


def no_history(num_ues: int) -> NDArray[Any]:
    """Return the history before the first round, HISTORY_DTYPE [num_ues]."""
    history = np.zeros(num_ues, HISTORY_DTYPE)
    history["train_loss"] = history["duration_s"] = np.nan
    return history


def remember(
    history: NDArray[Any], number: int, start_s: float, arrived: Sequence[tuple[LocalTraining, Delivery]]
) -> None:
    """Note in place the updates that arrived in round ``number`` (from 1), which started at ``start_s``."""
    history["missed"] += bool(arrived)
    for local, delivery in arrived:
        row = history[local.ue]
        row["missed"] = 0
        row["rounds"] += 1
        row["last_round"] = number
        row["train_loss"] = local.update.train_loss
        row["duration_s"] = delivery.done_s - start_s
