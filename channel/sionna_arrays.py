"""Sionna's antenna arrays of the same elements, ports in the same order; call inside ``sionna_state``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from channel.antenna import AntennaArray, UeArray


def cell_panel(array: AntennaArray, carrier_hz: float) -> Any:
    """Return Sionna's ``PanelArray`` of a cell."""
    from sionna.phy.channel.tr38901 import PanelArray

    kind = "cross" if array.polarization == "dual" else "V"
    return PanelArray(array.rows, array.columns, array.polarization, kind, array.pattern, carrier_hz)


def ue_panel(array: UeArray, carrier_hz: float) -> Any:
    """Return Sionna's ``PanelArray`` of a UE, which lies along +y while its orientation is 0."""
    from sionna.phy.channel.tr38901 import PanelArray

    kind = "VH" if array.polarization == "dual" else "V"
    return PanelArray(
        1, array.num_places, array.polarization, kind, "omni", carrier_hz,
        element_horizontal_spacing=array.spacing_wavelengths,
    )  # fmt: skip
