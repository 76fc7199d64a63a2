"""Rounds of split learning against the package's own costs, the network, and every joint choice tried."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from agents.batched import Replicas
from agents.envs.split_point import SplitPoint
from agents.splitting.choices import QUANTISERS, glyph_menu
from agents.splitting.rules import actions, alone, fitting, weights
from agents.splitting.split_kernels import best_joint, joint_costs
from ran.learning.adaptation.menu import Situation
from ran.nodes import DeviceShare


def replicas_of(environment, batch=4, seed=0):
    replicas = Replicas(environment, batch)
    replicas.restart(np.arange(seed, seed + batch))
    return replicas


def some_choice(environment, state, rng):
    """Return flat choices that fit, [batch, num_ues]."""
    drawn = np.where(fitting(environment, state), rng.random((*state.there.shape, 27)), -1)
    return np.where(state.there, drawn.argmax(axis=2), 0)


def test_costs_are_those_of_the_menu():
    """Oracle: ``Menu.cost``, UE by UE, at the rates and the server speed that demand leaves to it."""
    environment, rng = SplitPoint(), np.random.default_rng(1)
    replicas, menu = replicas_of(environment, 6), environment.menu()
    state, table = replicas.state, environment.table()
    (up, down), there, server = environment.rates(state), state.there.copy(), state.server.copy()
    device, flat = state.device.copy(), some_choice(environment, state, rng)
    terms = replicas.step(actions(environment, state, flat))[3]["terms"]
    for b in range(6):
        ues, joules = np.flatnonzero(there[b]), 0.0
        airtime = table[2, flat[b, ues]] / up[b, ues]
        share = airtime / airtime.sum()
        down_share = (table[2, flat[b, ues]] / down[b, ues]) / (table[2, flat[b, ues]] / down[b, ues]).sum()
        server_share = table[1, flat[b, ues]] / table[1, flat[b, ues]].sum()
        for each, k in enumerate(ues):
            work = replace(
                menu.work, server_flops_per_s=server[b] * server_share[each],
                transmit_power_w=menu.work.transmit_power_w * share[each],
            )  # fmt: skip
            kind = environment.devices[device[b, k]]
            now = Situation(kind, up[b, k] * share[each], down[b, k] * down_share[each], 1.0)
            cost = replace(menu, work=work).cost(tuple(np.unravel_index(flat[b, k], menu.sizes)), now)
            assert state.time_s[b, k] == pytest.approx(cost.time_s, rel=1e-9)
            assert state.energy_j[b, k] == pytest.approx(cost.energy_j, rel=1e-9)
            joules += cost.energy_j
        assert terms["energy"][b] == pytest.approx(joules, rel=1e-9)
        assert terms["latency"][b] == pytest.approx(min(state.time_s[b].max(), environment.round_deadline_s))


def test_alone_is_the_menu_at_equal_shares():
    """Oracle: ``Menu.cost`` with an n-th of the band, the power and the server, for every choice of some UEs."""
    environment = SplitPoint()
    state, menu = replicas_of(environment, 3).state, environment.menu()
    times, joules = alone(environment, state)
    up, down = environment.rates(state)
    for b, k in ((0, 0), (1, 1), (2, 2)):
        count = int(state.there[b].sum())
        work = replace(
            menu.work, server_flops_per_s=state.server[b] / count, transmit_power_w=menu.work.transmit_power_w / count
        )
        now = Situation(environment.devices[state.device[b, k]], up[b, k] / count, down[b, k] / count, 1.0)
        for flat, place in enumerate(menu.places()):
            cost = replace(menu, work=work).cost(place, now)
            assert times[b, k, flat] == pytest.approx(cost.time_s, rel=1e-9)
            assert joules[b, k, flat] == pytest.approx(cost.energy_j, rel=1e-9)


@pytest.mark.parametrize(("ues", "deadline_s"), [(2, 5.0), (3, 5.0), (3, 0.3)])
def test_the_oracle_is_every_joint_choice_tried(ues, deadline_s):
    """Oracle: brute force over all 27^K joint choices, through the environment's own step."""
    environment = SplitPoint(ues=ues, least_ues=ues, round_deadline_s=deadline_s)
    every = np.array(list(product(range(27), repeat=ues)))
    for seed in range(3):
        replicas = replicas_of(environment, 1, seed)
        best = float(replicas.step(environment.rules()["oracle"](environment, replicas.state, None))[0][0])
        tries = Replicas(environment, len(every))
        tries.restart(np.full(len(every), seed))
        ok = np.take_along_axis(fitting(environment, tries.state), every[..., None], 2)[..., 0].all(axis=1)
        reward = tries.step(actions(environment, tries.state, every))[0]
        assert best == pytest.approx(reward[ok].max(), rel=1e-12)


