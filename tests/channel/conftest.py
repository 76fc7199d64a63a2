"""Geometries for the channel tests."""

from collections.abc import Callable

import numpy as np
import pytest

from channel.antenna import AntennaArray, UeArray
from channel.geometry import Geometry

OMNI = AntennaArray(rows=1, columns=1, polarization="single", pattern="omni")


@pytest.fixture
def make_geometry() -> Callable[..., Geometry]:
    """Return a function that builds a Geometry from positions, with one omni cell at the origin by default."""

    def make(
        ue_position_m,
        *,
        ue_velocity_m_s=(0.0, 0.0, 0.0),
        cell_position_m=((0.0, 0.0, 10.0),),
        azimuth_deg=(0.0,),
        downtilt_deg=0.0,
        array=OMNI,
        ue_array=UeArray(),
        carrier_hz=3.5e9,
        subband_frequency_hz=(0.0,),
    ) -> Geometry:
        ue_position_m = np.array(ue_position_m, float)
        return Geometry(
            carrier_hz=carrier_hz,
            subband_frequency_hz=np.array(subband_frequency_hz, float),
            cell_position_m=np.array(cell_position_m, float),
            cell_azimuth_rad=np.radians(azimuth_deg),
            cell_downtilt_rad=float(np.radians(downtilt_deg)),
            cell_array=array,
            ue_position_m=ue_position_m,
            ue_velocity_m_s=np.broadcast_to(np.array(ue_velocity_m_s, float), ue_position_m.shape),
            ue_noise_psd_w_hz=3.2e-20,
            gnb_noise_psd_w_hz=1.3e-20,
            ue_array=ue_array,
        )

    return make
