"""One whole TR 38.901 drop by Sionna's public call: what our worlds are measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from channel.sionna_adapter import sionna_state

if TYPE_CHECKING:
    from channel.geometry import Geometry


def fresh_realisation(geometry: Geometry, seed: int) -> NDArray[np.complex64]:
    """Return the response of a fresh UMi drop, [num_rx, num_rx_ant, num_tx, num_tx_ant, num_subbands].

    Sionna's ``UMi`` in single precision on one thread: topology, large-scale parameters, clusters, rays, paths.
    """
    with sionna_state(seed):
        from sionna.phy.channel import tr38901

        from channel.sionna_arrays import cell_panel, ue_panel

        carrier_hz = geometry.carrier_hz
        ue_array, cell_array = ue_panel(geometry.ue_array, carrier_hz), cell_panel(geometry.cell_array, carrier_hz)
        model = tr38901.UMi(carrier_hz, "low", ue_array, cell_array, "downlink")
        orientation = np.zeros((1, geometry.num_cells, 3), np.float32)
        orientation[0, :, 0], orientation[0, :, 1] = geometry.cell_azimuth_rad, geometry.cell_downtilt_rad
        model.set_topology(
            ut_loc=geometry.ue_position_m.astype(np.float32)[None],
            bs_loc=geometry.cell_position_m.astype(np.float32)[None],
            ut_orientations=np.zeros((1, geometry.num_ues, 3), np.float32),
            bs_orientations=orientation,
            ut_velocities=geometry.ue_velocity_m_s.astype(np.float32)[None],
            in_state=np.zeros((1, geometry.num_ues), bool),
            bs_site_ids=geometry.site_of_cell,
        )
        gain, delay_s = model(1, 1.0)
        phase = -2 * np.pi * delay_s[0].numpy()[..., None] * geometry.subband_frequency_hz
        response = np.einsum("rmtnp,rtpf->rmtnf", gain[0, ..., 0].numpy(), np.exp(1j * phase).astype(np.complex64))
        return np.asarray(response, np.complex64)
