"""UAVs that carry base stations to where the users are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field as Parameter

from agents.draws import normals, uniforms
from agents.environment import ENVIRONMENTS, Environment, Outcome, Rule, State
from agents.envs import uav_offload_kernels as kernels
from agents.envs.uav_power import propulsion_power_w
from agents.fields import Choice, Field, Term
from agents.qos import zone_of_tolerance
from agents.radio import rate_curve
from agents.radio_map import downlink_resource_elements_s
from channel.air_to_ground import SURROUNDINGS, mean_path_loss_db
from channel.seeding import stream_key
from channel.units import dbm_to_watt
from ran.phy.rate_curve import RateCurve
from scenarios.build import build_world
from scenarios.load import load

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from agents.tabular import FiniteProblem

_HOTSPOT, _SPREAD, _BACKGROUND, _PLACE = 1, 2, 3, 4
_MOVES = np.array([(0, 0), (1, 0), (0, 1), (-1, 0), (0, -1)])
"""Hover, and to the east, north, west and south, [5, 2]."""


@dataclass
class UavState(State):
    """Who is where, and what was offered in the last step.

    Attributes:
        ue_m: places of UEs, [batch, num_ues, 2].
        need_hz: bandwidth that each would need for the adequate rate from a UAV in each place of the grid, float32
            [batch, num_places, num_ues]; inf: out of reach.
        place: of each UAV on the grid, row by row from the south-west, int64 [batch, num_uavs].
        server: UAV of each UE, -1 for none, int64 [batch, num_ues].
        rate: of each UE of a UAV, bit/s, [batch, num_uavs].
    """

    ue_m: NDArray[np.float64]
    need_hz: NDArray[np.float32]
    place: NDArray[np.int64]
    server: NDArray[np.int64]
    rate: NDArray[np.float64]


@dataclass(frozen=True)
class Link:
    """What of a scenario matters here: carrier, noise density at a UE, and what a link carries.

    ``elements`` are resource elements for downlink data per second and Hz.
    """

    carrier_hz: float
    noise_w_hz: float
    elements: float
    curve: RateCurve


@lru_cache(maxsize=8)
def link(scenario: str) -> Link:
    """Return the radio of a scenario's UEs."""
    world = build_world(load(scenario))
    grid = world.numerology
    return Link(
        grid.carrier_hz, world.geometry.ue_noise_psd_w_hz,
        downlink_resource_elements_s(world) / (grid.num_prbs * grid.prb_hz), rate_curve(scenario),
    )  # fmt: skip


