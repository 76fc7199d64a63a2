"""Trained policies in scenarios. Oracles: the environments themselves, and runs without a policy."""

from __future__ import annotations

import shlex
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from agents.batched import Replicas, made
from agents.environment import Environment
from agents.policy import SavedPolicy
from agents.rounds.air import shannon
from agents.rounds.levels import NUM_PARAMETERS
from channel.errors import UserError
from ran.learning.adaptation.menu import Menu, Situation, Work
from ran.learning.adaptation.policy import Policy as Cuts
from ran.learning.federation import FederationState
from ran.learning.participation import Policy as Participants
from ran.learning.participation.levels import LEVELS
from ran.learning.participation.observed import RoundLayout, RoundSeen
from ran.learning.participation.policy import band_shares
from ran.learning.participation.sight import Sight, sight_of
from ran.learning.round import candidates_of, run_round
from ran.learning.split.training import run_split_round
from ran.mac.sharing.policy import Policy as Sharing
from ran.policy_file import save_actor
from ran.queues import queues_of
from scenarios.load import load
from scenarios.run import build_federation


def saved(path: Path, environment: Environment, seed: int = 0) -> SavedPolicy:
    """Write an actor of random weights for an environment."""
    rng = np.random.default_rng(seed)
    outputs = sum(environment.options()) if environment.discrete else environment.action_size
    sizes = [environment.observation_size, 16, outputs]
    weights = [rng.normal(size=(after, before)) for before, after in pairwise(sizes)]
    biases = [rng.normal(size=after) for after in sizes[1:]]
    meta = {"environment": environment.model_dump(mode="json"), "head": "logits" if environment.discrete else "mean"}
    save_actor(path, weights, biases, "tanh", meta)
    return SavedPolicy.load(path, environment)


def started(environment: Environment, seed: int) -> Replicas:
    replicas = Replicas(environment, 1)
    replicas.restart(np.array([seed]))
    return replicas


def shuffled(environment, state, order) -> RoundSeen:
    """Return what a scenario with the UEs of a state, in any order, some of them away, would know."""
    seconds, joules = environment.full_speed(state)
    hz, left = environment.bandwidth_hz, (environment.steps - state.step) / environment.steps
    each = (state.there, state.reach_hz / hz, state.mean_hz / hz, seconds, joules, state.samples, state.known)
    return RoundSeen(*(value[:, order] for value in each), state.accuracy, left)


@pytest.mark.parametrize("seed", range(5))
def test_a_round_is_seen_and_allotted_alike(tmp_path: Path, seed: int) -> None:
    """Oracle: the environment's observation, bit by bit, and the bandwidths that its own step gives."""
    environment = made("round_allocation", {})
    policy = saved(tmp_path / "policy.safetensors", environment, seed)
    replicas = started(environment, seed)
    for _ in range(3):
        state = replicas.state
        seen = shuffled(environment, state, np.random.default_rng(seed).permutation(environment.ues))
        layout = RoundLayout(environment.ues)
        ranked, order = layout.ranked(seen)
        observed = environment.observe(state)
        np.testing.assert_array_equal(layout.pack(ranked), observed)
        sight = Sight(seen, environment.bandwidth_hz, NUM_PARAMETERS, shannon(environment.scenario))
        rule = Participants(path=str(tmp_path / "policy.safetensors"))
        decision, same = rule._decide(sight, np.flatnonzero(seen.there[0]))
        np.testing.assert_array_equal(same, order)
        replicas.step(policy(environment, state, observed))
        np.testing.assert_array_equal(replicas.state.level, decision.level)
        shares = band_shares(sight, decision, order)
        np.testing.assert_allclose(shares * environment.bandwidth_hz, replicas.state.band_hz[0], rtol=1e-12)
        assert shares.sum() == pytest.approx(1)


SMALL = ("ues.count=3", "ues.devices=[{device_class: phone}, {device_class: sensor}]", "learning.rounds=2",
         "learning.algorithm.local_epochs=1", "channel=rayleigh")  # fmt: skip


