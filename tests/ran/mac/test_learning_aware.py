"""Oracles: the fluid optimum of the round's end, hand-made deadlines and ages, and other schedulers on the radio."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.optimize import linprog

from ran.mac import SCHEDULERS
from ran.mac.learning_aware import LearningAware
from ran.slot import run_slot
from ran.state import LinkState
from tests.ran.mac.observations import bits_of, faded_rates, idle_bearers, one_cell
from tests.ran.worlds import SmallWorld, small_world


def earliest_end(rate_bits, update_bits):
    """Return the fewest slots for all, fluid: min T so that sum_g y_ug r_ug >= b_u and sum_u y_ug <= T."""
    ues, groups = rate_bits.shape
    work = np.hstack([-np.kron(np.eye(ues), np.ones(groups)) * rate_bits.ravel(), np.zeros((ues, 1))])
    room = np.hstack([np.tile(np.eye(groups), ues), -np.ones((groups, 1))])
    limit = np.r_[-np.asarray(update_bits, float), np.zeros(groups)]
    found = linprog(np.r_[np.zeros(ues * groups), 1.0], np.vstack([work, room]), limit)
    assert found.success
    return found.fun


def serve_updates(scheduler, rate_bits, update_bytes):
    """Return in which slot each update was complete, [num_ues]; what is granted arrives."""
    ues = len(rate_bits)
    bearer = idle_bearers(1, ues)
    bearer["enqueued"], bearer["head_s"] = update_bytes, 0.0
    state, done, served = scheduler.start(1, 1, ues), np.zeros(ues, int), np.zeros(ues)
    for slot in range(1, 10_000):
        left = bearer["enqueued"][0] - bearer["delivered"][0]
        seen = one_cell(rate_bits, backlog_bytes=left, served_bits=served, bearer=bearer, now_s=slot * 5e-4)
        owner, state = scheduler.decide(seen, state)
        served = np.minimum(bits_of(owner[0, 0], rate_bits), 8 * left)
        bearer["delivered"][0] += (served / 8).astype(int)
        finished = bearer["enqueued"][0] - bearer["delivered"][0] == 0
        done[finished & (done == 0)] = slot
        if finished.all():
            return done
    raise AssertionError("updates never end")


def test_all_updates_arrive_together_and_near_the_earliest_end():
    """Different channels and sizes. Catches: sizes forgotten, the emptiest first, shares that ignore the channel."""
    ratios = []
    for seed in range(6):
        rate = faded_rates(seed, ues=6, groups=13)
        sizes = np.random.default_rng(seed).integers(50_000, 400_000, 6)
        done = serve_updates(LearningAware(), rate, sizes)
        assert done.min() > 0.97 * done.max()
        ratios.append(done.max() / earliest_end(rate, 8 * sizes))
    assert min(ratios) > 1.0
    assert np.mean(ratios) < 1.06


def long_run_bits(bearer, now_s):
    """Return each UE's mean bits per slot where its demand never changes, as fractions of the sum, [num_ues].

    The window is long enough for a group of 500 bits to be small in it: shares come in whole groups.
    """
    ues = bearer.shape[1]
    rate, scheduler = np.full((ues, 12), 500.0), LearningAware(window_slots=100)
    state, served, total = scheduler.start(1, 1, ues), np.zeros(ues), np.zeros(ues)
    for _ in range(3000):
        owner, state = scheduler.decide(one_cell(rate, served_bits=served, bearer=bearer, now_s=now_s), state)
        served = bits_of(owner[0, 0], rate)
        total += served
    return total / total.sum()


def test_rates_are_in_proportion_to_what_is_needed_in_time():
    """Hand case: 2 and 1 MB until one deadline, 1 MB until one of half the time, 1 MB without: in 10 s by default."""
    bearer = idle_bearers(1, 4)
    bearer["enqueued"], bearer["delivered"] = (
        [[5_000_000, 1_500_000, 1_000_000, 1_000_000]],
        [[3_000_000, 500_000, 0, 0]],
    )
    bearer["deadline_s"][0] = [105.0, 105.0, 102.5, np.inf]
    np.testing.assert_allclose(long_run_bits(bearer, 100.0), np.array([4, 2, 4, 1]) / 11, rtol=0.02)


def test_old_updates_get_more():
    """Hand case: ages 0 s, 10 s and 30 s, age scale 10 s, no deadlines: rates as 1 to 2 to 4."""
    bearer = idle_bearers(1, 3)
    bearer["enqueued"], bearer["head_s"] = 1_000_000, [[100.0, 90.0, 70.0]]
    np.testing.assert_allclose(long_run_bits(bearer, 100.0), np.array([1, 2, 4]) / 7, rtol=0.02)


def test_a_missed_deadline_is_urgent_but_finite():
    """Hand case: past deadlines count as 1 ms, so sizes still decide among them."""
    bearer = idle_bearers(1, 2)
    bearer["enqueued"], bearer["deadline_s"] = [[3000, 1000]], [[99.0, 50.0]]
    demand = LearningAware().demand(one_cell(np.ones((2, 1)), bearer=bearer, now_s=100.0))
    np.testing.assert_allclose(demand, [[3e6, 1e6]])


def last_slots(small: SmallWorld, name: str, update_bytes) -> np.ndarray:
    """Return after which slot every replica's last update had come up by the named scheduler, [batch]."""
    plan = dataclasses.replace(
        small.plan, uplink=dataclasses.replace(small.plan.uplink, schedulers=(SCHEDULERS.get(name)(),))
    )
    state = LinkState.start(plan.uplink, small.world.batch, small.world.num_ues)
    state.bearer["enqueued"][..., 0], state.bearer["head_s"] = update_bytes, 0.0
    done = np.zeros(small.world.batch, int)
    for slot in range(20_000):
        run_slot(plan, slot, small.air, None, state)
        missing = (state.bearer["delivered"] < state.bearer["enqueued"]).any(axis=(1, 2))
        done[missing] = slot + 1
        if not missing.any():
            return done
    raise AssertionError("updates never end")


@pytest.mark.parametrize("sizes", ["equal", "mixed"])
def test_a_round_over_a_power_limited_uplink_ends_earlier(sizes):
    """Oracle: PF and round robin on the same ten worlds of eight UEs at 95 to 130 dB, on average over worlds."""
    small = small_world(ues_per_cell=8, seeds=tuple(range(10)), loss_db=(110.0, 145.0), pattern="DSUUU")
    rng = np.random.default_rng(1)
    update_bytes = 100_000 if sizes == "equal" else rng.integers(25_000, 200_000, (10, 8))
    last = {
        name: last_slots(small, name, update_bytes) for name in ("learning_aware", "proportional_fair", "round_robin")
    }
    assert last["learning_aware"].mean() < 0.95 * last["proportional_fair"].mean()
    assert last["learning_aware"].mean() < 0.85 * last["round_robin"].mean()
