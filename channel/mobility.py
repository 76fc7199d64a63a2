"""How UEs move: each rule makes the trajectory of all UEs from where they were dropped."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from channel.component import Component
from channel.errors import UserError
from channel.quantities import DurationS, Fraction, SpeedMS, physical
from channel.registry import Registry
from channel.seeding import stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from channel.area import Area
    from channel.trajectory import Trajectory

WalkingSpeedMS: Any = physical(0.01, 140.0, "m/s", "a speed of something that moves")
BlockM: Any = physical(10.0, 10e3, "m", "the side of a city block")


class Mobility(Component):
    """A rule by which UEs move."""

    @abstractmethod
    def trajectory(self, start_m: NDArray[np.float64], area: Area | None, seed: int) -> Trajectory:
        """Return the motion of UEs that were dropped at ``start_m``; equal arguments give equal motion.

        Args:
            start_m: positions in metres, [num_ues, 3].
            area: the ground that the layout covers; None where it covers none.
            seed: of the named random streams.

        Raises:
            UserError: the rule needs an area and there is none.
        """


MOBILITIES: Registry[Mobility] = Registry("mobility", Mobility)


@MOBILITIES.register("static")
class Static(Mobility):
    """UEs stand still."""

    def trajectory(self, start_m: NDArray[np.float64], area: Area | None, seed: int) -> Trajectory:  # noqa: ARG002
        """Return a motion of no velocity."""
        from channel.trajectory import StraightLine

        return StraightLine(start_m, 0.0 * start_m)


@MOBILITIES.register("linear")
class Linear(Mobility):
    """UEs walk or drive straight on at one speed, each in a random horizontal direction."""

    speed_m_s: SpeedMS = 1.4

    def trajectory(self, start_m: NDArray[np.float64], area: Area | None, seed: int) -> Trajectory:  # noqa: ARG002
        """Return horizontal motions of equal speed."""
        import numpy as np

        from channel.trajectory import StraightLine

        num_ues = len(start_m)
        angle = stream(seed, "mobility").uniform(0.0, 2 * np.pi, num_ues)
        direction = np.stack([np.cos(angle), np.sin(angle), np.zeros(num_ues)], axis=-1)
        return StraightLine(start_m, self.speed_m_s * direction)


@MOBILITIES.register("random_waypoint")
class RandomWaypoint(Mobility):
    """UEs go straight to points uniform over the layout's area, pausing at each (Johnson & Maltz 1996).

    Each leg has a speed of its own, uniform between the bounds; equal bounds make it constant. A UE may pass near
    a site. At time 0 all UEs set out, so the first legs are not yet the process's long-run mixture.
    """

    min_speed_m_s: WalkingSpeedMS = Field(default=0.8, description="slowest leg, m/s")
    max_speed_m_s: WalkingSpeedMS = Field(default=2.0, description="fastest leg, m/s")
    pause_s: DurationS = Field(default=0.0, description="rest at every waypoint, s")

    @model_validator(mode="after")
    def _speeds_are_ordered(self) -> RandomWaypoint:
        if self.min_speed_m_s > self.max_speed_m_s:
            raise ValueError(
                f"min_speed_m_s ({self.min_speed_m_s:g}) is above max_speed_m_s ({self.max_speed_m_s:g}); swap them"
            )
        return self

    def trajectory(self, start_m: NDArray[np.float64], area: Area | None, seed: int) -> Trajectory:
        """Return walks between random points."""
        from channel.trajectory import RandomWaypointWalk

        speed_m_s = (self.min_speed_m_s, self.max_speed_m_s)
        return RandomWaypointWalk(
            start_m, seed, area=_required(area, self.name), speed_m_s=speed_m_s, pause_s=self.pause_s
        )


@MOBILITIES.register("manhattan")
class Manhattan(Mobility):
    """UEs follow a rectangular grid of streets and turn at crossings (ETSI TR 101 112 clause B.1.8.2).

    Streets run along x, y = (k + 1/2) block_m within the box around the layout's area, so that the origin lies in the
    middle of a block. A dropped UE is first moved to the nearest street. At a crossing it goes straight on with
    probability 1 - turn_probability, else left or right alike; at the rim it turns where there is a street.
    """

    block_m: BlockM = Field(default=50.0, description="distance between streets, m")
    speed_m_s: WalkingSpeedMS = 1.4
    turn_probability: Fraction = Field(default=0.5, description="probability of leaving the street at a crossing")

    def trajectory(self, start_m: NDArray[np.float64], area: Area | None, seed: int) -> Trajectory:
        """Return walks along the streets."""
        from channel.trajectory import ManhattanWalk

        ground = _required(area, self.name)
        low_m, high_m = ground.bounds_m
        width_m = (high_m - low_m).min()
        if width_m < 2 * self.block_m:
            raise UserError(
                f"ues.mobility.block_m = {self.block_m:g} m, but the layout is only {width_m:.0f} m wide; "
                f"choose at most {width_m / 2:.0f} m, so that two streets fit"
            )
        return ManhattanWalk(
            start_m,
            seed,
            area=ground,
            block_m=self.block_m,
            speed_m_s=self.speed_m_s,
            turn_probability=self.turn_probability,
        )


@MOBILITIES.register("trace")
class Trace(Mobility):
    """UEs follow recorded positions from a CSV file; the placement is not used.

    The first line names the columns: ``time_s, ue, x_m, y_m`` and, if heights differ from ues.height_m, ``z_m``;
    others are ignored. UEs are numbered from 0; those beyond ues.count are left out. Between two rows a UE goes
    straight; before its first and after its last row it stands still.
    """

    file: str = Field(min_length=1, description="path of the CSV file")

    def problems(self) -> list[str]:
        """Return a sentence if the file is missing or not such a table."""
        from channel.trace import read_trace

        try:
            read_trace(self.file)
        except UserError as error:
            return [f"`file`: {error}"]
        return []

    def trajectory(self, start_m: NDArray[np.float64], area: Area | None, seed: int) -> Trajectory:  # noqa: ARG002
        """Return the motion in the file; raises UserError where a UE has no row."""
        from channel.trace import read_trace, waypoints

        return waypoints(read_trace(self.file), start_m, self.file)


def _required(area: Area | None, mobility: str) -> Area:
    if area is None:
        raise UserError(
            f"ues.mobility {mobility} needs cells that span an area, but these explicit ones stand on one line or "
            "point; choose ues.mobility linear or trace"
        )
    return area
