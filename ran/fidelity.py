"""How closely the MAC is followed: every slot, or samples of slots that stand for long stretches."""

from typing import Literal

from pydantic import Field

from channel.component import Settings


class Fidelity(Settings):
    """Every slot, or for payloads of many megabytes, rates of a window of slots that hold for the stretch after it.

    In ``flow`` a window runs exactly as in ``slot``; then every transfer moves on by its mean rate in the window, for
    ``stretch`` windows or until the first transfer runs out of bytes, and the next window begins on the channel of
    that time. Counts and energy grow in proportion. Background traffic stands still in stretches: its queues, and so
    its load and delays, are those of the windows.
    """

    mode: Literal["slot", "flow"] = Field(
        default="slot", description="slot: every slot; flow: windows of slots that stand for long stretches"
    )
    window_slots: int = Field(default=100, ge=10, le=10_000, description="slots of a window (flow)")
    stretch: int = Field(default=80, ge=1, le=10_000, description="windows for which one window stands (flow)")