def test_a_round_is_run_as_the_policy_allots_it(tmp_path: Path) -> None:
    """Oracle: kappa C f^2 at the allotted clock, the allotted compressor's bits, powers below what is held back."""
    environment, path = made("round_allocation", {"ues": 4, "least_ues": 2}), tmp_path / "policy.safetensors"
    saved(path, environment, 3)
    scenario = load("mixed_devices", (*SMALL, f"learning.participation={{name: policy, path: {path}}}"))
    sent = []
    federation = build_federation(scenario, lambda state, report: sent.append(report.uplink))
    state = FederationState.start(federation)
    policy = federation.participation
    for _ in range(2):
        allotment, sight = policy.allot(candidates_of(federation, state)), sight_of(federation, state)
        result = run_round(federation, state)
        rows = {row.ue: row for row in result.ues}
        assert [ue for ue, row in rows.items() if row.compute_energy_j > 0] == allotment.ues
        for ue in allotment.ues:
            clock = allotment.clock[ue]
            assert rows[ue].compute_energy_j == pytest.approx(sight.seen.compute_j[0, ue] * clock**2)
            took_s = rows[ue].compute_done_s - rows[ue].downlink_done_s
            assert took_s == pytest.approx(sight.seen.compute_s[0, ue] / clock)
            most_w = 10 ** ((scenario.ues.tx_power_dbm - 30 - allotment.backoff_db[ue]) / 10)
            blocks = [slot.block[0, ue] for slot in sent if slot is not None and slot.block[0, ue]["prbs"] > 0]
            powers = [float(block["prb_power_w"]) * block["prbs"] for block in blocks]
            assert max(powers) == pytest.approx(most_w)
        bits = next(level.bits for level in LEVELS if level.compressor == allotment.compressor)
        assert 8 * rows[allotment.ues[0]].uplink_payload_bytes == pytest.approx(bits * NUM_PARAMETERS, rel=0.1)
        sent.clear()
    assert result.record.round == 2


