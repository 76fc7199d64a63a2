"""Oracles: the simulations' own ``Network.step``, capacities by hand, and bounds."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from agents.batched import BatchedEnv, Replicas, made
from agents.driven import Driven, world_of
from agents.envs.slot_scheduling import Bound, Scheduled
from channel.errors import UserError
from ran.mac import SCHEDULERS
from ran.mac.observed import SlotLayout
from ran.mac.policy import Policy
from ran.network import Network
from ran.payload_bearers import begin
from ran.policy_file import save_actor

SMALL = {"crowd": 12, "steps": 40}
FLOWS = ("traffic.flows=[{name: ftp3, direction: uplink, ues: [0, 1], file_bytes: 2e3, files_per_s: 200}]",)
SEEDS = np.array([3, 4])


def driven_by(rule: object, **parameters: object) -> Replicas:
    """Return replicas after an episode under a rule."""
    replicas = Replicas(made("slot_scheduling", SMALL | parameters), len(SEEDS))
    replicas.restart(SEEDS)
    environment = replicas.environment
    for _ in range(environment.steps):
        replicas.step(rule(environment, replicas.state, environment.observe(replicas.state)))
    return replicas


def simulated(replicas: Replicas, payload: np.ndarray, scheduler: object) -> tuple[Network, object]:
    """Return the same world under the simulations' own scheduler, up to the slot that ``replicas`` has reached."""
    driven, environment = replicas.state.driven, replicas.environment
    world = driven.network.world
    own = {name: part.model_copy(update={"scheduler": None}) for name, part in world.slices.items()}
    network = Network(replace(world, scheduler=scheduler, slices=own))
    state = network.start()
    begin(state.link(environment.direction), np.ones(payload.shape, bool), payload, 0.0, environment.deadline_s)
    while state.slot < driven.state.slot:
        network.step(state, directions=(environment.direction,))
    return network, state


@pytest.mark.parametrize("direction", ["uplink", "downlink"])
@pytest.mark.parametrize("name", ["proportional_fair", "round_robin", "learning_aware"])
def test_a_scheduler_by_its_actions_delivers_what_it_does_in_a_simulation(name: str, direction: str) -> None:
    """Oracle: ``Network.step`` with that scheduler, in two slices; every delivered byte and every counter alike."""
    flows = (FLOWS[0].replace("uplink", direction),)
    replicas = driven_by(Scheduled(name), direction=direction, overrides=flows)
    _, state = simulated(replicas, replicas.state.payload, SCHEDULERS.get(name)())
    here, there = replicas.state.driven.state.link(direction), state.link(direction)
    assert here.bearer["delivered"].sum() > 0
    np.testing.assert_array_equal(here.bearer["delivered"], there.bearer["delivered"])
    np.testing.assert_array_equal(here.tally, there.tally)


