"""Which cell serves each UE, in a dense network on several carriers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field as Parameter

from agents.draws import uniforms
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule, State
from agents.envs import handover_kernels as kernels
from agents.fields import Choice, Field, Term
from agents.radio import rate_curve
from agents.radio_map import Ground, RadioMap, carrier_plan, radio_map
from ran.phy.rate_curve import RateCurve
from scenarios.build import build_world
from scenarios.load import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_POSITION, _WAYPOINT, _COUNT, _WORLD = 1, 2, 3, 4
_SINR_DB = (-20.0, 40.0)


@dataclass
class HandoverState(State):
    """Where UEs are, what they hear there, and what they got in the last step.

    Attributes:
        world: which of the maps, int64 [batch].
        there: which UEs are there, bool [batch, num_ues].
        position_m, waypoint_m: where they are and where they walk to, [batch, num_ues, 2].
        cell: serving cells, int64 [batch, num_ues].
        sinr_db: in every cell where the UE is now, float32 [batch, num_ues, num_cells].
        load: UEs that each cell served in the last step, int64 [batch, num_cells].
        rate: of the last step, bit/s, [batch, num_ues].
        utility: of that rate, -1 .. 1, [batch, num_ues].
    """

    world: NDArray[np.int64]
    there: NDArray[np.bool_]
    position_m: NDArray[np.float64]
    waypoint_m: NDArray[np.float64]
    cell: NDArray[np.int64]
    sinr_db: NDArray[np.float32]
    load: NDArray[np.int64]
    rate: NDArray[np.float64]
    utility: NDArray[np.float64]


@dataclass(frozen=True)
class Air:
    """The radio of an environment: the map, the carrier of each cell, [num_cells], and what links carry."""

    map: RadioMap
    carrier: NDArray[np.int64]
    curve: RateCurve


@lru_cache(maxsize=8)
def air(scenario: str, ground_m: Ground | None, spacing_m: float, worlds: int, carriers: int) -> Air:
    """Return the radio of an environment with these parameters."""
    heard = radio_map(scenario, ground_m, spacing_m, worlds)
    return Air(heard, carrier_plan(heard.cell_position_m, carriers), rate_curve(scenario))


@lru_cache(maxsize=32)
def num_cells(scenario: str) -> int:
    """Return the cells of a scenario, for which nothing of its air needs to be known."""
    return build_world(load(scenario)).geometry.num_cells


@ENVIRONMENTS.register("handover")
class Handover(Environment):
    """Every UE chooses its cell, as in mobile-env (Schneider et al., IEEE/IFIP NOMS 2022), over a calibrated radio map.

    In each step UEs keep their cell or are handed over; each cell shares its carrier among the UEs that it can reach;
    a handover interrupts the data for ``interruption_s``. Then UEs walk on to random waypoints. An SINR is a cell's
    power over noise and all cells of the same carrier (always on); rates follow from it by the scenario's own MCS
    table. So the strongest cell is often not the best: it may be full.

    The size is that of mobile-env's "medium", and so is the action: 0, or the number of a cell. What differs: a UE has
    one cell (there, naming a cell connects to it beside others, or disconnects); here power falls as TR 38.901 says,
    cells interfere, rates follow MCS tables and handovers interrupt. There, Okumura and Hata's formula, which wants
    kilometres, is given metres (and those in whole numbers), which adds 101 dB at 50 m of antenna height: SNRs are some
    -80 dB, rates some bit/s. So its utility 10 log10(rate), -20 .. 20, counts bits per second; here megabits.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | sinr | 7 | dB | -20 .. 40 | SINR that the UE has or would have in each cell |
    | observation | serving | 7 | 1 | 0 .. 1 | whether the cell serves it |
    | observation | load | 7 | 1 | 0 .. 1 | share of the UEs that each cell served in the last step |
    | observation | utility | 1 | 1 | -1 .. 1 | of the UE's rate in the last step |
    | observation | there | 1 | 1 | 0 .. 1 | whether the UE is there |
    | action | cell | 1 | 1 | 0 .. 7 | 0: keep the cell; c: be served by cell c (counted from 1) |
    | reward | utility | 1 | 1 | weight 1 | bounded logarithm of the rate, -1 .. 1 |
    | reward | qos | 1 | 1 | weight 0 | zone of tolerance of the rate: -1 none, 0 adequate, 1 desired |
    | reward | handover | 1 | 1 | weight -0.02 | whether the UE was handed over |

    Not modelled: fading while UEs walk, time to trigger, failed handovers, traffic other than full buffers.
    """

    title = "Handover"
    agent = "ue"

    steps: int = Parameter(default=100, ge=1, le=1_000_000, description="steps of an episode")
    ues: int = Parameter(default=15, ge=1, le=1000, description="most UEs")
    least_ues: int = Parameter(default=15, ge=1, le=1000, description="least UEs; drawn anew for each episode")
    scenario: str = Parameter(default="seven_cells", description="cells and channel: a packaged name or a path")
    ground_m: Ground | None = Parameter(
        default=(0.0, 0.0, 200.0, 300.0), description="where UEs walk: least x, y, largest x, y, m; null: all the map"
    )
    spacing_m: float = Parameter(default=10.0, gt=0, le=1000, description="grid of the radio map, m")
    worlds: int = Parameter(default=1, ge=1, le=1000, description="draws of the channel; episodes choose among them")
    carriers: int = Parameter(default=3, ge=1, le=1000, description="carriers in use; cells of one carrier interfere")
    share: Literal["resource_fair", "rate_fair"] = Parameter(
        default="resource_fair", description="of a cell's UEs: as much time each, or as much rate each"
    )
    step_s: float = Parameter(default=1.0, gt=0, le=3600, description="duration of a step, s")
    speed_m_s: float = Parameter(default=1.5, ge=0, le=140, description="of the UEs, m/s")
    interruption_s: float = Parameter(default=0.05, ge=0, le=3600, description="without data in a handover, s")
    utility_unit_bit_s: float = Parameter(default=1e6, gt=0, description="rate of utility 0 before scaling, bit/s")
    utility_per_decade: float = Parameter(default=10.0, gt=0, description="what ten times the rate is worth")
    utility_limit: float = Parameter(default=20.0, gt=0, description="utilities lie between minus this and this")
    adequate_bit_s: float = Parameter(default=1e6, gt=0, description="least rate that is tolerated, bit/s")
    desired_bit_s: float = Parameter(default=5e6, gt=0, description="rate beyond which more is of no use, bit/s")

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        if self.least_ues > self.ues:
            return [f"`least_ues`: {self.least_ues} is more than ues ({self.ues}); lower it"]
        if self.adequate_bit_s >= self.desired_bit_s:
            return ["`adequate_bit_s`: not below desired_bit_s; lower it"]
        if self.interruption_s > self.step_s:
            return ["`interruption_s`: longer than a step (step_s); lower it"]
        ground = self.ground_m
        if ground is not None and (ground[0] >= ground[2] or ground[1] >= ground[3]):
            return ["`ground_m`: least x and y come first, then the largest; turn them round"]
        return super().problems()

    def air(self) -> Air:
        """Return the radio."""
        return air(self.scenario, self.ground_m, self.spacing_m, self.worlds, self.carriers)

    @property
    def num_cells(self) -> int:
        """Cells of the scenario."""
        return num_cells(self.scenario)

    @property
    def num_agents(self) -> int:
        """The UEs."""
        return self.ues

    def observed(self) -> tuple[Field, ...]:
        """Return what a UE measures and what cells tell it."""
        cells = self.num_cells
        return (
            Field("sinr", "dB", *_SINR_DB, "SINR that the UE has or would have in each cell", cells),
            Field("serving", "1", 0, 1, "whether the cell serves it", cells),
            Field("load", "1", 0, 1, "share of the UEs that each cell served in the last step", cells),
            Field("utility", "1", -1, 1, "of the UE's rate in the last step"),
            Field("there", "1", 0, 1, "whether the UE is there"),
        )

    def acted(self) -> tuple[Choice, ...]:
        """Return the cell."""
        return (Choice("cell", self.num_cells + 1, "0: keep the cell; c: be served by cell c (counted from 1)"),)

    def terms(self) -> tuple[Term, ...]:
        """Return utility, quality of service and handovers."""
        return (
            Term("utility", "1", 1.0, "bounded logarithm of the rate, -1 .. 1"),
            Term("qos", "1", 0.0, "zone of tolerance of the rate: -1 none, 0 adequate, 1 desired"),
            Term("handover", "1", -0.02, "whether the UE was handed over"),
        )

    def start(self, key: NDArray[np.uint64]) -> HandoverState:
        """Drop UEs, each in its strongest cell."""
        around, batch = self.air(), len(key)
        ground, shape = around.map, (batch, self.ues)
        position_m, waypoint_m = (
            ground.origin_m + ground.size_m * uniforms(key, draw, 2 * self.ues).reshape(*shape, 2)
            for draw in (_POSITION, _WAYPOINT)
        )
        count = self.least_ues + (uniforms(key, _COUNT, 1) * (self.ues - self.least_ues + 1)).astype(np.int64)
        state = HandoverState(
            key, np.zeros(batch, np.int64), (uniforms(key, _WORLD, 1)[:, 0] * self.worlds).astype(np.int64),
            np.arange(self.ues) < count, position_m, waypoint_m, np.zeros(shape, np.int64),
            np.empty((*shape, self.num_cells), np.float32), np.zeros((batch, self.num_cells), np.int64),
            np.zeros(shape), np.full(shape, -1.0),
        )  # fmt: skip
        kernels.listen(
            state.world, state.position_m, ground.snr, ground.origin_m, ground.spacing_m, around.carrier, state.sinr_db
        )
        state.cell[:] = state.sinr_db.argmax(axis=-1)
        served = state.there[..., None] & (state.cell[..., None] == np.arange(self.num_cells))
        state.load[:] = served.sum(axis=1)
        return state

    def advance(self, state: HandoverState, action: NDArray[Any]) -> Outcome:
        """Serve, then walk."""
        around, batch = self.air(), len(state.key)
        qos, changed = np.empty((2, batch, self.ues))
        ground, curve = around.map, around.curve
        numbers = (
            curve.first_db, curve.step_db, ground.resource_elements_s, 1 - self.interruption_s / self.step_s,
            self.utility_unit_bit_s, self.utility_per_decade, -self.utility_limit, self.utility_limit,
            self.adequate_bit_s, self.desired_bit_s,
        )  # fmt: skip
        kernels.step_all(
            state.key, state.step, state.world, state.there, state.cell, state.position_m, state.waypoint_m,
            state.sinr_db, state.load, state.rate, state.utility, np.asarray(action, np.int64).reshape(batch, -1),
            ground.snr, ground.origin_m, ground.spacing_m, ground.size_m, around.carrier, curve.efficiency, numbers,
            self.share == "rate_fair", self.speed_m_s * self.step_s, qos, changed,
        )  # fmt: skip
        terms = {"utility": state.utility.copy(), "qos": qos, "handover": changed}
        return Outcome(terms, np.zeros(batch, bool), {})

    def observe(self, state: HandoverState) -> NDArray[np.float32]:
        """Return the observation in one pass, [batch, num_ues, size]; ``values`` says what it is."""
        seen = np.empty((*state.cell.shape, self.observation_size), np.float32)
        kernels.see(state.there, state.cell, state.sinr_db, state.load, state.utility, *_SINR_DB, seen)
        return seen

    def values(self, state: HandoverState) -> dict[str, NDArray[np.float64]]:
        """Return what each UE sees; of UEs that are not there the least."""
        there, shape = state.there[..., None], state.sinr_db.shape
        return {
            "sinr": np.where(there, state.sinr_db, _SINR_DB[0]),
            "serving": np.where(there, state.cell[..., None] == np.arange(self.num_cells), 0.0),
            "load": np.where(there, np.broadcast_to(state.load[:, None] / self.ues, shape), 0.0),
            "utility": np.where(there, state.utility[..., None], -1.0),
            "there": there.astype(np.float64),
        }

    def full_rate(self, state: HandoverState) -> NDArray[np.float64]:
        """Return what each UE would have alone in each cell, bit/s, [batch, num_ues, num_cells]; 0: out of reach."""
        around = self.air()
        curve = around.curve
        place = np.rint((state.sinr_db.astype(np.float64) - curve.first_db) / curve.step_db)
        efficiency = curve.efficiency[np.clip(place, 0, len(curve.efficiency) - 1).astype(np.int64)]
        return np.where(state.there[..., None], around.map.resource_elements_s * efficiency, 0.0)

    def mask(self, state: HandoverState) -> NDArray[np.bool_]:
        """Return that cells may be kept, or taken where in reach."""
        allowed = np.empty((*state.cell.shape, self.num_cells + 1), bool)
        curve = self.air().curve
        kernels.allow(state.there, state.sinr_db, curve.efficiency, curve.first_db, curve.step_db, allowed)
        return allowed.reshape(len(allowed), -1)

    def rules(self) -> dict[str, Rule]:
        """Return the baselines."""
        from agents.envs.handover_rules import rules

        return rules()

    def draw(self, state: HandoverState, replica: int, figure: Figure) -> None:
        """Draw the ground, cells, UEs and their links, and what each got."""
        from agents.envs.handover_picture import draw

        draw(self, state, replica, figure)