@lru_cache(maxsize=32)
def ways(side: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the place after each move, a UAV at the edge staying, and which moves stay inside, [num_places, 5]."""
    y, x = np.divmod(np.arange(side * side), side)
    target = np.stack([x, y], -1)[:, None] + _MOVES
    inside = ((target >= 0) & (target < side)).all(axis=-1)
    following = np.where(inside, target[..., 1] * side + target[..., 0], np.arange(side * side)[:, None])
    return following, inside


@ENVIRONMENTS.register("uav_offload")
class UavOffload(Environment):
    """UAVs carry base stations to where users are and take them over from the cell (Mondal et al., arXiv 2402.02957).

    UAVs hover or fly to the next place of a grid, all at one height, each on a carrier of its own. Every UE asks the
    UAV that it hears best, and each UAV admits as many as it can give an adequate rate, then shares what is left, up
    to the desired rate. UEs stand around hotspots, other ones in each episode. Path loss is the mean by elevation
    (Al-Hourani, Kandeepan and Lardner, IEEE WCL 2014), rates follow from SNRs by the scenario's MCS table, power of
    flight is Zeng, Xu and Zhang's (IEEE TWC 2019): hovering takes more than flying slowly.

    | | name | values | unit | range | meaning |
    |---|---|---|---|---|---|
    | observation | place | 2 | m | 0 .. 1000 | x and y of the UAV |
    | observation | others | 4 | m | -1000 .. 1000 | x and y of each other UAV, from here |
    | observation | ues | 60 | m | -1000 .. 1000 | x and y of each UE, from here |
    | observation | served | 30 | 1 | -1 .. 1 | each UE: 1 by this UAV in the last step, 0 by another, -1 by none |
    | action | move | 1 | 1 | 0 .. 4 | 0: hover; 1, 2, 3, 4: to the next place east, north, west, south |
    | reward | qos | 1 | 1 | weight 1 | UEs served over all UEs; each 1/2 at the adequate, 1 at the desired rate |
    | reward | offloaded | 1 | MB | weight 0.001 | what the UAV delivered instead of the cell |
    | reward | energy | 1 | kJ | weight -0.02 | that it took to fly |

    Not modelled: shadowing and fading, the backhaul of the UAVs, what the cell does for the other UEs, collisions.
    """

    title = "UavOffload"
    agent = "uav"

    steps: int = Parameter(default=50, ge=1, le=1_000_000, description="steps of an episode")
    uavs: int = Parameter(default=3, ge=1, le=50, description="UAVs")
    ues: int = Parameter(default=30, ge=1, le=1000, description="UEs on the ground")
    hotspots: int = Parameter(
        default=4, ge=1, le=100, description="places that UEs gather around; a fifth are anywhere"
    )
    spread_m: float = Parameter(default=80.0, gt=0, le=10e3, description="standard deviation of UEs around hotspots, m")
    users: Literal["episode", "fixed"] = Parameter(
        default="episode", description="UEs stand elsewhere in each episode, or always at the same places"
    )
    side: int = Parameter(default=10, ge=2, le=100, description="places of the grid along each side")
    spacing_m: float = Parameter(default=100.0, gt=0, le=10e3, description="between them, m")
    height_m: float = Parameter(default=100.0, ge=10, le=5000, description="of UAVs above the UEs, m")
    surroundings: Literal["suburban", "urban", "dense_urban", "highrise"] = Parameter(
        default="urban", description="what stands on the ground"
    )
    step_s: float = Parameter(default=10.0, gt=0, le=3600, description="duration of a step, s")
    scenario: str = Parameter(default="quickstart", description="carrier, UEs and MCS table: a packaged name or a path")
    tx_power_dbm: float = Parameter(default=20.0, ge=-40, le=60, description="of a UAV, dBm")
    bandwidth_hz: float = Parameter(default=10e6, gt=0, le=1e9, description="of a UAV, Hz")
    adequate_bit_s: float = Parameter(default=1e6, gt=0, description="least rate that is tolerated, bit/s")
    desired_bit_s: float = Parameter(default=4e6, gt=0, description="rate beyond which more is of no use, bit/s")

    def problems(self) -> list[str]:
        """Return what does not fit together."""
        if self.adequate_bit_s >= self.desired_bit_s:
            return ["`adequate_bit_s`: not below desired_bit_s; lower it"]
        return super().problems()

    @property
    def num_agents(self) -> int:
        """The UAVs."""
        return self.uavs

    @property
    def num_places(self) -> int:
        """Places of the grid."""
        return self.side * self.side

    @property
    def ground_m(self) -> float:
        """Side of the ground; places are the middles of its squares."""
        return self.side * self.spacing_m

    def observed(self) -> tuple[Field, ...]:
        """Return where a UAV and all others are, and who is served."""
        far_m = self.ground_m
        others = Field("others", "m", -far_m, far_m, "x and y of each other UAV, from here", 2 * (self.uavs - 1))
        return (
            Field("place", "m", 0, far_m, "x and y of the UAV", 2),
            *((others,) if self.uavs > 1 else ()),
            Field("ues", "m", -far_m, far_m, "x and y of each UE, from here", 2 * self.ues),
            Field("served", "1", -1, 1, "each UE: 1 by this UAV in the last step, 0 by another, -1 by none", self.ues),
        )

    def acted(self) -> tuple[Choice, ...]:
        """Return the move."""
        return (Choice("move", 5, "0: hover; 1, 2, 3, 4: to the next place east, north, west, south"),)

    def terms(self) -> tuple[Term, ...]:
        """Return service, bytes and energy."""
        return (
            Term("qos", "1", 1.0, "UEs served over all UEs; each 1/2 at the adequate, 1 at the desired rate"),
            Term("offloaded", "MB", 0.001, "what the UAV delivered instead of the cell"),
            Term("energy", "kJ", -0.02, "that it took to fly"),
        )

    def start(self, key: NDArray[np.uint64]) -> UavState:
        """Put UEs around hotspots and UAVs anywhere."""
        batch, drawn_by = len(key), key
        if self.users == "fixed":
            drawn_by = np.full(1, stream_key(0, "users"), np.uint64)
        ue_m = np.broadcast_to(self._ues(drawn_by), (batch, self.ues, 2)).copy()
        need_hz = np.broadcast_to(self._need_hz(ue_m[: len(drawn_by)]), (batch, self.num_places, self.ues)).copy()
        place = (uniforms(key, _PLACE, self.uavs) * self.num_places).astype(np.int64)
        state = UavState(
            key, np.zeros(batch, np.int64), ue_m, need_hz, place, np.empty((batch, self.ues), np.int64),
            np.empty((batch, self.uavs)),
        )  # fmt: skip
        self.offer(state.place, state.need_hz, state.server, state.rate)
        return state

    def _ues(self, key: NDArray[np.uint64]) -> NDArray[np.float64]:
        far_m, loose = self.ground_m, np.arange(self.ues) % (5 * self.hotspots) >= 4 * self.hotspots
        centre_m = far_m * (0.1 + 0.8 * uniforms(key, _HOTSPOT, 2 * self.hotspots).reshape(-1, self.hotspots, 2))
        around_m = self.spread_m * normals(key, _SPREAD, 2 * self.ues).reshape(-1, self.ues, 2)
        anywhere_m = far_m * uniforms(key, _BACKGROUND, 2 * self.ues).reshape(-1, self.ues, 2)
        gathered_m = np.clip(centre_m[:, np.arange(self.ues) % self.hotspots] + around_m, 0, far_m)
        return np.where(loose[:, None], anywhere_m, gathered_m)

    def _need_hz(self, ue_m: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the bandwidth for the adequate rate from each place, [batch, num_places, num_ues]."""
        radio = link(self.scenario)
        away_m = np.linalg.norm(self.place_m(np.arange(self.num_places))[:, None] - ue_m[:, None], axis=-1)
        loss_db = mean_path_loss_db(away_m, self.height_m, radio.carrier_hz, SURROUNDINGS[self.surroundings])
        snr = dbm_to_watt(self.tx_power_dbm) / (radio.noise_w_hz * self.bandwidth_hz) * 10 ** (-loss_db / 10)
        with np.errstate(divide="ignore"):
            return (self.adequate_bit_s / (radio.elements * radio.curve.at(snr))).astype(np.float32)

    def place_m(self, place: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return x and y of places of the grid, [..., 2]."""
        y, x = np.divmod(place, self.side)
        return (np.stack([x, y], -1) + 0.5) * self.spacing_m

    def offer(
        self, place: NDArray[np.int64], need_hz: NDArray[np.float32], server: NDArray[np.int64],
        rate: NDArray[np.float64],
    ) -> NDArray[np.int64]:  # fmt: skip
        """Write who is served by UAVs in these places, [batch, num_uavs], and how fast; return how many by each."""
        count = np.empty(place.shape, np.int64)
        kernels.offer(place, need_hz, self.bandwidth_hz, self.adequate_bit_s, self.desired_bit_s, server, count, rate)
        return count

    def earned(self, count: NDArray[np.int64], rate: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Return the terms for ``count`` UEs served at ``rate`` each, any shape."""
        content = (1 + zone_of_tolerance(rate, self.adequate_bit_s, self.desired_bit_s)) / 2
        return {"qos": count * content / self.ues, "offloaded": count * rate * self.step_s / 8e6}

    def energy_kj(self, moves: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return what hovering or flying on takes in a step."""
        hover_w, fly_w = propulsion_power_w(0.0), propulsion_power_w(self.spacing_m / self.step_s)
        return np.where(moves, fly_w, hover_w) * self.step_s / 1e3

    def advance(self, state: UavState, action: NDArray[Any]) -> Outcome:
        """Fly, and serve from there."""
        before = state.place
        state.place = self.moved(before, np.asarray(action, np.int64).reshape(before.shape))
        count = self.offer(state.place, state.need_hz, state.server, state.rate)
        terms = {**self.earned(count, state.rate), "energy": self.energy_kj(state.place != before)}
        return Outcome(terms, np.zeros(len(before), bool), {"served": (state.server >= 0).sum(axis=1)})

    def moved(self, place: NDArray[np.int64], action: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places after moves; whoever would leave the ground hovers."""
        return ways(self.side)[0][place, action]

    def values(self, state: UavState) -> dict[str, NDArray[np.float64]]:
        """Return what each UAV sees, in its own coordinates."""
        batch, here_m = len(state.key), self.place_m(state.place)
        others = np.array([[u for u in range(self.uavs) if u != own] for own in range(self.uavs)], np.int64)
        others_m = here_m[:, others.reshape(self.uavs, -1)] - here_m[:, :, None]
        ues_m = state.ue_m[:, None] - here_m[:, :, None]
        own = state.server[:, None] == np.arange(self.uavs)[:, None]
        return {
            "place": here_m,
            "others": others_m.reshape(batch, self.uavs, -1),
            "ues": ues_m.reshape(batch, self.uavs, -1),
            "served": np.where(own, 1.0, np.where(state.server[:, None] >= 0, 0.0, -1.0)),
        }

    def mask(self, state: UavState) -> NDArray[np.bool_]:
        """Return which moves stay above the ground."""
        return ways(self.side)[1][state.place].reshape(len(state.place), -1)

    def finite(self) -> FiniteProblem:
        """Return the problem of a single UAV over fixed UEs: its states are the places, its rewards those of steps."""
        from agents.tabular import FiniteProblem

        assert self.uavs == 1, "several UAVs are no finite problem of this size; set uavs: 1"
        assert self.users == "fixed", "UEs that change are no finite problem; set users: fixed"
        following, inside = ways(self.side)
        state = self.start(np.zeros(following.size, np.uint64))
        state.place[:, 0] = np.repeat(np.arange(self.num_places), 5)
        terms = self.advance(state, np.tile(np.arange(5), self.num_places)[:, None]).terms
        reward = self.reward(terms).reshape(following.shape)
        return FiniteProblem(following, np.where(inside, reward, -np.inf))

    def rules(self) -> dict[str, Rule]:
        """Return the baselines."""
        from agents.envs.uav_offload_rules import rules

        return rules(self)

    def draw(self, state: UavState, replica: int, figure: Figure) -> None:
        """Draw UEs, UAVs and who serves whom, and what each UAV delivers."""
        from agents.envs.uav_offload_picture import draw

        draw(self, state, replica, figure)
