"""Free space: one straight path per link, exact and deterministic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from channel.model import CHANNELS, ChannelModel
from channel.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    from channel.geometry import Geometry
    from channel.snapshot import ChannelSnapshot


@CHANNELS.register("free_space")
class FreeSpace(ChannelModel):
    """Friis' free space: a line of sight and nothing else.

    h(f) = (lambda / 4 pi d) F s exp(-j 2 pi (f_c + f) d / c), with F and s the responses of the cell's and the UE's
    array to a plane wave (``AntennaArray.response``, ``UeArray.steering``), lambda at the carrier, and d the distance
    from the panel's centre at the start of the coherence interval; a moving UE so gets its Doppler shift from the
    geometry. Nearer than one wavelength there is no far field: there the distance counts as one wavelength.

    It does not model ground, obstacles, scattering, or the arrays' change of beam over the band (their spacing
    is given in wavelengths at the carrier).
    """

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> None:  # noqa: ARG002
        """Return None: nothing is drawn."""
        return

    def realise(
        self,
        geometry: Geometry,
        state: None,  # noqa: ARG002
        time_s: float,
        seed: int,  # noqa: ARG002
    ) -> tuple[ChannelSnapshot, None]:
        """Return the snapshot of the coherence interval that holds ``time_s``; it has one path per link."""
        import numpy as np

        from channel.snapshot import PathSet

        offset_m = geometry.offset_at(self.interval(time_s)[1])  # [num_ues, num_cells, 3]
        wavelength_m = SPEED_OF_LIGHT_M_S / geometry.carrier_hz
        distance_m = np.maximum(np.linalg.norm(offset_m, axis=-1), wavelength_m)
        delay_s = distance_m / SPEED_OF_LIGHT_M_S
        direction, ue_array = offset_m / distance_m[..., None], geometry.ue_array
        amplitude = wavelength_m / (4 * np.pi * distance_m) * np.exp(-2j * np.pi * geometry.carrier_hz * delay_s)
        waves = [
            amplitude[..., None]
            * geometry.cell_array.response(direction, geometry.cell_azimuth_rad, geometry.cell_downtilt_rad, wave)
            for wave in ue_array.waves
        ]  # [num_ues, num_cells, num_tx_ant] each
        gain = np.einsum("wrtn,rtm->rwmtn", waves, ue_array.steering(-direction))
        gain = gain.reshape(len(gain), ue_array.antennas, *gain.shape[3:])  # [num_rx, num_rx_ant, num_tx, num_tx_ant]
        paths = PathSet(gain=gain.astype(np.complex64)[None, ..., None], delay_s=delay_s[None, :, :, None])
        return self._snapshot(geometry, time_s, paths), None
