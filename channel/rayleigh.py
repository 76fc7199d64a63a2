"""Rayleigh block fading: independent complex Gaussian taps, redrawn every coherence interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from channel.model import CHANNELS, ChannelModel
from channel.quantities import physical
from channel.seeding import stream
from channel.units import SPEED_OF_LIGHT_M_S

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.geometry import Geometry
    from channel.snapshot import ChannelSnapshot

DelaySpreadS: Any = physical(1e-10, 1e-5, "s", "an rms delay spread")


@CHANNELS.register("rayleigh")
class Rayleigh(ChannelModel):
    """Rayleigh block fading over a distance power law, with optional shadowing and delay spread.

    h(f) = sqrt(G / K) sum_k g_k exp(-j 2 pi f tau_k) with g_k ~ CN(0, 1) independent per link, pair of
    antennas, tap and coherence interval. The K taps have equal power and lie at the middle quantiles of an exponential
    delay distribution, so that the response has no period in frequency; their delays are stretched to the rms
    delay spread ``delay_spread_s``. G = (lambda / 4 pi)^2 d^-n S: Friis at 1 m, exponent n beyond, at
    the UE's distance d at the start of the interval (nearer than 1 m counts as 1 m), and log-normal shadowing
    S drawn once per UE and site.

    Scattering is taken as so rich that antenna patterns, array geometry and polarisation do not matter: no
    antenna gain is applied and antennas are uncorrelated. It does not model Doppler (intervals are
    independent) or a change of shadowing as a UE moves.
    """

    path_loss_exponent: float = Field(default=3.5, ge=1.5, le=8.0, description="path loss exponent n")
    shadowing_std_db: float = Field(default=0.0, ge=0.0, le=30.0, description="log-normal shadowing, dB")
    num_taps: int = Field(default=1, ge=1, le=64, description="taps of the delay profile; 1: frequency-flat")
    delay_spread_s: DelaySpreadS = Field(
        default=100e-9, description="rms delay spread in s of the exponential profile, where num_taps > 1"
    )

    def tap_delays_s(self) -> NDArray[np.float64]:
        """Return the delays of the taps from the first on in s, [num_taps]."""
        import numpy as np

        quantile = -np.log(1 - (np.arange(self.num_taps) + 0.5) / self.num_taps)
        excess: NDArray[np.float64] = quantile - quantile[0]
        stretch = self.delay_spread_s / excess.std() if self.num_taps > 1 else 0.0
        return stretch * excess

    def start(self, geometry: Geometry, seed: int, device: str = "cpu") -> NDArray[np.float64]:  # noqa: ARG002
        """Return the shadowing of every link as a power ratio, [num_ues, num_cells]."""
        site = geometry.site_of_cell
        shadowing_db = stream(seed, "shadowing").normal(0.0, self.shadowing_std_db, (geometry.num_ues, site.max() + 1))
        return 10 ** (shadowing_db[:, site] / 10)

    def realise(
        self, geometry: Geometry, state: NDArray[np.float64], time_s: float, seed: int
    ) -> tuple[ChannelSnapshot, NDArray[np.float64]]:
        """Return the snapshot of the coherence interval that holds ``time_s``, and the unchanged state."""
        import numpy as np

        from channel.snapshot import PathSet

        index, start_s, _ = self.interval(time_s)
        distance_m = np.maximum(np.linalg.norm(geometry.offset_at(start_s), axis=-1), 1.0)
        wavelength_m = SPEED_OF_LIGHT_M_S / geometry.carrier_hz
        link_gain = (wavelength_m / (4 * np.pi)) ** 2 * distance_m**-self.path_loss_exponent * state
        delay_s = self.tap_delays_s()
        num_ues, num_cells = link_gain.shape
        shape = (num_ues, geometry.ue_array.antennas, num_cells, geometry.cell_array.num_antennas, self.num_taps)
        rng = stream(seed, "fading", index)
        unit = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) / np.sqrt(2)
        taps = unit * np.sqrt(link_gain[:, None, :, None, None] / self.num_taps)
        paths = PathSet(
            gain=taps.astype(np.complex64)[None],  # [1, num_rx, num_rx_ant, num_tx, num_tx_ant, num_paths]
            delay_s=np.broadcast_to(delay_s, (1, *link_gain.shape, self.num_taps)),
        )
        return self._snapshot(geometry, time_s, paths), state
