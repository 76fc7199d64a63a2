"""What outlives a round of split learning, besides the model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ran.learning.algorithms.algorithm import part, prefixed
from ran.learning.frozen_prefix import ActivationCache
from ran.learning.split.exchange import Errors
from ran.learning.split.sample_filter import SampleHistory

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ran.learning.split.sample_filter import SampleFilter
    from ran.learning.split.split_round import Turn

_FEATURES, _ERRORS, _HISTORIES = "features", "errors", "histories"


@dataclass
class SplitMemory:
    """Features of frozen UE sides that the gNB keeps, what tensors' compressors remember, and losses, by UE."""

    features: dict[int, ActivationCache] = field(default_factory=dict)
    errors: dict[int, Errors] = field(default_factory=dict)
    histories: dict[int, SampleHistory] = field(default_factory=dict)

    def features_of(self, ue: int) -> ActivationCache:
        """Return what the gNB keeps of a UE's samples."""
        return self.features.setdefault(ue, ActivationCache(math.inf))

    def errors_of(self, ue: int) -> Errors:
        """Return what the senders of a UE's tensors remember."""
        return self.errors.setdefault(ue, Errors())

    def note(self, turn: Turn, which: NDArray[np.int64], losses: NDArray[np.float32], round_index: int) -> None:
        """Note the losses of a batch that is back, as the UE knows them: its own, or in half precision as reported.

        They come down with the gradients; a UE whose side trains nothing gets none.
        """
        own, split = turn.parties["ue"], turn.parties["ue"].split
        if split.stages[-1].node != "ue":
            if not own.learns(0):
                return
            losses = losses.astype(np.float16).astype(np.float32)
        self.histories[turn.ue] = self.histories[turn.ue].noted(which, losses, round_index)

    def informative(self, rule: SampleFilter, ue: int, num_samples: int, round_index: int) -> NDArray[np.int64]:
        """Return which of a UE's samples are to be sent in a round."""
        history = self.histories.setdefault(ue, SampleHistory.empty(num_samples))
        return np.flatnonzero(rule.informative(history, round_index))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return everything by name, for a checkpoint."""
        named = dict[str, Any]()
        for ue, cache in self.features.items():
            kept = {str(row): hidden.cpu().numpy() for row, hidden in cache.kept.items()}
            named |= prefixed(f"{_FEATURES}/{ue}/{cache.key[0]}", kept)
        for ue, errors in self.errors.items():
            for (cut, kind), rows in errors.kept.items():
                named |= prefixed(f"{_ERRORS}/{ue}/{cut}/{kind}", rows)
        for ue, history in self.histories.items():
            named |= {f"{_HISTORIES}/{ue}/losses": history.losses, f"{_HISTORIES}/{ue}/rounds": history.rounds}
        return named

    def restore(self, arrays: dict[str, NDArray[Any]], device: torch.device) -> None:
        """Take over what ``arrays`` returned."""
        self.features, self.errors, self.histories = {}, {}, {}
        histories: dict[str, Any] = part(_HISTORIES, arrays)
        for number in {name.split("/")[0] for name in histories}:
            self.histories[int(number)] = SampleHistory(histories[f"{number}/losses"], histories[f"{number}/rounds"])
        for name, hidden in part(_FEATURES, arrays).items():
            ue, width, row = name.split("/")
            cache = self.features_of(int(ue))
            cache.turn_to(int(width), b"")
            cache.keep(int(row), torch.from_numpy(hidden.copy()).to(device))
        for name, error in part(_ERRORS, arrays).items():
            ue, cut, kind, row = name.split("/")
            kept = self.errors_of(int(ue)).kept.setdefault((int(cut), kind), {})  # type: ignore[arg-type]
            kept[row] = error
