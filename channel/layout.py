"""Where sites stand and where UEs are dropped around them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from channel.component import Component
from channel.quantities import DistanceM
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Sites:
    """Cells of a layout: horizontal positions in metres [num_cells, 2] and azimuths in radians [num_cells]."""

    position_m: NDArray[np.float64]
    azimuth_rad: NDArray[np.float64]


class Layout(Component):
    """A rule that places cells."""

    @abstractmethod
    def sites(self) -> Sites:
        """Return the cells."""

    @property
    @abstractmethod
    def num_cells(self) -> int:
        """Number of cells (sectors)."""


class Placement(Component):
    """A rule that drops UEs."""

    @abstractmethod
    def positions(self, num_ues: int, sites: Sites, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return horizontal positions in metres, [num_ues, 2]."""


LAYOUTS: Registry[Layout] = Registry("layout", Layout)
PLACEMENTS: Registry[Placement] = Registry("placement", Placement)
