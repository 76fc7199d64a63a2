"""The interface of a traffic model: when packets arrive at a bearer, and how large they are."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from channel.component import Component
from channel.errors import UserError
from channel.registry import Registry
from channel.seeding import Key, stream
from ran.traffic.five_qi import DEFAULT_FIVE_QI, qos

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Direction = Literal["downlink", "uplink"]

WINDOW_S = 1.0
"""Arrivals are drawn window by window, so that any moment of a run can be replayed without its past, s."""

MAX_PACKETS_PER_S = 1e6
LEARNING_SLICE = "learning"


class Traffic(Component):
    """A flow of packets for each of some UEs, carried by their bearers in one slice."""

    saturates: ClassVar[bool] = False
    """Whether the bearer always has data and no packet of its own."""

    direction: Literal["downlink", "uplink", "both"] = Field(
        default="downlink", description="downlink, uplink or both (then a flow of its own each way)"
    )
    ues: Literal["all"] | tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default="all", description="indices of the UEs that have this flow, or all"
    )
    slice: str = Field(default="traffic", min_length=1, description="slice whose bearers carry the flow")
    five_qi: int = Field(
        default=DEFAULT_FIVE_QI, description="standardised 5QI: priority and delay budget (TS 23.501 table 5.7.4-1)"
    )

    @field_validator("ues")
    @classmethod
    def _each_ue_once(cls, value: Literal["all"] | tuple[int, ...]) -> Literal["all"] | tuple[int, ...]:
        if value != "all" and (not value or len(set(value)) < len(value)):
            raise PydanticCustomError("ues", "expected `all` or a list of different UE indices, at least one")
        return value

    @field_validator("five_qi")
    @classmethod
    def _standardised(cls, value: int) -> int:
        try:
            qos(value)
        except UserError as error:
            raise PydanticCustomError("five_qi", "{message}", {"message": str(error)}) from error
        return value

    @abstractmethod
    def packets(
        self, seed: int, ue: int, direction: Direction, window: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return when packets arrive (s, ascending) and their sizes (bytes) in [window, window + 1) x ``WINDOW_S``.

        A pure function: equal arguments give equal packets, whichever windows were asked for before.
        """

    @abstractmethod
    def offered_bit_s(self) -> float:
        """Return the mean load of one UE in one direction, bit/s."""

    def selected(self, num_ues: int) -> Sequence[int]:
        """Return the indices of the UEs that have this flow."""
        return range(num_ues) if self.ues == "all" else self.ues

    def runs(self, direction: Direction) -> bool:
        """Tell whether the flow has packets in this direction."""
        return self.direction in (direction, "both")

    def _stream(self, seed: int, ue: int, direction: Direction, *key: Key) -> np.random.Generator:
        return stream(seed, "traffic", self.name, self.slice, direction, ue, *key)


TRAFFIC: Registry[Traffic] = Registry("traffic", Traffic)


def poisson_times_s(rng: np.random.Generator, per_s: float, window: int) -> NDArray[np.float64]:
    """Return the events of a Poisson process within a window: a Poisson count of sorted uniform times."""
    import numpy as np

    times_s: NDArray[np.float64] = (window + np.sort(rng.random(rng.poisson(per_s * WINDOW_S)))) * WINDOW_S
    # In late windows a time just below the end may round up to it.
    return times_s.clip(max=math.nextafter((window + 1) * WINDOW_S, 0.0))


def periodic_times_s(period_s: float, phase_s: float, window: int) -> NDArray[np.float64]:
    """Return phase + n period, n = 0, 1, ..., within a window; every event is in exactly one window."""
    import numpy as np

    start_s, end_s = window * WINDOW_S, (window + 1) * WINDOW_S
    first = max(int((start_s - phase_s) / period_s) - 1, 0)
    last = int((end_s - phase_s) / period_s) + 1
    times_s = phase_s + np.arange(first, max(last, first) + 1, dtype=np.float64) * period_s
    return times_s[(times_s >= start_s) & (times_s < end_s)]


def flow_problems(flows: Sequence[Traffic], slices: Sequence[str], num_ues: int) -> Iterator[tuple[int, str]]:
    """Yield (index of the flow, one sentence with the remedy) for all that is wrong with flows in a network.

    Args:
        flows: the flows of a scenario.
        slices: the names of its slices.
        num_ues: how many UEs it has.
    """
    for index, flow in enumerate(flows):
        if flow.slice == LEARNING_SLICE:
            yield index, f"slice {LEARNING_SLICE!r} carries the learning payloads; give the traffic a slice of its own"
        elif flow.slice not in slices:
            yield index, f"there is no slice {flow.slice!r}; use one of {', '.join(slices)}, or add it to the slices"
        beyond = [ue for ue in flow.selected(num_ues) if ue >= num_ues]
        if beyond:
            yield index, f"there is no UE {beyond[0]} among {num_ues}; use indices below {num_ues}, or `all`"
        for other, earlier in enumerate(flows[:index]):
            if _saturated_twice(flow, earlier, num_ues):
                yield (
                    index,
                    f"flow {other} and this one share a bearer that a full buffer keeps busy for ever; "
                    "move one of them to another slice, direction or UE",
                )


def _saturated_twice(flow: Traffic, other: Traffic, num_ues: int) -> bool:
    """Tell whether two flows meet on a bearer of which one alone fills the queue."""
    if not (flow.saturates or other.saturates) or flow.slice != other.slice:
        return False
    same_way = "both" in (flow.direction, other.direction) or flow.direction == other.direction
    return same_way and bool(set(flow.selected(num_ues)) & set(other.selected(num_ues)))
