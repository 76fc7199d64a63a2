"""Where sites stand and where UEs are dropped around them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from channel.component import Component
from channel.errors import UserError
from channel.geometry import nearest_image, site_indices
from channel.quantities import DistanceM, physical
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.area import Area

CoordinateM: Any = physical(-100e3, 100e3, "m", "a coordinate")
AzimuthDeg: Any = physical(-360.0, 360.0, "degrees", "an azimuth")
InterSiteDistanceM: Any = physical(1.0, 100e3, "m", "an inter-site distance")
SectorDeg: Any = physical(1.0, 360.0, "degrees", "the width of a sector")

_DROP_ATTEMPTS = 1000


@dataclass(frozen=True)
class Sites:
    """Cells of a layout.

    Attributes:
        position_m: horizontal positions in metres, [num_cells, 2].
        azimuth_rad: boresights in radians, [num_cells].
        area: the ground that the layout covers; None where it has no extent.
        wraparound_m: the two translations in metres under which the layout repeats itself, [2, 2], or None.
    """

    position_m: NDArray[np.float64]
    azimuth_rad: NDArray[np.float64]
    area: Area | None = None
    wraparound_m: NDArray[np.float64] | None = None

    def distance_m(self, position_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return horizontal distances from points [n, 2] to every cell's nearest image, [n, num_cells]."""
        import numpy as np

        offset_m = position_m[:, None, :] - self.position_m
        if self.wraparound_m is not None:
            offset_m = nearest_image(offset_m, self.wraparound_m)
        return np.asarray(np.linalg.norm(offset_m, axis=-1))


class Layout(Component):
    """A rule that places cells."""

    @abstractmethod
    def sites(self, rng: np.random.Generator | None = None) -> Sites:
        """Return the cells; ``rng`` is needed by random layouts only."""

    @property
    @abstractmethod
    def num_cells(self) -> int:
        """Number of cells (sectors); the mean one where it is random."""


