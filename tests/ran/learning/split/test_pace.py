"""Asynchronous split learning: nobody runs away, everybody's change counts, fast UEs do more."""

from __future__ import annotations

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from ran.learning.split.pace import Pace
from ran.learning.split.split_round import Turn
from ran.learning.split.staleness import BoundedStaleness
from scenarios.load import load
from scenarios.run import build_federation
from tests.ran.learning.split.test_split_rounds import after, split, values

SLOW = "ues.devices=[{device_class: phone}, {device_class: phone}, {device_class: sensor, clock_hz: 1e+8}]"
"""One UE of three takes eighty times as long for its layers."""


class FakeRound:
    """Cycles that only take time: what a UE side gains is 1; every one may be lost."""

    def __init__(self, rule, durations_s, lost=()):
        self.split = self.clock = self.federation = self.learner = self.algorithm = self
        self.asynchronous, self.env, self.seed, self.round_index = rule, simpy.Environment(), 1, 0
        self.num_samples, self.durations_s, self.lost = [1] * len(durations_s), durations_s, lost
        self.begun, self.ended = [], []

    def start(self, process):
        return self.env.process(process)

    def batches(self, num_samples, rng):
        return [rng.permutation(num_samples)]

    def run(self, turn, arrays, servers):
        self.begun.append((turn.ue, self.env.now))
        pace = [0.1, *self.durations_s[turn.ue]]
        yield self.env.timeout(pace[1 + turn.first % len(self.durations_s[turn.ue])])
        turn.received, turn.alive = arrays, (turn.ue, turn.first) not in self.lost
        turn.result = {"w": arrays["w"] + 1} if turn.alive else None
        self.ended.append((turn.ue, self.env.now))


def paced(rule, durations_s, lost=()):
    work = FakeRound(rule, durations_s, lost)
    turns = [Turn(ue, [np.arange(1)]) for ue in range(len(durations_s))]
    pace = Pace.of(work, turns, {"w": np.zeros(1)})
    pace.start({})
    work.env.run()
    return work, pace


SPEEDS = st.lists(st.lists(st.floats(0.01, 10), min_size=1, max_size=3), min_size=1, max_size=5)


@given(SPEEDS, st.integers(0, 3), st.integers(1, 3), st.sets(st.tuples(st.integers(0, 4), st.integers(0, 3))))
def test_nobody_is_further_ahead_than_the_bound(durations_s, bound, cycles, lost):
    """Oracle: Ho et al.'s bound at every beginning, counted from the log; whoever stays has enough."""
    work, pace = paced(BoundedStaleness(max_staleness=bound, cycles=cycles), durations_s, lost)
    gone = {ue for ue, first in lost if ue < len(durations_s)}
    done = dict.fromkeys(range(len(durations_s)), 0)
    log = sorted([(at, 0, ue) for ue, at in work.ended] + [(at, 1, ue) for ue, at in work.begun])
    for _, what, ue in log:
        if what == 0:
            done[ue] += 1
        elif not gone:
            assert done[ue] - min(done.values()) <= bound
    assert all(0 <= merge.staleness <= bound for merge in pace.merges)
    assert len(work.begun) == len(work.ended)
    assert all(cycles <= count <= cycles + bound for count in pace.concluded.values())


def test_a_change_counts_by_its_age():
    """Oracle: by hand. UE 0 takes 1 s a cycle, UE 1 takes 2.5: merged at 1, 2, 2.5 (2 - 1 = 1 cycle behind)."""
    rule = BoundedStaleness(max_staleness=2, exponent=1.0, cycles=1)
    work, pace = paced(rule, [[1.0], [2.5]])
    assert [(each.ue, each.cycle, each.staleness) for each in pace.merges] == [
        (0, 0, 0),
        (0, 1, 0),
        (1, 0, 1),
        (0, 2, 0),
    ]
    assert pace.ue_side["w"] == pytest.approx(0.5 * (1 + 1 + 1 / 2 + 1))
    assert pace.staleness() == {0: 0.0, 1: 1.0}
    assert [at for ue, at in work.begun if ue == 0] == [0.0, 1.0, 2.0]


def test_without_staleness_it_is_the_synchronous_method():
    """Oracle: splitfed_v2: model, bytes and virtual time after two rounds; 1e-5 for the order of sums."""
    rule = "asynchronous: {max_staleness: 0, cycles: 1, exponent: 3.0}"
    _, state, found = after(2, split("asynchronous", more=rule), SLOW)
    _, expected, wanted = after(2, split("splitfed_v2"), SLOW)
    np.testing.assert_allclose(values(state), values(expected), atol=1e-5)
    for result, other in zip(found, wanted, strict=True):
        assert (result.record.end_s, result.record.staleness) == (other.record.end_s, 0.0)
        assert [row.uplink_payload_bytes for row in result.ues] == [row.uplink_payload_bytes for row in other.ues]


def test_fast_ues_take_more_batches_than_in_lockstep():
    """Oracle: batches per virtual second of each UE with servers in step, on the same devices and air."""
    _, _, [paced_] = after(1, split("asynchronous", more="asynchronous: {max_staleness: 3, cycles: 1}"), SLOW)
    _, _, [in_step] = after(1, split("parallel"), SLOW)
    federation = build_federation(load("smoke", ["ues.count=3", SLOW]))
    fast = [ue for ue, device in enumerate(federation.simulation.world.devices) if device.device_class == "phone"]
    rates = []
    for result in (paced_, in_step):
        count = [sum(row.ue == ue and row.is_back for row in result.batches) for ue in range(3)]
        rates.append([each / (result.record.end_s - result.record.start_s) for each in count])
    assert len(fast) == 2
    for ue in range(3):
        assert rates[0][ue] > (2 if ue in fast else 0.8) * rates[1][ue]
    ages = {row.ue: row.staleness for row in paced_.ues}
    assert max(ages.values()) <= 3
    assert all(ages[ue] == 0 for ue in fast)
    assert paced_.record.participants == 3 + 2 * 3
