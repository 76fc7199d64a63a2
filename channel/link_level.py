"""What the link-level channels of TR 38.901 share: a mean gain by distance, and Sionna called so that time is free.

Sionna samples its link-level channels at times 0, 1/f, 2/f, ... from random numbers drawn at every call. Here every
call starts from the same seed, the UE's displacement from where it started takes the place of velocity, and the sample
at 1 s is kept: the channel becomes a function of place, for any time in any order.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from channel.model import ChannelModel
from channel.quantities import physical
from channel.seeding import stream_key
from channel.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from channel.snapshot import ChannelSnapshot

DelaySpreadS: Any = physical(1e-10, 1e-5, "s", "an rms delay spread")
ProfileLetter = Literal["A", "B", "C", "D", "E"]
Version = Annotated[
    Literal["19.2", "16.1"], BeforeValidator(lambda value: str(value) if isinstance(value, float) else value)
]


class LinkLevelChannel(ChannelModel):
    """A delay profile of TR 38.901 clause 7.7 on every link, independent between links."""

    profile: ProfileLetter = Field(default="A", description="delay profile; D and E have a line of sight")
    delay_spread_s: DelaySpreadS = Field(default=100e-9, description="rms delay spread in s (table 7.7.3-1)")
    path_loss_exponent: float = Field(default=3.5, ge=1.5, le=8.0, description="path loss exponent beyond 1 m")
    spec_version: Version = Field(default="19.2", description="version of TR 38.901")

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> str:  # noqa: ARG002
        """Return the device of the draws; there is nothing to draw once."""
        return device

    def realise(self, geometry: Geometry, state: str, time_s: float, seed: int) -> tuple[ChannelSnapshot, str]:
        """Return the snapshot of the coherence interval that holds ``time_s``, and the unchanged state."""
        import numpy as np

        from channel.sionna_adapter import sionna_state
        from channel.snapshot import PathSet

        start_s = self.interval(time_s)[1]
        moved_m = np.repeat(geometry.ue_position_at(start_s) - geometry.ue_position_m, geometry.num_cells, axis=0)
        with sionna_state(stream_key(seed, self.name), device=state, precision="double"):
            gain, delay_s = self._sample(geometry, moved_m)  # [links, num_rx_ant, num_tx_ant, paths], [links, paths]
        shape = (geometry.num_ues, geometry.num_cells)
        scale = np.sqrt(self._mean_gain(geometry, start_s))[..., None, None, None]
        gain = scale * gain.reshape(*shape, *gain.shape[1:])  # [num_rx, num_tx, num_rx_ant, num_tx_ant, num_paths]
        paths = PathSet(
            gain=gain.swapaxes(1, 2).astype(np.complex64, order="C")[None],
            delay_s=delay_s.reshape(1, *shape, -1),
        )
        return self._snapshot(geometry, time_s, paths), state

    @abstractmethod
    def _sample(
        self, geometry: Geometry, moved_m: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        """Return unit-power path gains [links, num_rx_ant, num_tx_ant, paths] and delays in s [links, paths].

        For links UE by UE, cell by cell, displaced by ``moved_m`` [links, 3]; called inside ``sionna_state``.
        """

    def _mean_gain(self, geometry: Geometry, time_s: float) -> NDArray[np.float64]:
        """Return (lambda / 4 pi)^2 d^-n, [num_ues, num_cells]; nearer than 1 m counts as 1 m."""
        import numpy as np

        distance_m = np.maximum(np.linalg.norm(geometry.offset_at(time_s), axis=-1), 1.0)
        wavelength_m = SPEED_OF_LIGHT_M_S / geometry.carrier_hz
        gain: NDArray[np.float64] = (wavelength_m / (4 * np.pi)) ** 2 * distance_m**-self.path_loss_exponent
        return gain