class Placement(Component):
    """A rule that drops UEs."""

    @abstractmethod
    def positions(self, num_ues: int, sites: Sites, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return horizontal positions in metres, [num_ues, 2]."""


def sectorised(
    place_m: NDArray[np.float64],
    sectors: int,
    *,
    area: Area | None = None,
    wraparound_m: NDArray[np.float64] | None = None,
) -> Sites:
    """Return the cells of sites at ``place_m`` [num_sites, 2], site by site.

    Three sectors look towards 30, 150 and 270 degrees (TR 38.901 table 7.8-1); a single one looks towards 0.
    """
    import numpy as np

    azimuth_rad = np.radians([0.0] if sectors == 1 else [30.0, 150.0, 270.0])
    return Sites(
        position_m=np.repeat(place_m, sectors, axis=0),
        azimuth_rad=np.tile(azimuth_rad, len(place_m)),
        area=area,
        wraparound_m=wraparound_m,
    )


LAYOUTS: Registry[Layout] = Registry("layout", Layout)
PLACEMENTS: Registry[Placement] = Registry("placement", Placement)


@LAYOUTS.register("hexagonal")
class Hexagonal(Layout):
    """Sites on a hexagonal grid: one in the middle and whole rings around it (TR 38.901 clause 7.2).

    Cells are numbered site by site from the middle outwards. Three sectors look towards 30, 150 and 270
    degrees, where the grid has its neighbours; a single sector looks towards 0. With wraparound the layout
    repeats itself in all six directions, and a UE sees the nearest image of every cell, so that all cells have
    as many interferers as the middle one.
    """

    num_sites: Literal[1, 7, 19] = Field(default=1, description="1, 7 or 19 sites: 0, 1 or 2 rings")
    inter_site_distance_m: InterSiteDistanceM = 200.0
    sectors: Literal[1, 3] = Field(default=1, description="cells per site")
    wraparound: Literal["none", "geometric"] = Field(
        default="none", description="geometric: the layout repeats itself, a UE sees the nearest image of a cell"
    )

    @property
    def num_cells(self) -> int:
        """Number of cells (sectors)."""
        return self.num_sites * self.sectors

    def sites(self, rng: np.random.Generator | None = None) -> Sites:  # noqa: ARG002
        """Return the cells."""
        import numpy as np

        from channel.area import Hexagons

        steps = [(q, r) for q in range(-2, 3) for r in range(-2, 3)]
        ring = {step: max(abs(step[0]), abs(step[1]), abs(sum(step))) for step in steps}
        at = {(q, r): q * np.exp(1j * np.pi / 6) + r * 1j for q, r in steps}  # neighbours at 30, 90, ... degrees
        steps.sort(key=lambda step: (ring[step], round(float(np.angle(at[step]) % (2 * np.pi)), 6)))
        place = self.inter_site_distance_m * np.array([at[step] for step in steps[: self.num_sites]])
        place_m = np.stack([place.real, place.imag], axis=-1)
        return sectorised(
            place_m,
            self.sectors,
            area=Hexagons(place_m, self.inter_site_distance_m),
            wraparound_m=self._period_m() if self.wraparound == "geometric" else None,
        )

    def _period_m(self) -> NDArray[np.float64]:
        """Return the translations of the tiling, [2, 2]: n rings repeat by (n + 1, n) steps of the grid and 60 deg on.

        The tile has (n + 1)^2 + n (n + 1) + n^2 = 1, 7, 19 sites for n = 0, 1, 2: exactly the rings.
        """
        import numpy as np

        rings = {1: 0, 7: 1, 19: 2}[self.num_sites]
        first = self.inter_site_distance_m * ((rings + 1) * np.exp(1j * np.pi / 6) + rings * 1j)
        pair = np.array([first, first * np.exp(1j * np.pi / 3)])
        return np.stack([pair.real, pair.imag], axis=-1)


@LAYOUTS.register("explicit")
class ExplicitLayout(Layout):
    """Cells at given places: one entry per cell; sectors of one site repeat its position."""

    positions_m: tuple[tuple[CoordinateM, CoordinateM], ...] = Field(
        min_length=1, description="[x, y] of every cell, m"
    )
    azimuths_deg: tuple[AzimuthDeg, ...] = Field(
        default=(), description="boresight of every cell, degrees counter-clockwise from +x; none: all 0"
    )

    @model_validator(mode="after")
    def _lengths_agree(self) -> ExplicitLayout:
        if self.azimuths_deg and len(self.azimuths_deg) != len(self.positions_m):
            raise ValueError(
                f"{len(self.positions_m)} positions_m but {len(self.azimuths_deg)} azimuths_deg; "
                "give one azimuth for each position, or leave azimuths_deg out"
            )
        return self

    @property
    def num_cells(self) -> int:
        """Number of cells (sectors)."""
        return len(self.positions_m)

    def sites(self, rng: np.random.Generator | None = None) -> Sites:  # noqa: ARG002
        """Return the cells; their area is the box around them."""
        import numpy as np

        from channel.area import Rectangle

        azimuths_deg = self.azimuths_deg or (0.0,) * self.num_cells
        place_m = np.array(self.positions_m)
        low_m, high_m = place_m.min(axis=0), place_m.max(axis=0)
        area = Rectangle(low_m, high_m) if (high_m > low_m).all() else None
        return Sites(position_m=place_m, azimuth_rad=np.radians(azimuths_deg), area=area)


@PLACEMENTS.register("disc")
class Disc(Placement):
    """UEs uniform in area on a ring, or on a sector of it, around their site.

    UE i belongs to cell i mod num_cells and is dropped within ``sector_deg`` / 2 of that cell's boresight; at
    360 degrees it belongs to site i mod num_sites. No UE is dropped nearer than ``min_distance_m`` to any
    site.
    """

    min_distance_m: DistanceM = Field(default=35.0, description="nearest distance to a site, m")
    max_distance_m: DistanceM = Field(default=100.0, description="farthest distance to the UE's own site, m")
    sector_deg: SectorDeg = Field(
        default=120.0, description="width of the sector around the cell's boresight, degrees; 360: all around"
    )

    @model_validator(mode="after")
    def _ring_has_area(self) -> Disc:
        if self.min_distance_m >= self.max_distance_m:
            raise ValueError(
                f"min_distance_m ({self.min_distance_m:g}) must be less than max_distance_m ({self.max_distance_m:g}); "
                "lower the one or raise the other"
            )
        return self

    def positions(self, num_ues: int, sites: Sites, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return horizontal positions in metres, [num_ues, 2].

        Raises:
            UserError: the sites stand too close together for ``min_distance_m``.
        """
        import numpy as np

        centre_m, boresight_rad = self._homes(num_ues, sites)
        position_m = centre_m.copy()
        todo = np.arange(num_ues)
        for _ in range(_DROP_ATTEMPTS):
            squared = rng.uniform(self.min_distance_m**2, self.max_distance_m**2, len(todo))
            angle = boresight_rad[todo] + np.radians(self.sector_deg) * rng.uniform(-0.5, 0.5, len(todo))
            ring = np.sqrt(squared)[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            position_m[todo] = centre_m[todo] + ring
            distance_m = sites.distance_m(position_m[todo]).min(axis=1)
            todo = todo[distance_m < self.min_distance_m * (1 - 1e-9)]
            if not len(todo):
                return position_m
        raise UserError(
            f"found no place for {len(todo)} of {num_ues} UEs at least min_distance_m = {self.min_distance_m:g} m from "
            "every site; lower min_distance_m or move the sites apart"
        )

    def _homes(self, num_ues: int, sites: Sites) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the site position [num_ues, 2] and boresight [num_ues] around which each UE is dropped."""
        import numpy as np

        cells = np.arange(len(sites.position_m))
        if self.sector_deg == 360.0:
            cells = np.unique(site_indices(sites.position_m), return_index=True)[1]
        home = cells[np.arange(num_ues) % len(cells)]
        return sites.position_m[home], sites.azimuth_rad[home]


@PLACEMENTS.register("explicit")
class ExplicitPlacement(Placement):
    """UEs at given places."""

    positions_m: tuple[tuple[CoordinateM, CoordinateM], ...] = Field(min_length=1, description="[x, y] of every UE, m")

    def positions(self, num_ues: int, sites: Sites, rng: np.random.Generator) -> NDArray[np.float64]:  # noqa: ARG002
        """Return the given positions in metres, [num_ues, 2].

        Raises:
            UserError: their number is not ``num_ues``.
        """
        import numpy as np

        if len(self.positions_m) != num_ues:
            raise UserError(
                f"ues.placement.positions_m has {len(self.positions_m)} positions but ues.count is {num_ues}; "
                "give one position for each UE"
            )
        return np.array(self.positions_m)
