"""What a learned scheduler sees of a slot and what its choices mean: one layout for environments and for scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ran.mac.proportional_fair import advance
from ran.observed import Field, pack

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ran.mac.scheduler import Observation

WINDOW_SLOTS = 100.0
"""Memory of the average rate that is seen, slots: that of ``proportional_fair``."""

_LEAST_BYTES, _MOST_BYTES, _MOST_WAIT, _MOST_LEFT_S = 1e1, 1e7, 2.0, 1.0


@dataclass(frozen=True)
class SlotLayout:
    """How a slot becomes an observation, and numbers become a grant.

    Attributes:
        ues, cells, groups: of the network.
        parts: runs of neighbouring groups that are given away together, at most ``groups``.
    """

    ues: int
    cells: int
    groups: int
    parts: int

    def blocks(self) -> tuple[Field, ...]:
        """Return the observation, block by block."""
        each = (
            Field("backlog", "log10 byte", 1, 7, "that may start a new block, of each UE", self.ues),
            Field("left", "log10 byte", 1, 7, "that has not arrived yet, of each UE", self.ues),
            Field("wait", "1", 0, _MOST_WAIT, "of each UE's oldest data, over its delay budget", self.ues),
            Field("deadline", "s", 0, _MOST_LEFT_S, "until each UE's data are wanted", self.ues),
            Field("mean", "log10 bit/slot", 0, 5, "what each UE has received lately", self.ues),
            Field("rate", "log10 bit", 0, 4, "of a group, by report, each UE in each part", self.ues * self.parts),
            Field("free", "1", 0, 1, "groups without retransmissions in each part", self.cells * self.parts),
        )
        return each if self.cells == 1 else (*each, Field("cell", "1", 0, self.cells - 1, "of each UE", self.ues))

    def values(self, seen: Observation, mean: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the observation by block, [batch, count] each; ``mean`` [batch, num_ues] is that of ``averages``."""
        import numpy as np

        batch = len(mean)
        left_s = np.minimum(seen.bearer["deadline_s"] - seen.now_s, _MOST_LEFT_S)
        free = (seen.reserved == -1).astype(np.float64)
        values = {
            "backlog": np.log10(np.clip(seen.backlog_bytes, _LEAST_BYTES, _MOST_BYTES)),
            "left": np.log10(np.clip(seen.remaining_bytes(), _LEAST_BYTES, _MOST_BYTES)),
            "wait": seen.head_delay_s() / seen.bearer["budget_s"],
            "deadline": np.where(seen.backlog_bytes > 0, left_s, _MOST_LEFT_S),
            "mean": np.log10(np.maximum(mean, 1.0)),
            "rate": np.log10(np.maximum(self._by_part(seen.rate_bits.astype(np.float64)), 1.0)).reshape(batch, -1),
            "free": self._by_part(free).reshape(batch, -1),
        }
        return values if self.cells == 1 else {**values, "cell": seen.serving_cell.astype(np.float64)}

    def pack(self, values: dict[str, NDArray[np.float64]]) -> NDArray[np.float32]:
        """Return the values as one vector in [-1, 1], float32 [batch, size]."""
        return pack(self.blocks(), values)

    def allowed(self, seen: Observation) -> NDArray[np.bool_]:
        """Return who may have a part: UEs that wait in its cell, and nobody, [batch, cells x parts x (ues + 1)]."""
        import numpy as np

        waits = seen.backlog_bytes > 0
        here = waits[:, None] & (seen.serving_cell[:, None] == np.arange(self.cells)[:, None])
        each = np.concatenate([here, np.ones((*here.shape[:2], 1), bool)], axis=2)
        return np.repeat(each[:, :, None], self.parts, axis=2).reshape(len(waits), -1)

    def grant(self, choice: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the grant, int32 [batch, num_cells, num_rbgs], of choices [batch, cells x parts]: a UE, or ``ues``."""
        import numpy as np

        each = np.asarray(choice).reshape(-1, self.cells, self.parts)[:, :, self.part_of()]
        return np.where(each < self.ues, each, -1).astype(np.int32)

    def choice(self, grant: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the choices nearest to a grant [batch, num_cells, num_rbgs]: a part goes to who has most of it."""
        import numpy as np

        owner = np.where(grant < 0, self.ues, grant)
        if self.parts == self.groups:
            return owner.reshape(len(grant), -1).astype(np.int64)
        votes = np.zeros((*grant.shape[:2], self.parts, self.ues + 1))
        b, c, r = np.indices(grant.shape)
        np.add.at(votes, (b, c, self.part_of()[r], owner), 1.0)
        votes[..., -1] *= 1e-3  # nobody only where nobody else
        return votes.argmax(axis=3).reshape(len(grant), -1)

    def part_of(self) -> NDArray[np.int64]:
        """Return the part of every group, [num_rbgs]."""
        import numpy as np

        return np.arange(self.groups) * self.parts // self.groups

    def _by_part(self, each: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return means over the groups of every part, [..., num_parts]."""
        import numpy as np

        if self.parts == self.groups:
            return each
        starts = np.searchsorted(self.part_of(), np.arange(self.parts))
        return np.add.reduceat(each, starts, axis=-1) / np.bincount(self.part_of())


def averages(seen: Observation, mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what every UE has received lately, bits per slot, in place; called once a slot, 0 before the first."""
    return advance(seen, mean, WINDOW_SLOTS)
