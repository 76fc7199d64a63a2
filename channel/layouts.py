"""More layouts: rectangular grid, Poisson sites, the indoor office."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator

from channel.layout import LAYOUTS, InterSiteDistanceM, Layout, Sites, sectorised
from channel.quantities import physical

if TYPE_CHECKING:
    import numpy as np

RadiusM: Any = physical(1.0, 100e3, "m", "a radius")
DensityPerKm2: Any = physical(1e-3, 1e5, "sites per km^2", "a density")

_MOST_CELLS = 10_000
_OFFICE_M = (120.0, 50.0)


@LAYOUTS.register("grid")
class Grid(Layout):
    """Sites in rows and columns of equal spacing around the origin, numbered row by row."""

    rows: int = Field(default=2, ge=1, le=100, description="sites from south to north")
    columns: int = Field(default=2, ge=1, le=100, description="sites from west to east")
    inter_site_distance_m: InterSiteDistanceM = 200.0
    sectors: Literal[1, 3] = Field(default=1, description="cells per site")

    @property
    def num_cells(self) -> int:
        """Number of cells (sectors)."""
        return self.rows * self.columns * self.sectors

    def sites(self, rng: np.random.Generator | None = None) -> Sites:  # noqa: ARG002
        """Return the cells; their area reaches half a spacing beyond the outer sites."""
        import numpy as np

        from channel.area import Rectangle

        half_m = self.inter_site_distance_m * np.array([self.columns, self.rows]) / 2
        y, x = np.divmod(np.arange(self.rows * self.columns), self.columns)
        place_m = self.inter_site_distance_m * (np.stack([x, y], axis=-1) + 0.5) - half_m
        return sectorised(place_m, self.sectors, area=Rectangle(-half_m, half_m))


@LAYOUTS.register("poisson")
class Poisson(Layout):
    """Sites of a homogeneous Poisson point process on a disc around the origin, drawn by the scenario's seed.

    The number of sites is Poisson with mean density * pi * radius^2, given that there is at least one; each is
    uniform on the disc. Every site is one cell that looks towards 0 degrees, so give it an omni antenna.
    """

    density_per_km2: DensityPerKm2 = Field(default=10.0, description="mean number of sites per square kilometre")
    radius_m: RadiusM = Field(default=1000.0, description="radius of the disc, m")

    @model_validator(mode="after")
    def _not_too_many(self) -> Poisson:
        if self._mean() > _MOST_CELLS:
            raise ValueError(
                f"density_per_km2 and radius_m make {self._mean():.0f} sites on average, more than {_MOST_CELLS}; "
                "lower one of them"
            )
        return self

    def _mean(self) -> float:
        return float(self.density_per_km2 * 1e-6 * math.pi * self.radius_m**2)

    @property
    def num_cells(self) -> int:
        """Mean number of cells, rounded."""
        return max(1, round(self._mean()))

    def sites(self, rng: np.random.Generator | None = None) -> Sites:
        """Return the cells drawn from ``rng``."""
        from channel.area import Circle

        assert rng is not None, "Poisson sites are drawn: sites(rng)"
        count = 0
        while count == 0:
            count = int(rng.poisson(self._mean()))
        area = Circle(self.radius_m)
        return sectorised(area.draw(count, rng), 1, area=area)


@LAYOUTS.register("indoor_office")
class IndoorOffice(Layout):
    """The open office of TR 38.901 table 7.2-2: a floor of 120 m by 50 m with 12 sites under its ceiling.

    One corner of the floor is the origin. Two rows of six sites stand 20 m apart, 10 m from the short walls and 15 m
    from the long ones. Set sites.gnb.height_m to 3 and ues.height_m to 1.
    """

    sectors: Literal[1, 3] = Field(default=1, description="cells per site")

    @property
    def num_cells(self) -> int:
        """Number of cells (sectors)."""
        return 12 * self.sectors

    def sites(self, rng: np.random.Generator | None = None) -> Sites:  # noqa: ARG002
        """Return the cells, row by row."""
        import numpy as np

        from channel.area import Rectangle

        y, x = np.divmod(np.arange(12), 6)
        place_m = np.stack([10.0 + 20.0 * x, 15.0 + 20.0 * y], axis=-1)
        return sectorised(place_m, self.sectors, area=Rectangle(np.zeros(2), np.array(_OFFICE_M)))
