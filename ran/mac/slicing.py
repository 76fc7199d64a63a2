"""Slices: shares of the groups that every kind of traffic is guaranteed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from channel.component import Settings
from ran.mac.scheduler import SCHEDULERS, Scheduler


class Slice(Settings):
    """A network slice: bearers that share a guaranteed part of every cell's groups and a scheduler.

    Over time a slice that always has data gets at least ``share`` of the groups (deficit counters per cell, in units
    of groups); what a slice does not need goes to the others in proportion to their shares. Groups for HARQ
    retransmissions come first and are not charged.
    """

    share: float = Field(gt=0.0, le=1.0, description="part of the resource block groups that is guaranteed")
    scheduler: Annotated[Scheduler, SCHEDULERS.field()] | None = Field(
        default=None, description="of this slice; default: mac.scheduler"
    )
    rlc_mode: Literal["am", "um"] | None = Field(default=None, description="of this slice; default: traffic.rlc.mode")
