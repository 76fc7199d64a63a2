"""Clustered delay lines of TR 38.901 (clause 7.7.1), by Sionna, for link-level work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channel.link_level import LinkLevelChannel
from channel.model import CHANNELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.geometry import Geometry


@CHANNELS.register("cdl")
class Cdl(LinkLevelChannel):
    """CDL-A to CDL-E of TR 38.901 by Sionna: clusters at the profile's angles, seen by both antenna arrays.

    The panel faces along +x whatever the cell's azimuth, as the profiles' angles are given; the UE's row lies along +y.
    Rays' phases turn with the UE's displacement. Path loss by distance takes no part in the angles.
    """

    def _sample(
        self, geometry: Geometry, moved_m: NDArray[np.float64]
    ) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
        import numpy as np
        from sionna.phy.channel.tr38901 import CDL

        from channel.sionna_arrays import cell_panel, ue_panel

        cdl = CDL(
            self.profile,
            self.delay_spread_s,
            geometry.carrier_hz,
            ut_array=ue_panel(geometry.ue_array, geometry.carrier_hz),
            bs_array=cell_panel(geometry.cell_array, geometry.carrier_hz),
            ut_orientation=np.zeros(3),
            ut_velocity=moved_m,
            spec_version=self.spec_version,
        )
        gain, delay_s = cdl(
            len(moved_m), 2, 1.0
        )  # [links, 1, num_rx_ant, 1, num_tx_ant, paths, 2], [links, 1, 1, paths]
        return gain[:, 0, :, 0, ..., 1].cpu().numpy(), delay_s[:, 0, 0].cpu().numpy()
