import numpy as np
import pytest

from channel.antenna import AntennaArray
from channel.calibration import port_gain


def test_tilted_column_against_3gpp_by_hand(make_geometry):
    """Oracle: at the tilt 18 dBi less the element's roll-off 12 (12 / 65)^2; nothing at the first null."""
    down = np.array([12.0, np.degrees(np.arccos(np.cos(np.radians(102)) + 0.2)) - 90])
    distance = 100.0
    ues = [(distance, 0.0, 30.0 - distance * np.tan(np.radians(angle))) for angle in down]
    array = AntennaArray(rows=10, columns=1, polarization="single")
    gain = port_gain(make_geometry(ues, cell_position_m=[(0.0, 0.0, 30.0)], array=array))[:, 0]
    assert 10 * np.log10(gain[0]) == pytest.approx(8 + 10 - 12 * (12 / 65) ** 2, abs=0.01)
    assert gain[1] < 1e-6 * gain[0]
