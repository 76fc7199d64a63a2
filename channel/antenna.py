"""Antenna arrays of cells: a panel of 38.901 or isotropic elements. UEs carry one vertical isotropic antenna."""

from typing import Literal

from pydantic import Field

from channel.component import Settings


class AntennaArray(Settings):
    """A rectangular panel with half-wavelength spacing (TR 38.901 clause 7.3)."""

    rows: int = Field(default=2, ge=1, le=32, description="elements stacked vertically")
    columns: int = Field(default=2, ge=1, le=32, description="elements side by side")
    polarization: Literal["single", "dual"] = Field(
        default="dual", description="single: vertical; dual: cross-polarised pairs at +-45 degrees"
    )
    pattern: Literal["38.901", "omni"] = Field(
        default="38.901", description="element pattern: 38.901 (65 degrees, 8 dBi) or isotropic"
    )

    @property
    def num_antennas(self) -> int:
        """Number of antenna ports."""
        return self.rows * self.columns * (2 if self.polarization == "dual" else 1)
