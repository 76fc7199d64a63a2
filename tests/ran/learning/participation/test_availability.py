"""When UEs are there."""

import numpy as np
import pytest

from channel.errors import UserError
from ran.learning.participation import OnOff, Trace


@pytest.fixture
def trace(tmp_path):
    def write(rows: str) -> Trace:
        (tmp_path / "trace.csv").write_text(rows)
        return Trace(path=str(tmp_path / "trace.csv"))

    return write


def test_a_trace_is_followed_to_its_ends(trace):
    """Oracle: by hand; half-open intervals in any order, touching ones are one, a UE without any is never there."""
    rule = trace("ue,start_s,end_s\n1,30,40\n0,5,10\n1,10,20\n1,20,25\n")
    for time_s, now, until_s in [
        (0.0, [0, 0, 0], [5, 10, np.inf]), (5.0, [1, 0, 0], [10, 10, np.inf]), (10.0, [0, 1, 0], [np.inf, 25, np.inf]),
        (20.0, [0, 1, 0], [np.inf, 25, np.inf]), (25.0, [0, 0, 0], [np.inf, 30, np.inf]),
        (40.0, [0, 0, 0], [np.inf] * 3),
    ]:  # fmt: skip
        presence = rule.presence(3, time_s, seed=1)
        assert presence.now.astype(int).tolist() == now
        assert presence.until_s.tolist() == until_s


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ("ue,start_s,end_s\n0,1,2\n0,x,9\n", r"line 3: expected ue, start_s, end_s as numbers"),
        ("ue,start,end\n0,1,2\n", r"line 2: expected ue, start_s, end_s as numbers, got {'ue': '0', 'start'"),
        ("ue,start_s,end_s\n0,2,2\n", r"line 2: expected .* start_s before end_s, got 0, 2.0, 2.0"),
        ("ue,start_s,end_s\n-1,2,3\n", r"UE counted from 0"),
        ("ue,start_s,end_s\n0,nan,3\n", r"start_s before end_s"),
        ("ue,start_s,end_s\n0,1\n", r"as numbers"),
    ],
)
def test_a_trace_that_makes_no_sense_is_refused(trace, rows, sentence):
    """Oracle: the line and what is wrong, when loaded and when used."""
    rule = trace(rows)
    with pytest.raises(UserError, match=sentence):
        rule.presence(2, 0.0, 1)
    assert rule.problems()[0].startswith("`path`: ")


def test_a_missing_trace_is_said_when_the_scenario_is_loaded():
    """Oracle: the sentence."""
    assert Trace(path="nowhere.csv").problems()[0].startswith("`path`: cannot read 'nowhere.csv'")


def test_on_off_is_one_process_whenever_it_is_asked():
    """Property: ``until_s`` of a moment foretells the state up to it, and that it changes there."""
    rule = OnOff(mean_on_s=3.0, mean_off_s=2.0)
    for time_s in (0.0, 1.7, 12.3):
        first = rule.presence(40, time_s, seed=9)
        assert (first.until_s > time_s).all()
        for ue in range(40):
            before = rule.presence(40, np.nextafter(first.until_s[ue], 0.0), seed=9)
            after = rule.presence(40, first.until_s[ue], seed=9)
            assert before.now[ue] == first.now[ue] != after.now[ue]
            assert before.until_s[ue] == first.until_s[ue]


def test_on_off_has_the_means_it_was_given():
    """Oracle: closed forms within 5 sigma: share = on / (on + off) at any time, exponential residual stays."""
    rule, num_ues = OnOff(mean_on_s=30.0, mean_off_s=10.0), 4000
    for time_s in (0.0, 5.0, 333.0):
        presence = rule.presence(num_ues, time_s, seed=2)
        assert presence.now.mean() == pytest.approx(0.75, abs=5 * np.sqrt(0.75 * 0.25 / num_ues))
        for state, mean_s in ((True, 30.0), (False, 10.0)):
            left_s = presence.until_s[presence.now == state] - time_s
            assert left_s.mean() == pytest.approx(mean_s, rel=5 / np.sqrt(len(left_s)))
    assert (rule.presence(num_ues, 0.0, seed=3).now != rule.presence(num_ues, 0.0, seed=2).now).any()
