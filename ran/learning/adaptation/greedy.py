"""The rule of thumb: from the best choice down, a step at a time, until it fits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ran.learning.adaptation.adaptation import ADAPTATIONS, Adaptation, refuse_too_large

if TYPE_CHECKING:
    from ran.learning.adaptation.menu import Menu, Place, Situation


@ADAPTATIONS.register("greedy")
class Greedy(Adaptation):
    """From the best choice that fits, the step that saves the most time for the quality it costs, until in time.

    A step goes to the next or the previous cut, width or quantiser of the menu. It finds a choice that is in time
    wherever steps that save time lead to one, as where a UE is slower than its server and widths and bits are sorted;
    not always the best one. About as many costs are computed as the menu has rows, not as it has combinations.
    """

    def choose(self, menu: Menu, situation: Situation, action: Sequence[int] | None = None) -> Place:  # noqa: ARG002
        """Return where the steps end: in time, or where none saves time any more."""
        import numpy as np

        fits = menu.fits(situation)
        if not fits.any():
            smallest = min(range(len(menu.cuts)), key=lambda index: menu.cuts[index].memory_bytes)
            refuse_too_large(menu, situation, (smallest, 0, 0))
        cut, width, quantiser = np.unravel_index(int(np.argmax(np.where(fits, menu.quality, -np.inf))), menu.sizes)
        place: Place = int(cut), int(width), int(quantiser)
        time_s = menu.cost(place, situation).time_s
        while time_s > situation.deadline_s:
            steps = {each: menu.cost(each, situation).time_s for each in _neighbours(menu, place) if fits[each]}
            saving = [each for each, needed in steps.items() if needed < time_s]
            if not saving:
                break
            place = max(saving, key=lambda each: _worth(menu, place, each, time_s - steps[each]))
            time_s = steps[place]
        return place


def _neighbours(menu: Menu, place: Place) -> list[Place]:
    """Return the choices one step away."""
    cut, width, quantiser = place
    near = [(cut + by, width, quantiser) for by in (-1, 1)]
    near += [(cut, width + by, quantiser) for by in (-1, 1)]
    near += [(cut, width, quantiser + by) for by in (-1, 1)]
    return [each for each in near if all(0 <= index < size for index, size in zip(each, menu.sizes, strict=True))]


def _worth(menu: Menu, here: Place, there: Place, saved_s: float) -> tuple[float, float]:
    """Return seconds saved for each unit of quality lost, infinite where none is lost, and the seconds."""
    lost = float(menu.quality[here] - menu.quality[there])
    return saved_s / lost if lost > 0 else math.inf, saved_s