def test_the_search_leaves_out_nothing_that_matters():
    """Oracle: brute force, on made-up tables without any order, where bounds are at their weakest."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        ues, options = 3, 6
        table, quality = rng.uniform(1e5, 1e7, (3, options)), rng.random(options)
        up, down, speed = 10 ** rng.uniform(5, 8, (3, 1, ues))
        joule, radiated, circuit, receive = 10 ** rng.uniform(-10, -8, (1, ues)), *rng.uniform(0.1, 1, (3, 1, ues))
        fits, weight = rng.random((ues, options)) < 0.8, np.array([100.0, -rng.uniform(0, 9), -rng.uniform(0, 9)])
        fits[:, 0], server, work, deadline_s = True, 10 ** rng.uniform(7, 9), (2.0, 4.0), 10 ** rng.uniform(-1, 2)
        found = np.zeros(ues, np.int64)
        own = (up, down, speed), (joule, radiated, circuit, receive)
        record = best_joint(
            fits,
            quality,
            table,
            *(x[0] for x in own[0]),
            server,
            *(x[0] for x in own[1]),
            work,
            deadline_s,
            weight,
            found,
        )
        every = np.array([each for each in product(range(options), repeat=ues) if fits[np.arange(ues), each].all()])
        many = [[np.repeat(x, len(every), axis=0) for x in part] for part in own]
        time, energy = np.zeros((2, len(every), ues))
        joint_costs(
            every,
            np.ones(every.shape, bool),
            table,
            *many[0],
            np.full(len(every), server),
            *many[1],
            work,
            time,
            energy,
        )
        reward = weight[0] * (quality[every] * (time <= deadline_s)).sum(axis=1) / ues
        reward += weight[1] * np.minimum(time.max(axis=1), deadline_s) + weight[2] * energy.sum(axis=1)
        assert record == pytest.approx(reward.max(), rel=1e-12)
        assert reward[(every == found).all(axis=1)][0] == pytest.approx(record, rel=1e-12)


def test_the_mask_is_memory():
    """Oracle: by hand: 1 MB holds the first cut alone; UEs that are not there have one choice of each kind."""
    small = DeviceShare.model_validate({"device_class": "sensor", "memory_bytes": 1e6})
    environment = SplitPoint(devices=(small,))
    state = replicas_of(environment, 8).state
    mask = environment.mask(state)
    cuts, others = mask[:, :15].reshape(8, 5, 3), mask[:, 15:].reshape(8, 10, 3)
    np.testing.assert_array_equal(cuts, np.broadcast_to([True, False, False], cuts.shape))
    there = np.concatenate([state.there, state.there], axis=1)
    assert others[there].all()
    np.testing.assert_array_equal(others[~there].sum(axis=-1), 1)
    tiny = DeviceShare.model_validate({"device_class": "sensor", "memory_bytes": 1e5})
    assert "no cut fits a sensor of 0.1 MB, the least takes 0.75 MB" in SplitPoint(devices=(tiny,)).problems()[0]


def test_the_menu_is_the_real_network():
    """Oracle: the network: 17 x 64 values cross; parts add up to its FLOPs; a payload has the bits that are counted."""
    from ran.learning.flops import forward_flops
    from scenarios.build import build_world
    from scenarios.load import load
    from scenarios.run import build_learner

    menu = glyph_menu(10, 16, 4, 6e9, 0.2)
    scenario = load("quickstart")
    learner = build_learner(scenario, build_world(scenario))
    whole = forward_flops(learner.network.module, learner.sample())
    for cut in menu.cuts:
        assert cut.ue_flops + cut.server_flops == whole
        assert cut.values == 17 * 64
    memory = [cut.memory_bytes for cut in menu.cuts]
    assert memory == sorted(memory)
    code = {"code": np.random.default_rng(0).normal(size=(17, 32)).astype(np.float32)}
    for compressor, bits in QUANTISERS:
        payload, _ = compressor.compress(code, {}, np.random.default_rng(0))
        assert 8 * len(payload) / (17 * 32) == pytest.approx(bits, rel=0.05)


def test_what_is_late_is_worth_nothing():
    """Oracle: by hand: with no time at all quality is 0 and latency the deadline."""
    environment = SplitPoint(round_deadline_s=1e-6)
    replicas = replicas_of(environment)
    state = replicas.state
    terms = replicas.step(actions(environment, state, np.zeros(state.there.shape, np.int64)))[3]["terms"]
    np.testing.assert_array_equal(terms["quality"], 0.0)
    np.testing.assert_array_equal(terms["latency"], 1e-6)


def test_rules_choose_what_they_say():
    """Oracle: the tables: the highest quality, or the fewest bits, of the choices that fit."""
    environment = SplitPoint()
    state = replicas_of(environment, 16).state
    quality, bits, fits = environment.menu().quality.ravel(), environment.table()[2], fitting(environment, state)
    for name, wanted in (("max_quality", quality), ("max_rate", -bits)):
        action = environment.rules()[name](environment, state, None).reshape(-1, 3, 5)
        flat = np.ravel_multi_index(tuple(np.moveaxis(action, 1, 0)), (3, 3, 3))
        best = np.where(fits, wanted, -np.inf).max(axis=2)
        np.testing.assert_array_equal(wanted[flat][state.there], best[state.there])
    assert weights(environment).tolist() == [100.0, -40.0, -5.0]
