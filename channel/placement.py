"""UEs dropped over the whole area of a layout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from channel.errors import UserError
from channel.layout import PLACEMENTS, Placement, Sites
from channel.quantities import DistanceM

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DROP_ATTEMPTS = 1000


@PLACEMENTS.register("area")
class AreaPlacement(Placement):
    """UEs uniform over the layout's area: hexagons, office floor, disc, or the box around explicit cells."""

    min_distance_m: DistanceM = Field(default=10.0, description="nearest horizontal distance to a site, m")

    def positions(self, num_ues: int, sites: Sites, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return horizontal positions in metres, [num_ues, 2].

        Raises:
            UserError: the layout covers no area, or leaves none ``min_distance_m`` away from its sites.
        """
        import numpy as np

        if sites.area is None:
            raise UserError(
                "ues.placement area needs cells that span an area, but these explicit ones stand on one line or point; "
                "choose ues.placement disc or explicit"
            )
        position_m = np.zeros((num_ues, 2))
        todo = np.arange(num_ues)
        for _ in range(_DROP_ATTEMPTS):
            position_m[todo] = sites.area.draw(len(todo), rng)
            todo = todo[sites.distance_m(position_m[todo]).min(axis=1) < self.min_distance_m]
            if not len(todo):
                return position_m
        raise UserError(
            f"found no place for {len(todo)} of {num_ues} UEs at least min_distance_m = {self.min_distance_m:g} m from "
            "every site; lower min_distance_m or move the sites apart"
        )