def split_situation(environment, state) -> list[tuple[Menu, Situation]]:
    """Return what a scenario with the UEs of a state would offer them."""
    menu, (up, down) = environment.menu(), environment.rates(state)
    count = int(state.there[0].sum())
    work = Work(environment.batches, environment.batch_size, 4, float(state.server[0]) / count, 0.2)
    own = Menu(menu.cuts, menu.widths, menu.quantisers, menu.quality, work)
    return [
        (own, Situation(environment.devices[state.device[0, ue]], up[0, ue] / count, down[0, ue] / count, 1.0, count))
        for ue in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_cuts_are_chosen_alike(tmp_path: Path, seed: int) -> None:
    """Oracle: the environment's own observation, mask and likeliest choice, UE by UE."""
    environment = made("split_point", {})
    policy = saved(tmp_path / "policy.safetensors", environment, seed)
    replicas = started(environment, seed)
    for _ in range(3):
        state = replicas.state
        action = policy(environment, state, environment.observe(state))
        offered = split_situation(environment, state)
        rule = Cuts(path=str(tmp_path / "policy.safetensors"))
        places = rule.choose_all(offered)
        np.testing.assert_array_equal(np.array(places).T, action.reshape(3, -1)[:, : len(offered)])
        # UEs of different speed are told apart, in whatever order they are offered.
        unlike = {each.device.clock_hz: place for place, (_, each) in enumerate(offered)}
        mixed = [offered[place] for place in unlike.values()]
        assert rule.choose_all(mixed[::-1]) == rule.choose_all(mixed)[::-1]
        replicas.step(action)


def test_a_split_round_goes_by_the_policy(tmp_path: Path) -> None:
    """Property: cuts, widths and quantisers of the round are those that the rule returns for its offers."""
    environment, path = made("split_point", {}), tmp_path / "policy.safetensors"
    saved(path, environment, 1)
    small = ("learning.algorithm.local_steps=1", "ues.count=3", "channel=rayleigh")
    scenario = load("shared_split", (*small, f"learning.split.adaptation.rule={{name: policy, path: {path}}}"))
    federation = build_federation(scenario)
    result = run_split_round(federation, FederationState.start(federation))
    chosen = [event for event in result.events if event["event"] == "adapted"]
    assert [event["ue"] for event in chosen] == [0, 1, 2]
    assert {event["quantiser"] for event in chosen} <= {"fp16", "int8", "top_k"}
    assert {event["width"] for event in chosen} <= {0.5, 0.25, 0.125}


ROUND = "learning.participation={{name: policy, path: {path}}}"
SHARES = "mac.slice_shares={{name: policy, path: {path}}}"
SPLIT = "learning.split.adaptation.rule={{name: policy, path: {path}}}"
REFUSED = [
    ("round_allocation", "mixed_devices", ROUND, "ues.count=9", "trained for 8 UEs at most, but ues.count is 9"),
    ("round_allocation", "mixed_devices", ROUND, "mac.scheduler=max_rate", "set mac.scheduler"),
    ("round_allocation", "mixed_devices", ROUND, "learning.schedule=fedbuff", "set learning.schedule to synchronous"),
    ("round_allocation", "mixed_devices", ROUND, "learning.compression={uplink: int8}", "compression.uplink to none"),
    ("round_allocation", "mixed_devices", ROUND, "traffic.rlc.mode=um", "rlc_mode to am"),
    ("round_allocation", "mixed_devices", ROUND, "learning.algorithm=scallion", "set it to none"),
    ("split_point", "mixed_devices", ROUND, "seed=1", "was trained in split_point; give one of `airtune train-agent"),
    ("split_point", "shared_split", SPLIT, "ues.count=6", "trained for 5 UEs at most, and 6 take part"),
    ("split_point", "shared_split", SPLIT, "learning.split.adaptation.widths=[0.25, 0.5]", "[0.5, 0.25, 0.125]"),
    ("split_point", "shared_split", SPLIT, "learning.split.gnb.flop_s=1e12", "set learning.split.gnb.flop_s within"),
    ("split_point", "shared_split", SPLIT, "learning.split.method=sequential", "set method to splitfed_v1"),
    ("slicing", "sliced_video", SHARES, "ues.count=5", "trained for another network than this of 5 UEs, 3 of them"),
    ("slicing", "sliced_video", SHARES, "learning.round_deadline_s=null", "set learning.round_deadline_s"),
    ("slot_scheduling", "quickstart", "mac.scheduler={{name: policy, path: {path}}}", "seed=1", "of 8 UEs, 1 cells"),
]  # fmt: skip


@pytest.mark.parametrize(("trained", "scenario", "use", "change", "message"), REFUSED)
def test_what_does_not_fit_is_refused_at_load(
    tmp_path: Path, trained: str, scenario: str, use: str, change: str, message: str
) -> None:
    """Property: one sentence that names the remedy, before anything is run."""
    path = tmp_path / "policy.safetensors"
    saved(path, made(trained, {}))
    with pytest.raises(UserError, match=r".*") as refused:
        load(scenario, (use.format(path=path), change))
    assert message in str(refused.value)


@pytest.mark.parametrize("name", ["round_allocation", "split_point", "slicing", "slot_scheduling"])
def test_the_command_that_is_told_runs(tmp_path: Path, name: str) -> None:
    """Property: a policy of the default environment passes the checks of the scenario that the trainer names."""
    path = tmp_path / "policy.safetensors"
    environment = made(name, {})
    saved(path, environment)
    _, _, scenario, *rest = shlex.split(environment.in_scenario(str(path)))
    assert load(scenario, rest[1::2]).name == scenario


@pytest.mark.parametrize("seed", range(2))
def test_slices_are_shared_out_alike(tmp_path: Path, seed: int) -> None:
    """Oracle: the environment's observation and action, for queues that the simulation reads off the same network."""
    environment = made("slicing", {"window_slots": 10})
    policy = saved(tmp_path / "policy.safetensors", environment, seed)
    replicas = started(environment, seed)
    rule = Sharing(path=str(tmp_path / "policy.safetensors"))
    for _ in range(12):
        state = replicas.state
        network, now = state.driven.network, state.driven.state
        marked = deepcopy(now)
        # What a session notes, the environment has in its own state.
        bearer, until_s = marked.uplink.bearer[..., 0], state.driven.now_s + environment.queues(state).left_s[0]
        bearer["arrived_by_s"][state.done] = until_s
        bearer["deadline_s"] = until_s
        own = replace(network.world, round_s=environment.round_steps * 10 * network.plan.slot_s)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(network, "world", own)
            seen = queues_of(network, marked, "uplink", 10 * network.plan.slot_s, rule.quorum(6))
        given = environment.queues(state)
        for name in ("left", "arrived", "backlog", "wait", "budget_s", "users", "rate_bit_s", "cell", "quorum"):
            np.testing.assert_array_equal(getattr(seen, name), getattr(given, name), name)
        np.testing.assert_allclose(seen.left_s, given.left_s)
        action = policy(environment, state, environment.observe(state))
        share = rule.share(replace(seen, share=state.share))
        np.testing.assert_array_equal(environment.nearest(share), action)
        replicas.step(action)


def test_slices_are_shared_out_by_a_policy(tmp_path: Path) -> None:
    """Property: in a scenario's round the uplink's shares are those that a policy can choose, the downlink's stay."""
    path = tmp_path / "policy.safetensors"
    environment = made("slicing", {})
    saved(path, environment, 5)
    *_, last = environment.in_scenario(str(path)).split("--set ")
    deadline = ("learning.schedule={name: deadline, round_s: 0.25}", "learning.round_deadline_s=0.25")
    scenario = load("sliced_video", (*deadline, last.strip("'"), "channel=rayleigh", "learning.model=mlp",
                                     "learning.adapter=full"))  # fmt: skip
    shares = set()
    federation = build_federation(scenario, lambda state, report: shares.add(float(state.uplink.share[0, 0, 0])))
    state = FederationState.start(federation)
    run_round(federation, state)
    assert len(shares) > 1
    assert {round(10 * share, 9) % 1 for share in shares} == {0}
    assert state.network.downlink.share[0, 0, 0] == 0.5
