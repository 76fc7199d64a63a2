"""Handover: parity with mobile-env, shares and costs by hand, the association's optimum by exhaustive search."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from agents.batched import BatchedEnv, made
from agents.draws import uniforms
from agents.draws_kernels import uniform
from agents.envs import handover
from agents.envs.handover_rules import UtilityBound, assign
from agents.fields import pack
from agents.qos import zone_of_tolerance
from agents.radio import RateCurve
from agents.radio_map import RadioMap, carrier_plan, radio_map
from channel.errors import UserError
from channel.units import dbm_to_watt
from scenarios.build import build_world
from scenarios.load import load
from scenarios.map import coverage

SITES_M = np.array([(95, 240), (100, 140), (105, 60), (35, 200), (40, 95), (165, 220), (160, 110)], float)
MEDIUM = {"carriers": 7, "utility_unit_bit_s": 1.0, "interruption_s": 0.0, "speed_m_s": 0.0, "spacing_m": 1.0}
"""mobile-env's medium: no interference, utilities of bit/s, changes for nothing; our UEs stand for the comparison."""


def mobile_env_snr(distance_m: np.ndarray) -> np.ndarray:
    """Okumura and Hata as mobile-env 2.1 evaluates it: 2500 MHz, 50 m, 1.5 m, and metres for kilometres; 30 dBm."""
    for_ue = 0.8 + (1.1 * np.log10(2500) - 0.7) * 1.5 - 1.56 * np.log10(2500)
    loss_db = 69.55 - for_ue + 26.16 * np.log10(2500) - 13.82 * np.log10(50)
    loss_db = loss_db + (44.9 - 6.55 * np.log10(50)) * np.log10(distance_m)
    return 10 ** ((30 - loss_db) / 10) / 1e-9


