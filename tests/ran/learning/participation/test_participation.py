"""Every rule of participation, and what all of them share: availability, dropouts and returns."""

import math

import numpy as np
import pytest

from ran.learning import PARTICIPATIONS
from ran.learning.participation import Everyone, OnOff, Oort, Trace, Uniform
from tests.ran.learning.participation.candidates import candidates

RATES = list(range(20))


@pytest.mark.parametrize("name", [each for each in PARTICIPATIONS.names() if each != "policy"])
def test_a_rule_chooses_distinct_ues_that_are_there(name):
    """Property: ascending, distinct, none away or exhausted, the same again; another seed's presence differs."""
    rule = PARTICIPATIONS.get(name)(availability=OnOff(mean_on_s=10.0, mean_off_s=10.0))
    for number in range(5):
        now = candidates(20, rate_bit_s=RATES, round=number, clock_s=7.0 * number, exhausted=frozenset({0, 1, 2, 3}))
        chosen = rule.select(now)
        assert chosen == sorted(set(chosen)) == rule.select(now)
        there = np.flatnonzero(rule.availability.presence(20, now.clock_s, 1).now)
        assert set(chosen) <= set(there.tolist()) - {0, 1, 2, 3}
        assert chosen


@pytest.mark.parametrize("name", [each for each in PARTICIPATIONS.names() if each != "policy"])
def test_nobody_there_is_nobody_chosen(name):
    """Property: no UE, no choice, and no look at the channel."""
    assert PARTICIPATIONS.get(name)().select(candidates(3, exhausted=frozenset({0, 1, 2}))) == []


@pytest.mark.parametrize("name", [each for each in PARTICIPATIONS.names() if each != "policy"])
def test_a_rule_survives_its_own_serialisation(name):
    """Property: what YAML would hold gives the same rule."""
    rule = PARTICIPATIONS.get(name)(dropout=0.25, availability=OnOff(mean_on_s=5.0))
    content = rule.model_dump(mode="json")
    assert content["availability"]["name"] == "on_off"
    assert type(rule).model_validate({key: value for key, value in content.items() if key != "name"}) == rule


def test_everyone_is_chosen_and_stays():
    """Oracle: by hand."""
    assert Everyone().select(candidates(4)) == [0, 1, 2, 3]
    assert Everyone().drops(candidates(4), {0: 1e9, 2: 5.0}) == set()
    assert Everyone().resumes_s(candidates(4, clock_s=3.0)) == 3.0
    assert Everyone().resumes_s(candidates(2, exhausted=frozenset({0, 1}))) == math.inf


def test_dropouts_come_at_their_rate_and_return():
    """Oracle: the binomial's 5 sigma over 100 rounds of 50 UEs; who drops is independent of who else was chosen."""
    rule, count, never = Everyone(dropout=0.2), 0, set(range(50))
    for number in range(100):
        now = candidates(50, round=number)
        lost = rule.drops(now, dict.fromkeys(range(50), 1.0))
        assert rule.drops(now, {7: 1.0}) == lost & {7}
        count, never = count + len(lost), never & lost
    assert abs(count - 1000) < 5 * math.sqrt(5000 * 0.2 * 0.8)
    assert not never


def test_a_ue_that_leaves_before_it_is_ready_is_lost(tmp_path):
    """Oracle: by hand from the intervals: there until 10 s."""
    path = tmp_path / "trace.csv"
    path.write_text("ue,start_s,end_s\n0,0,10\n1,0,10\n2,20,30\n")
    rule, now = Everyone(availability=Trace(path=str(path))), candidates(3, clock_s=4.0)
    assert rule.select(now) == [0, 1]
    assert rule.drops(now, {0: 9.0, 1: 11.0}) == {1}


def test_an_empty_cell_waits_for_the_next_ue(tmp_path):
    """Oracle: by hand: at 12 s nobody is there, UE 2 comes at 20 s; if it is exhausted, UE 1 at 40 s, then nobody."""
    path = tmp_path / "trace.csv"
    path.write_text("ue,start_s,end_s\n0,0,10\n1,40,50\n2,20,30\n")
    rule = Everyone(availability=Trace(path=str(path)))
    assert rule.select(candidates(3, clock_s=12.0)) == []
    assert rule.resumes_s(candidates(3, clock_s=12.0)) == 20.0
    assert rule.resumes_s(candidates(3, clock_s=12.0, exhausted=frozenset({2}))) == 40.0
    assert rule.resumes_s(candidates(3, clock_s=50.0)) == math.inf


def test_what_does_not_fit_the_number_of_ues_is_said(tmp_path):
    """Oracle: the sentences."""
    path = tmp_path / "trace.csv"
    path.write_text("ue,start_s,end_s\n5,0,10\n")
    assert Uniform(count=9).num_ues_problems(8) == ["uniform wants 9 UEs a round, but ues.count is 8; lower count"]
    assert Uniform(fraction=1.0).num_ues_problems(8) == Oort(count=8).num_ues_problems(8) == []
    [problem] = Everyone(availability=Trace(path=str(path))).num_ues_problems(5)
    assert problem.endswith("names UE 5, but ues.count is 5 (UEs count from 0); raise ues.count")