def saved(path: Path, environment: object, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Write an actor with random weights for an environment."""
    rng = np.random.default_rng(seed)
    sizes = [environment.observation_size, 16, sum(environment.options())]
    weights = [rng.normal(size=(after, before)) for before, after in pairwise(sizes)]
    biases = [rng.normal(size=after) for after in sizes[1:]]
    save_actor(path, weights, biases, "tanh", {"environment": {"name": "slot_scheduling"}, "head": "logits"})
    return weights, biases


@pytest.mark.parametrize("parts", [0, 3])
def test_a_saved_policy_is_a_scheduler(tmp_path: Path, parts: int) -> None:
    """Oracle: the same network of weights applied to the environment's observation, masked, likeliest choice."""
    path = tmp_path / "policy.safetensors"
    environment = made("slot_scheduling", SMALL | {"parts": parts, "overrides": FLOWS})
    weights, biases = ([each.astype(np.float32) for each in part] for part in saved(path, environment, 0))

    def rule(environment: object, state: object, seen: np.ndarray) -> np.ndarray:
        logits = np.tanh(seen @ weights[0].T + biases[0]) @ weights[1].T + biases[1]
        masked = np.where(environment.mask(state), logits, -np.inf)
        return masked.reshape(len(seen), -1, environment.layout.ues + 1).argmax(axis=2)

    replicas = driven_by(rule, parts=parts, overrides=FLOWS)
    _, state = simulated(replicas, replicas.state.payload, Policy(path=str(path)))
    here, there = replicas.state.driven.state.uplink, state.uplink
    assert here.bearer["delivered"].sum() > 0
    np.testing.assert_array_equal(here.tally, there.tally)


def test_a_policy_of_another_network_is_refused(tmp_path: Path) -> None:
    """Property: one sentence that names the remedy, where UEs or groups are others than in training."""
    path = tmp_path / "policy.safetensors"
    saved(path, made("slot_scheduling", SMALL), 0)
    other = driven_by(Scheduled("max_rate"), overrides=("ues.count=5", *FLOWS), steps=1)
    with pytest.raises(UserError, match=r"trained for another network than this of 5 UEs.*train-agent"):
        simulated(other, other.state.payload, Policy(path=str(path)))


def test_the_bound_counts_capacities() -> None:
    """Oracle: hand computation in free space, one UE, one layer: RE min(log2(1 + P g / N), largest block) / 8 a PRB."""
    free = ("channel=free_space", "ues.count=1", "traffic.flows=[]", "sites.gnb.antenna={rows: 1, columns: 1}")
    environment = made("slot_scheduling", SMALL | {"overrides": free})
    state = environment.start(np.array([5], np.uint64))
    driven = state.driven
    world, plan = driven.network.world, driven.network.plan.uplink
    gain = np.abs(driven.network.snapshot(driven.state, 0).gain[0, 0, 0, 0]) ** 2  # [ports, groups]
    power_w = 10 ** ((world.radio.ue_tx_power_dbm - 30) / 10)
    shannon = np.log2(1 + power_w * gain.sum(axis=0) / plan.noise_w)
    largest = (plan.tables.transport_block_bits[-1, :, 1:] / np.arange(1, 276)).max()
    expected = (np.minimum(156 * shannon, largest) * plan.rbg_prbs).sum() / 8
    np.testing.assert_allclose(environment._capacity(driven), [[expected, expected]], rtol=1e-5)


@pytest.mark.parametrize("in_time", [np.inf, 90e3, 0.0])
@pytest.mark.parametrize("carried", [30e3, 120e3, 300e3, 900e3])
def test_bytes_are_shared_out_as_is_worth_most(carried: float, in_time: float) -> None:
    """Oracle: numerical maximisation of the reward over bytes of updates and of three users (SLSQP, several starts)."""
    environment = made("slot_scheduling", SMALL | {"overrides": FLOWS})
    payload, most = 200e3, np.array([20e3, 150e3, np.inf])
    ceiling = min(payload, in_time)
    learnt, got = environment._shared_out(
        np.array([carried]), np.array([in_time]), np.array([payload]), most[None]
    )  # fmt: skip

    def worth(x: np.ndarray) -> float:
        return 5 * x[0] * 1e3 / payload + np.log2(1 + x[1:] / 10).mean()

    found = np.array([learnt[0], *got[0]]) / 1e3
    limits = [(0, min(ceiling, carried) / 1e3), *((0, min(each, carried) / 1e3) for each in most)]
    assert found.sum() <= carried / 1e3 * (1 + 1e-9)
    assert all(low <= x <= high + 1e-9 for x, (low, high) in zip(found, limits, strict=True))
    room = {"type": "ineq", "fun": lambda x: carried / 1e3 - x.sum()}
    for part in (0.05, 0.2):
        first = np.array([part * high for _, high in limits])
        best = minimize(lambda x: -worth(x), first, bounds=limits, constraints=room, method="SLSQP", tol=1e-12)
        assert worth(found) >= -best.fun * (1 - 1e-6)


def test_nothing_beats_the_bound_replica_by_replica() -> None:
    """Property: no baseline has a larger return, or waits less, than the bound in the same episode."""
    environment = made("slot_scheduling", SMALL | {"overrides": FLOWS, "payload_bytes": 200e3})
    totals = {}
    for name, rule in environment.rules().items():
        replicas, total = Replicas(environment, 2), {}
        replicas.restart(SEEDS)
        for _ in range(environment.steps):
            info = replicas.step(rule(environment, replicas.state, environment.observe(replicas.state)))[3]
            for term, value in info["terms"].items():
                total[term] = total.get(term, 0.0) + value
        totals[name] = total
    bound = totals.pop("bound")
    for total in totals.values():
        assert (environment.reward(total) <= environment.reward(bound)).all()
        assert (total["delay"] >= bound["delay"]).all()


def test_only_what_is_there_before_the_deadline_has_taught() -> None:
    """Oracle: bytes of updates that arrive in slots before the deadline, over all; later ones arrive for nothing."""
    played = Replicas(made("slot_scheduling", SMALL | {"deadline_s": 0.02, "payload_bytes": 200e3}), len(SEEDS))
    played.restart(SEEDS)
    environment, learnt, in_time, late = played.environment, 0.0, 0, 0
    rule = Scheduled("round_robin")
    for _ in range(environment.steps):
        state = played.state
        driven, before = state.driven, state.driven.state.uplink.bearer["delivered"][..., 0].sum()
        ends_s = driven.now_s + driven.network.plan.slot_s
        terms = played.step(rule(environment, state, environment.observe(state)))[3]["terms"]
        arrived = driven.state.uplink.bearer["delivered"][..., 0].sum() - before
        in_time, late = (in_time + arrived, late) if ends_s <= 0.02 + 1e-9 else (in_time, late + arrived)
        learnt += float((terms["learning"] * state.payload.sum(axis=1)).sum())
    assert min(in_time, late) > 0
    assert learnt == pytest.approx(in_time)


def test_observation_and_grant_by_hand() -> None:
    """Oracle: hand computation of parts, votes and masks of a cell of two UEs and five groups in two parts."""
    layout = SlotLayout(ues=2, cells=1, groups=5, parts=2)
    assert layout.part_of().tolist() == [0, 0, 0, 1, 1]
    assert layout.grant(np.array([[1, 2]])).tolist() == [[[1, 1, 1, -1, -1]]]
    assert layout.choice(np.array([[[0, 1, 1, -1, 0]]])).tolist() == [[1, 0]]
    environment = made("slot_scheduling", SMALL | {"overrides": FLOWS})
    state = environment.start(np.array([1, 2], np.uint64))
    np.testing.assert_array_equal(environment.observe(state), environment.layout.pack(environment.values(state)))
    assert environment.mask(state).reshape(2, 7, 7).all(), "all wait at first, and nobody is always allowed"


def test_some_replicas_cannot_restart_alone() -> None:
    """Property: replicas share a clock; the error says so."""
    environment = BatchedEnv("slot_scheduling", 2, **SMALL)
    environment.reset(seed=0)
    with pytest.raises(UserError, match="share one clock"):
        environment.reset(seed=1, options={"reset_mask": np.array([True, False])})


def test_crowds_are_places_of_the_scenario() -> None:
    """Property: replicas of other seeds have other UEs of the crowd, each its own channel; equal seeds the same."""
    keys = np.array([2, 4, 2], np.uint64)
    driven = Driven.start("sliced", (), 12, keys)
    gain = driven.network.snapshot(driven.state, 0).gain
    assert gain.shape[:2] == (3, world_of("sliced", ()).num_ues)
    np.testing.assert_array_equal(gain[0], gain[2])
    assert not np.array_equal(gain[0], gain[1])
    environment = made("slot_scheduling", SMALL)
    state = environment.start(keys[:1])
    Bound()(environment, state, environment.observe(state))
    assert state.carried is not None
