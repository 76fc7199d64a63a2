"""The interface of a channel model, and the registry that scenarios choose from."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from channel.component import Component
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from channel.snapshot import ChannelSnapshot, PathSet


class ChannelModel(Component):
    """Physics of the air between the cells and the UEs of a Geometry.

    The air stands still during a coherence interval and is that of the interval's start, so a snapshot
    depends on the interval only, in whatever order intervals are asked for.
    """

    coherence_interval_s: float = Field(
        default=5e-3, gt=0, le=10.0, description="time for which one snapshot is used, s"
    )

    @abstractmethod
    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> Any:
        """Return the state at time 0: whatever is drawn once (large-scale parameters, rays).

        Equal arguments give equal bits, so a resumed run draws the state again instead of storing it.
        """

    @abstractmethod
    def realise(self, geometry: Geometry, state: Any, time_s: float, seed: int) -> tuple[ChannelSnapshot, Any]:
        """Return the snapshot valid from the coherence interval that holds ``time_s``, and the next state.

        Equal arguments give equal bits: random numbers come from named streams of ``seed`` only.
        """

    def realise_all(
        self, geometry: Geometry, states: list[Any], time_s: float, seeds: Sequence[int]
    ) -> tuple[ChannelSnapshot, list[Any]]:
        """Return the snapshots of many replicas as one, and their states; to the last bit what each is alone."""
        from channel.snapshot import ChannelSnapshot

        drawn = [
            self.realise(geometry, state, time_s, seed) for state, seed in zip(states, seeds, strict=True)
        ]  # fmt: skip
        snapshots = [snapshot for snapshot, _ in drawn]
        joined = snapshots[0] if len(snapshots) == 1 else ChannelSnapshot.stack(snapshots)
        return joined, [state for _, state in drawn]

    def interval(self, time_s: float) -> tuple[int, float, float]:
        """Return index, start and end (s) of the coherence interval that holds ``time_s``."""
        index = int(time_s / self.coherence_interval_s + 1e-9)
        return index, index * self.coherence_interval_s, (index + 1) * self.coherence_interval_s

    def _snapshot(
        self, geometry: Geometry, time_s: float, paths: PathSet, gain: NDArray[np.complex64] | None = None
    ) -> ChannelSnapshot:
        """Return the snapshot of ``paths``; ``gain`` is their response at the subbands where already known."""
        from channel.snapshot import ChannelSnapshot

        _, start_s, end_s = self.interval(time_s)
        return ChannelSnapshot(
            gain=paths.frequency_response(geometry.subband_frequency_hz) if gain is None else gain,
            subband_frequency_hz=geometry.subband_frequency_hz,
            ue_noise_psd_w_hz=geometry.ue_noise_psd_w_hz,
            gnb_noise_psd_w_hz=geometry.gnb_noise_psd_w_hz,
            valid_from_s=start_s,
            valid_until_s=end_s,
            ue_position_m=geometry.ue_position_at(start_s)[None],
            cell_position_m=geometry.cell_position_m,
            paths=paths,
        )


CHANNELS: Registry[ChannelModel] = Registry("channel model", ChannelModel)
