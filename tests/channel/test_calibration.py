import numpy as np
import pytest

from channel.antenna import AntennaArray
from channel.calibration import port_gain
from channel.large_scale import LargeScale
from channel.tr38901 import Tr38901
from channel.tr38901_tables import read_tables


def test_tilted_column_against_3gpp_by_hand(make_geometry):
    """Oracle: at the tilt 18 dBi less the element's roll-off 12 (12 / 65)^2; nothing at the first null."""
    down = np.array([12.0, np.degrees(np.arccos(np.cos(np.radians(102)) + 0.2)) - 90])
    distance = 100.0
    ues = [(distance, 0.0, 30.0 - distance * np.tan(np.radians(angle))) for angle in down]
    array = AntennaArray(rows=10, columns=1, polarization="single")
    gain = port_gain(make_geometry(ues, cell_position_m=[(0.0, 0.0, 30.0)], array=array))[:, 0]
    assert 10 * np.log10(gain[0]) == pytest.approx(8 + 10 - 12 * (12 / 65) ** 2, abs=0.01)
    assert gain[1] < 1e-6 * gain[0]


def test_tables_read_once_serve_any_world_of_their_heights(make_geometry):
    """Property: a world drawn with tables of more heights, in any order, is the one that reads its own, bit for bit."""
    geometry, site_height_m = make_geometry([(80.0, 0, 1.5), (60.0, 30, 7.5)]), np.array([10.0])
    offset_m, ue, model = geometry.offset_at(0.0), np.arange(2), Tr38901()
    tables = read_tables(model, 3.5e9, np.array([[10.0, 7.5], [10.0, 4.5], [10.0, 1.5]]))
    worlds = [LargeScale.draw(model, geometry, site_height_m, 1, given) for given in (None, tables)]
    own, shared = (world.at(ue, geometry.ue_position_m, offset_m) for world in worlds)
    np.testing.assert_array_equal(own.gain, shared.gain)
    np.testing.assert_array_equal(own.los, shared.los)
    with pytest.raises(AssertionError, match="other heights"):
        LargeScale.draw(model, geometry, np.array([11.0]), 1, tables)
