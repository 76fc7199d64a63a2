"""What a learned slicer sees of learning and of traffic before a window of slots: one layout wherever it acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ran.observed import Field

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_WAIT, _MOST_LOAD = 2.0, 2.0
LEAST_NEED, MOST_NEED = 1e-3, 10.0
"""Between these an airtime over the time that is left is seen."""


@dataclass(frozen=True)
class Queues:
    """What waits in one direction, and how fast it could go.

    Attributes:
        left: bytes of every UE's update that have not arrived, 0 where it has or is still being computed, [batch, ues].
        arrived: whose update of this round has arrived, bool [batch, ues].
        backlog: bytes of every UE's traffic that have not arrived, [batch, ues].
        wait: of every UE's oldest packet, over its delay budget, [batch, ues].
        budget_s: packet delay budgets, [ues].
        users: the UEs that have traffic, [users].
        rate_bit_s: of every UE if its cell served nobody else, by report, [batch, ues].
        cell: that serves every UE, [batch, ues].
        share: of learning in every cell, [batch, cells].
        left_s: until the round's deadline, [batch].
        quorum: updates that make a round count.
        round_s: from a round's start to its deadline.
        window_s: between two decisions.
    """

    left: NDArray[np.int64]
    arrived: NDArray[np.bool_]
    backlog: NDArray[np.int64]
    wait: NDArray[np.float64]
    budget_s: NDArray[np.float64]
    users: NDArray[np.int64]
    rate_bit_s: NDArray[np.float64]
    cell: NDArray[np.int32]
    share: NDArray[np.float64]
    left_s: NDArray[np.float64]
    quorum: int
    round_s: float
    window_s: float

    @property
    def missing(self) -> NDArray[np.int64]:
        """Updates that the quorum still wants, [batch]."""
        return np.asarray(np.maximum(self.quorum - self.arrived.sum(axis=1), 0), np.int64)

    @property
    def need(self) -> NDArray[np.float64]:
        """Airtime of every update that waits over the time that is left, [batch, ues]."""
        return np.asarray(8 * self.left / self.rate_bit_s / self.left_s[:, None], np.float64)

    @property
    def demand(self) -> NDArray[np.float64]:
        """Airtime of every UE's traffic over its delay budget, [batch, ues]."""
        return np.asarray(8 * self.backlog / self.rate_bit_s / self.budget_s, np.float64)

    def here(self) -> NDArray[np.bool_]:
        """Return who is served by each cell, [batch, cells, ues]."""
        return np.asarray(self.cell[:, None, :] == np.arange(self.share.shape[1])[:, None])

    def by_cell(self, each: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sums over the UEs that each cell serves, [batch, cells], of values [batch, ues]."""
        return np.asarray(np.where(self.here(), each[:, None, :], 0).sum(axis=2), np.float64)

    def traffic_load(self) -> NDArray[np.float64]:
        """Return the airtime that traffic wants over what its oldest packets leave of their budgets, [batch, cells]."""
        left = np.maximum(1 - self.wait, self.window_s / self.budget_s)
        return self.by_cell(self.demand / left)

    def quorum_load(self) -> NDArray[np.float64]:
        """Return the airtime over the time left after which the quorum is there, [batch, cells].

        The m shortest updates that wait are wanted, m being those missing. With equal parts for all that wait in a
        cell (processor sharing) the last wanted one of airtime a there has arrived after sum_u min(a_u, a). Updates
        that are still being computed do not count, so that it may grow.
        """
        need, waits = self.need, self.left > 0
        rank = np.argsort(np.argsort(np.where(waits, need, np.inf), axis=1, kind="stable"), axis=1)
        wanted = waits & (rank < self.missing[:, None])
        here = self.here()
        last = np.where(here & wanted[:, None, :], need[:, None, :], 0.0).max(axis=2, keepdims=True)
        return np.asarray(np.where(here, np.minimum(need[:, None, :], last), 0.0).sum(axis=2), np.float64)


def blocks(ues: int, users: int, cells: int) -> tuple[Field, ...]:
    """Return the observation of a network of so many UEs, of which some have traffic, and cells, block by block."""
    need = (np.log10(LEAST_NEED), np.log10(MOST_NEED))
    return (
        Field("need", "log10", *need, "airtime of each update that waits over time left, ascending", ues),
        Field("wait", "1", 0, _MOST_WAIT, "of users' oldest packets over their delay budgets, descending", users),
        Field("demand", "log10", *need, "airtime of the same users' packets over their delay budgets", users),
        Field("learning_load", "1", 0, _MOST_LOAD, "airtime that updates want of the round's rest", cells),
        Field("traffic_load", "1", 0, _MOST_LOAD, "airtime that packets want of what their budgets leave", cells),
        Field("quorum_load", "1", 0, _MOST_LOAD, "airtime until the quorum is there, of the round's rest", cells),
        Field("share", "1", 0, 1, "of learning now", cells),
        Field("waiting", "1", 0, 1, "share of updates that wait"),
        Field("missing", "1", 0, 1, "share of the quorum that is still to come"),
        Field("time", "1", 0, 1, "of the round that is left"),
    )


def quorum_of(share: float, ues: int) -> int:
    """Return how many of so many updates make a round count."""
    return int(np.ceil(share * ues - 1e-9))


def values(queues: Queues) -> dict[str, NDArray[np.float64]]:
    """Return the observation, block by block, [batch, count] each."""
    wait = queues.wait[:, queues.users]
    order = np.argsort(-wait, axis=1, kind="stable")
    need, demand = queues.need, queues.demand
    return {
        "need": _log(np.sort(need, axis=1), LEAST_NEED),
        "wait": np.take_along_axis(wait, order, axis=1),
        "demand": _log(np.take_along_axis(demand[:, queues.users], order, axis=1), LEAST_NEED),
        "learning_load": queues.by_cell(need),
        "traffic_load": queues.traffic_load(),
        "quorum_load": queues.quorum_load(),
        "share": queues.share,
        "waiting": (queues.left > 0).mean(axis=1, keepdims=True),
        "missing": (queues.missing / queues.quorum)[:, None],
        "time": (queues.left_s / queues.round_s)[:, None],
    }


def _log(value: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    return np.asarray(np.log10(np.maximum(value, least)), np.float64)