@pytest.fixture
def medium(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our environment with mobile-env's SNR on whole metres, Shannon's rate over 9 MHz and its SNR threshold."""
    grid_m = np.stack(np.meshgrid(np.arange(201), np.arange(301)), -1)
    distance_m = np.linalg.norm(grid_m[:, :, None] - SITES_M, axis=-1)
    snr = mobile_env_snr(np.maximum(distance_m, 0.5)).astype(np.float32)[None]
    heard = RadioMap(SITES_M, np.zeros(2), np.ones(2), snr, 9e6)
    snr_db = np.arange(-120.0, 20.0, 0.001)
    linear = 10 ** (snr_db / 10)
    curve = RateCurve(-120.0, 0.001, np.where(linear > 2e-8, np.log1p(linear) / np.log(2), 0.0))
    monkeypatch.setattr(handover, "air", lambda *_: handover.Air(heard, carrier_plan(SITES_M, 7), curve))


def frozen() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return positions in whole metres, cells within reach, and distances to all."""
    rng = np.random.default_rng(3)
    position_m = np.column_stack([rng.integers(0, 200, 15), rng.integers(0, 300, 15)]).astype(float)
    distance_m = np.linalg.norm(position_m[:, None] - SITES_M, axis=-1)
    near = np.argsort(distance_m, axis=1)
    return position_m, near[np.arange(15), rng.integers(0, 2, 15)], distance_m


def stepped(share: str) -> Any:
    """Return our state after one step in which every UE asked for its cell of the frozen layout."""
    position_m, cells, _ = frozen()
    environment = BatchedEnv("handover", 1, share=share, **MEDIUM)
    environment.reset(seed=0)
    state = environment.state
    state.position_m[0] = state.waypoint_m[0] = position_m
    environment.step(np.zeros((1, 15), np.int64))
    environment.step(cells[None] + 1)
    return state


@pytest.mark.usefixtures("medium")
@pytest.mark.parametrize("share", ["resource_fair", "rate_fair"])
def test_numbers_of_mobile_env_by_its_formulas(share: str) -> None:
    """Oracle: mobile-env's formulas, evaluated here; its rate-fair scheduler cannot run (it returns one number)."""
    _, cells, distance_m = frozen()
    state = stepped(share)
    snr = mobile_env_snr(distance_m)
    np.testing.assert_allclose(10 ** (state.sinr_db[0] / 10.0), snr, rtol=1e-5)
    own = snr[np.arange(15), cells]
    alone = np.where(own > 2e-8, 9e6 * np.log1p(own) / np.log(2), 0.0)
    rate = np.zeros(15)
    for cell in range(7):
        members = (cells == cell) & (alone > 0)
        equal = 1 / np.sum(1 / alone[members]) if members.any() else 0.0
        rate[members] = alone[members] / members.sum() if share == "resource_fair" else equal
    np.testing.assert_allclose(state.rate[0], rate, rtol=3e-4)
    assert (rate > 0).sum() >= 5
    utility = np.where(rate > 0, np.clip(10 * np.log10(np.maximum(rate, 1e-9)), -20, 20), -20) / 20
    np.testing.assert_allclose(state.utility[0], utility, atol=1e-4)


@pytest.mark.usefixtures("medium")
def test_numbers_of_mobile_env_itself() -> None:
    """Oracle: mobile-env's own channel, scheduler and utility on the same layout, where it is installed.

    Its UEs hold only connections within reach; ours may ask for any cell and then get nothing.
    """
    pytest.importorskip("mobile_env")
    import gymnasium

    peer = gymnasium.make("mobile-medium-central-v0").unwrapped
    peer.reset(seed=0)
    position_m, cells, _ = frozen()
    for user, place_m, cell in zip(peer.users.values(), position_m, cells, strict=True):
        user.x, user.y = place_m
        peer.apply_action(int(cell) + 1, user)
    rates: dict[Any, float] = {}
    for station in peer.stations.values():
        rates.update(peer.station_allocation(station))
    peer.datarates = rates
    total = peer.macro_datarates(rates)
    state = stepped("resource_fair")
    for place, user in enumerate(peer.users.values()):
        snr = [peer.channel.snr(station, user) for station in peer.stations.values()]
        np.testing.assert_allclose(10 ** (state.sinr_db[0, place] / 10.0), snr, rtol=1e-5)
        np.testing.assert_allclose(state.rate[0, place], total[user], rtol=3e-4)
        utility = peer.utility.scale(peer.utility.utility(total[user]))
        np.testing.assert_allclose(state.utility[0, place], utility, atol=1e-4)


def test_map_is_the_channel() -> None:
    """Oracle: the channel model asked by ``coverage``, transmit power and noise of the 52 blocks by hand."""
    heard = radio_map("seven_cells", (0.0, 0.0, 200.0, 300.0), 50.0)
    scenario = load("seven_cells")
    gain = coverage(scenario, 50.0, ground_m=(0.0, 0.0, 200.0, 300.0)).path_gain
    noise_w = build_world(scenario).geometry.ue_noise_psd_w_hz * 52 * 180e3
    known = ~np.isnan(gain).any(axis=0)
    expected = np.moveaxis(gain, 0, -1)[known] * dbm_to_watt(30.0) / noise_w
    np.testing.assert_allclose(heard.snr[0][known], expected, rtol=1e-6)
    assert np.isfinite(heard.snr).all()
    assert heard.resource_elements_s == 52 * (12 * 12 - 12) * 1000
    np.testing.assert_allclose(heard.size_m, [200, 300])


def test_a_step_by_hand() -> None:
    """Oracle: SINR between grid points, shares of two UEs and the interruption of one, by hand."""
    environment = BatchedEnv("handover", 1, ues=2, least_ues=2, carriers=1, speed_m_s=0.0)
    environment.reset(seed=0)
    state, around = environment.state, environment.environment.air()
    state.position_m[0] = state.waypoint_m[0] = [[42.5, 91.0], [47.5, 101.0]]
    environment.step(np.zeros((1, 2), np.int64))
    snr = around.map.snr[0].astype(float)
    corners = 0.9 * (0.75 * snr[9, 4] + 0.25 * snr[9, 5]) + 0.1 * (0.75 * snr[10, 4] + 0.25 * snr[10, 5])
    sinr = corners / (corners.sum() - corners + 1)
    np.testing.assert_allclose(state.sinr_db[0, 0], 10 * np.log10(sinr), atol=1e-4)
    target = int(sinr.argmax())
    state.cell[0] = [target, (target + 1) % 7]
    alone = environment.environment.full_rate(state)[0, :, target]
    assert (alone > 0).all()
    assert alone[0] == around.map.resource_elements_s * around.curve.at(sinr)[target]
    _, reward, _, _, info = environment.step(np.array([[0, target + 1]]))
    np.testing.assert_allclose(state.rate[0], alone / 2 * [1, 0.95])
    np.testing.assert_allclose(state.utility[0], np.log10(alone / 2 * [1, 0.95] / 1e6) / 2)
    np.testing.assert_array_equal(info["terms"]["handover"][0], [0, 1])
    np.testing.assert_allclose(reward[0], state.utility[0] - [0, 0.02])
    np.testing.assert_array_equal(state.load[0], 2 * (np.arange(7) == target))


def test_what_is_seen_is_what_the_fields_say() -> None:
    """Oracle: ``agents.fields.pack`` of the values in their units; UEs that are not there see and do nothing."""
    environment = BatchedEnv("handover", 16, least_ues=1)
    environment.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(3):
        seen, reward, *_ = environment.step(rng.integers(0, 8, (16, 15)))
        state, problem = environment.state, environment.environment
        np.testing.assert_allclose(seen.reshape(16, 15, -1), pack(problem.observed(), problem.values(state)), atol=1e-6)
        away = ~state.there
        assert away.any()
        assert (reward[away] == 0).all()
        assert (state.load.sum(axis=1) == state.there.sum(axis=1)).all()
        mask = problem.mask(state).reshape(16, 15, 8)
        np.testing.assert_array_equal(mask[..., 1:], problem.full_rate(state) > 0)
        assert mask[..., 0].all()


def test_ues_walk_at_their_speed_on_the_ground() -> None:
    """Property: no step is longer than the speed says, waypoints are reached exactly, nobody leaves the ground."""
    environment = BatchedEnv("handover", 8, speed_m_s=30.0)
    environment.reset(seed=0)
    state, reached = environment.state, 0
    for _ in range(50):
        before_m, goal_m = state.position_m.copy(), state.waypoint_m.copy()
        environment.step(np.zeros((8, 15), np.int64))
        moved_m = np.linalg.norm(state.position_m - before_m, axis=-1)
        arrived = (state.position_m == goal_m).all(axis=-1)
        np.testing.assert_allclose(moved_m[~arrived], 30.0)
        assert (moved_m <= 30 + 1e-9).all()
        assert (arrived == (state.waypoint_m != goal_m).any(axis=-1)).all()
        reached += int(arrived.sum())
        assert (state.position_m >= 0).all()
        assert (state.position_m <= [200, 300]).all()
    assert reached > 100


def test_draws_are_the_same_in_compiled_loops() -> None:
    """Oracle: ``agents.draws.uniforms``, to the last bit."""
    keys = np.array([1, 2**63 + 5, 2**64 - 1], np.uint64)
    for draw in (0, 7, 1 << 20):
        expected = uniforms(keys, draw, 5)
        assert [[uniform(key, draw, place) for place in range(5)] for key in keys] == expected.tolist()


def best_of_all(value: np.ndarray, decade: float) -> float:
    """Return the largest sum over all associations, by trying them."""
    num_ues, num_cells = value.shape
    most = -np.inf
    for cells in product(range(num_cells), repeat=num_ues):
        count = np.bincount(cells, minlength=num_cells)
        busy = count[count > 0]
        most = max(most, value[np.arange(num_ues), cells].sum() - decade * np.sum(busy * np.log10(busy)))
    return most


def test_association_is_the_best_there_is() -> None:
    """Oracle: exhaustive search over 3 cells and 5 UEs."""
    rng = np.random.default_rng(0)
    for _ in range(20):
        value = rng.normal(0, 6, (5, 3))
        cells, total = assign(value, 10.0, -1e3)
        assert total == pytest.approx(best_of_all(value, 10.0))
        busy = np.bincount(cells, minlength=3)
        busy = busy[busy > 0]
        assert total == pytest.approx(value[np.arange(5), cells].sum() - 10 * np.sum(busy * np.log10(busy)))


@pytest.mark.parametrize("share", ["resource_fair", "rate_fair"])
@pytest.mark.parametrize("unit_bit_s", [1e6, 30e6])
def test_no_association_beats_the_bound(share: str, unit_bit_s: float) -> None:
    """Oracle: all associations of 4 UEs in one step, with limits that cut utilities off at either end."""
    limits = {"utility_limit": 6.0, "utility_unit_bit_s": unit_bit_s, "interruption_s": 0.0}
    problem = made("handover", {"ues": 4, "least_ues": 3, "share": share, "carriers": 1, **limits})
    state = problem.start(np.arange(6, dtype=np.uint64) * np.uint64(77))
    bound = UtilityBound().most(problem, state)["utility"].mean(axis=1)
    best, ends = np.full(6, -np.inf), set[float]()
    for cells in product(range(7), repeat=4):
        fresh = state.replicas(np.arange(6))
        utility = problem.advance(fresh, np.tile(np.array(cells) + 1, (6, 1))).terms["utility"]
        best = np.maximum(best, utility.mean(axis=1))
        ends |= set(utility[np.abs(utility) == 1.0].tolist())
    assert ends == ({-1.0, 1.0} if unit_bit_s == 1e6 else {-1.0})
    assert (best <= bound + 1e-9).all()
    assert (bound - best < 0.5).all()


def test_zone_of_tolerance() -> None:
    """Oracle: hand-computed points; continuous, growing, and negative exactly below what is adequate."""
    rate = np.linspace(0, 8e6, 801)
    utility = zone_of_tolerance(rate, 1e6, 5e6)
    np.testing.assert_allclose(np.interp([0, 0.25e6, 1e6, 2e6, 5e6, 7e6], rate, utility), [-1, -0.75, 0, 0.25, 1, 1])
    assert (np.diff(utility) >= 0).all()
    assert np.abs(np.diff(utility)).max() < 0.011
    np.testing.assert_array_equal(utility < 0, rate < 1e6)


def test_carriers_are_spread() -> None:
    """Property: as many carriers as cells are all used; with two, neighbours on a line take turns."""
    assert sorted(carrier_plan(SITES_M, 7)) == list(range(7))
    line_m = np.column_stack([np.arange(6) * 100.0, np.zeros(6)])
    assert carrier_plan(line_m, 2).tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"least_ues": 16}, "lower it"), ({"adequate_bit_s": 5e6}, "desired_bit_s"),
        ({"interruption_s": 2.0}, "step_s"), ({"ground_m": (0, 0, 0, 5)}, "turn them round"),
    ],
)  # fmt: skip
def test_bad_parameters_are_refused(wrong: dict[str, Any], word: str) -> None:
    """Property: one sentence that names the remedy."""
    with pytest.raises(UserError, match=word):
        made("handover", wrong)
