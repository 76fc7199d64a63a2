"""The interface of a channel model, and the registry that scenarios choose from."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import Field

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    from channel.geometry import Geometry
    from channel.snapshot import ChannelSnapshot


class ChannelModel(Component):
    """Physics of the air between the cells and the UEs of a Geometry."""

    coherence_interval_s: float = Field(
        default=5e-3, gt=0, le=10.0, description="time for which one snapshot is used, s"
    )

    @abstractmethod
    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> Any:
        """Return the state at time 0: whatever is drawn once (large-scale parameters, rays)."""

    @abstractmethod
    def realise(self, geometry: Geometry, state: Any, time_s: float, seed: int) -> tuple[ChannelSnapshot, Any]:
        """Return the snapshot valid from the coherence interval that holds ``time_s``, and the next state.

        Equal arguments give equal bits: random numbers come from named streams of ``seed`` only.
        """

    def interval(self, time_s: float) -> tuple[int, float, float]:
        """Return index, start and end (s) of the coherence interval that holds ``time_s``."""
        index = int(time_s / self.coherence_interval_s + 1e-9)
        return index, index * self.coherence_interval_s, (index + 1) * self.coherence_interval_s


CHANNELS: Registry[ChannelModel] = Registry("channel model", ChannelModel)
