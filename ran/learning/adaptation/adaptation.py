"""The interface of adaptation: what one UE may choose from, what it knows, and a rule that chooses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from channel.component import Component
from channel.errors import UserError
from channel.registry import Registry

if TYPE_CHECKING:
    from ran.learning.adaptation.menu import Menu, Place, Situation


class Adaptation(Component):
    """A rule that chooses a cut, a width and a quantiser for one UE and one round.

    Wanted is the choice of the highest quality among those that fit the UE's memory and end by the deadline, and of
    equal ones the one that takes the least time; where none ends in time, the fastest that fits.
    """

    @abstractmethod
    def choose(self, menu: Menu, situation: Situation, action: Sequence[int] | None = None) -> Place:
        """Return the place of the choice in the menu.

        Args:
            menu: what there is to choose from, with its qualities and costs.
            situation: the UE's device, measured rates and deadline.
            action: what an agent decided, if one drives the run; other rules do not look at it.

        Raises UserError where no choice fits the UE's memory.
        """

    def choose_all(self, offered: Sequence[tuple[Menu, Situation]]) -> list[Place]:
        """Return the choices for all UEs of a round, in their order; by default each for itself."""
        return [self.choose(menu, situation) for menu, situation in offered]


ADAPTATIONS: Registry[Adaptation] = Registry("adaptation", Adaptation)


@ADAPTATIONS.register("fixed")
class Fixed(Adaptation):
    """The first cut, width and quantiser of the menu, for every UE in every round."""

    def choose(self, menu: Menu, situation: Situation, action: Sequence[int] | None = None) -> Place:  # noqa: ARG002
        """Return (0, 0, 0)."""
        refuse_too_large(menu, situation, (0, 0, 0))
        return (0, 0, 0)


def refuse_too_large(menu: Menu, situation: Situation, place: Place) -> None:
    """Raise UserError where the cut's first part does not fit the device."""
    cut, device = menu.cuts[place[0]], situation.device
    if cut.memory_bytes > device.memory_bytes:
        raise UserError(
            f"a cut after layer {cut.after} takes {cut.memory_bytes / 1e6:.1f} MB on the UE, and the "
            f"{device.device_class} has {device.memory_bytes / 1e6:.1f} MB; cut earlier, or raise its memory_bytes"
        )
