"""Fields: the oracle is arithmetic by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from agents.fields import Choice, Field, Term, pack, table, unpack

FIELDS = (Field("rate", "Mbit/s", 0, 10, "how fast", 2), Field("power", "dBm", -30, 10, "how loud"))


def test_pack_scales_and_cuts_off() -> None:
    """By hand: 0, 5, 10 of 0 .. 10 are -1, 0, 1; 20 dBm of -30 .. 10 is cut off."""
    packed = pack(FIELDS, {"rate": np.array([[0.0, 5.0]]), "power": np.array([[20.0]])})
    np.testing.assert_array_equal(packed, np.array([[-1, 0, 1]], np.float32))
    assert packed.dtype == np.float32


@given(st.lists(st.floats(-1, 1, width=32), min_size=3, max_size=3))
def test_unpack_undoes_pack(values: list[float]) -> None:
    """Property: in [-1, 1] both ways are each other's inverse."""
    packed = np.array([values], np.float32)
    np.testing.assert_allclose(pack(FIELDS, unpack(FIELDS, packed)), packed, atol=1e-6)


def test_table_tells_choices_apart() -> None:
    """By hand."""
    rows = table(FIELDS[:1], (Choice("cell", 7, "which", 3),), (Term("gain", "1", -0.5, "good"),)).splitlines()
    assert rows[2] == "| observation | rate | 2 | Mbit/s | 0 .. 10 | how fast |"
    assert rows[3] == "| action | cell | 3 | 1 | 0 .. 6 | which |"
    assert rows[4] == "| reward | gain | 1 | 1 | weight -0.5 | good |"
