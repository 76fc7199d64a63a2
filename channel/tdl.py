"""Tapped delay lines of TR 38.901 (clause 7.7.2), by Sionna, for link-level work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from channel.link_level import LinkLevelChannel
from channel.model import CHANNELS
from channel.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.geometry import Geometry


@CHANNELS.register("tdl")
class Tdl(LinkLevelChannel):
    """TDL-A to TDL-E of TR 38.901 by Sionna: Rayleigh taps with Jakes' spectrum, Rician first tap for D and E.

    Taps are sums of ``num_sinusoids`` plane waves whose phases turn with the distance from the UE's starting point,
    so that their autocorrelation over distance is J0(2 pi d / lambda). Pairs of antennas are uncorrelated, but for the
    line of sight of D and E, which is the same at all; neither antenna gain, array geometry nor polarisation counts.
    """

    num_sinusoids: int = Field(default=20, ge=4, le=256, description="plane waves per tap")

    def _sample(
        self, geometry: Geometry, moved_m: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        import numpy as np
        import torch
        from sionna.phy.channel.tr38901 import TDL

        tdl = TDL(
            self.profile,
            self.delay_spread_s,
            geometry.carrier_hz,
            num_sinusoids=self.num_sinusoids,
            num_rx_ant=geometry.ue_array.antennas,
            num_tx_ant=geometry.cell_array.num_antennas,
            spec_version=self.spec_version,
        )
        turns = np.linalg.norm(moved_m, axis=-1) * geometry.carrier_hz / SPEED_OF_LIGHT_M_S
        # One shift per link in the place of the one that all links share.
        tdl._min_doppler = tdl._max_doppler = torch.tensor(2 * np.pi * turns).reshape(-1, 1, 1, 1, 1, 1, 1, 1)
        gain, delay_s = tdl(
            len(moved_m), 2, 1.0
        )  # [links, 1, num_rx_ant, 1, num_tx_ant, paths, 2], [links, 1, 1, paths]
        return gain[:, 0, :, 0, ..., 1].cpu().numpy(), delay_s[:, 0, 0].cpu().numpy()
