"""How UEs move: the velocity each is given at time 0."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from channel.component import Component
from channel.quantities import SpeedMS
from channel.registry import Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Mobility(Component):
    """A rule that gives every UE its velocity."""

    @abstractmethod
    def velocities(self, num_ues: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return velocities in m/s, [num_ues, 3]."""


MOBILITIES: Registry[Mobility] = Registry("mobility", Mobility)


@MOBILITIES.register("static")
class Static(Mobility):
    """UEs stand still."""

    def velocities(self, num_ues: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return zeros, [num_ues, 3]."""
        import numpy as np

        return np.zeros((num_ues, 3))


@MOBILITIES.register("linear")
class Linear(Mobility):
    """UEs walk or drive straight on at one speed, each in a random horizontal direction."""

    speed_m_s: SpeedMS = 1.4

    def velocities(self, num_ues: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return horizontal velocities of equal magnitude, [num_ues, 3]."""
        import numpy as np

        angle = rng.uniform(0.0, 2 * np.pi, num_ues)
        return self.speed_m_s * np.stack([np.cos(angle), np.sin(angle), np.zeros(num_ues)], axis=-1)
