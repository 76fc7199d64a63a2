import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from channel.area import Rectangle
from channel.errors import UserError
from channel.layout import Hexagonal
from channel.mobility import MOBILITIES, Linear, Manhattan, RandomWaypoint, Static, Trace
from scenarios.build import build_world
from scenarios.load import load

CITY = Rectangle(np.array([-300.0, -200.0]), np.array([300.0, 200.0]))
DROPPED = np.column_stack([CITY.draw(40, np.random.default_rng(0)), np.full(40, 1.5)])
WALKS = [Static(), Linear(), RandomWaypoint(pause_s=3.0), Manhattan()]


@pytest.fixture
def trace_file(tmp_path):
    """Return a function that writes a CSV file and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "trace.csv"
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("mobility", WALKS, ids=lambda m: m.name)
@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.0, 5000.0), min_size=2, max_size=5))
def test_time_in_any_order(mobility, times_s):
    """Property: a pure function of seed and time, in whatever order times are asked for."""
    forth, back = (mobility.trajectory(DROPPED, CITY, 3) for _ in range(2))
    ascending = {t: forth.position_at(t) for t in sorted(times_s)}
    for t in sorted(times_s, reverse=True):
        assert back.position_at(t).tobytes() == ascending[t].tobytes()
    if mobility.name != "static":
        assert not np.array_equal(mobility.trajectory(DROPPED, CITY, 4).position_at(50.0), forth.position_at(50.0))


@pytest.mark.parametrize("mobility", WALKS, ids=lambda m: m.name)
def test_velocity_is_the_derivative(mobility):
    """Oracle: a forward difference of the positions wherever no corner lies between; and UEs never jump."""
    walk = mobility.trajectory(DROPPED, CITY, 7)
    corners = 0
    for t in np.arange(0.0, 300.0, 1.7):
        moved = (walk.position_at(t + 1e-3) - walk.position_at(t)) / 1e-3
        off = np.abs(moved - walk.velocity_at(t)).max(axis=1) > 1e-6
        assert np.linalg.norm(moved, axis=1).max() <= 2.0 + 1e-6
        corners += off.sum()
    assert corners <= 20  # of 7080: chance that a corner lies within 1 ms


def test_random_waypoint_reaches_uniform_points_at_given_speeds():
    """Oracle: speeds uniform between the bounds, goals uniform over the area (KS), pauses of the given length."""
    walk = RandomWaypoint(min_speed_m_s=1.0, max_speed_m_s=3.0, pause_s=5.0).trajectory(DROPPED, CITY, 1)
    walk.position_at(4000.0)
    goals = walk.point_m[:, 1::2]
    assert stats.kstest((goals[..., 0].ravel() + 300) / 600, "uniform").pvalue > 0.01
    assert len(np.unique(goals[..., 0])) == goals[..., 0].size  # no batch of legs repeats another
    duration = np.diff(walk.time_s, axis=1)
    np.testing.assert_allclose(duration[:, 1::2], 5.0)
    speed = np.linalg.norm(np.diff(walk.point_m, axis=1)[:, ::2], axis=-1) / duration[:, ::2]
    assert stats.kstest((speed.ravel() - 1) / 2, "uniform").pvalue > 0.01
    assert (walk.position_at(123.0)[:, 2] == 1.5).all()


def test_manhattan_stays_on_streets_and_turns_as_told():
    """Oracle: streets at x, y = (k + 1/2) 50 m; at inner crossings half of the UEs turn, left as often as right."""
    walk = Manhattan(block_m=50.0, speed_m_s=2.0, turn_probability=0.5).trajectory(DROPPED, CITY, 2)
    for t in np.arange(0.0, 500.0, 3.3):
        away = np.abs(walk.position_at(t)[:, :2] / 50.0 - 0.5 - np.rint(walk.position_at(t)[:, :2] / 50.0 - 0.5))
        assert away.min(axis=1).max() < 1e-9
        np.testing.assert_allclose(np.linalg.norm(walk.velocity_at(t), axis=1), 2.0)
    walk.position_at(5000.0)
    step = np.diff(walk.point_m[..., :2], axis=1)[:, 1:]
    inner = (np.abs(walk.point_m[:, 2:-1, :2]) < [250.0, 150.0]).all(axis=-1)
    cross = (step[:, :-1, 0] * step[:, 1:, 1] - step[:, :-1, 1] * step[:, 1:, 0])[inner] / 2500.0
    count = len(cross)
    assert abs(np.mean(np.abs(cross) > 0.5) - 0.5) < 4 * np.sqrt(0.25 / count)
    assert abs(np.mean(cross > 0.5) - 0.25) < 4 * np.sqrt(0.19 / count)
    assert (np.abs(walk.point_m[..., :2]) <= [275.0, 175.0]).all()


def test_walks_need_an_area():
    """Oracle: the messages name the remedy."""
    with pytest.raises(UserError, match=r"choose ues\.mobility linear or trace"):
        RandomWaypoint().trajectory(DROPPED, None, 1)
    with pytest.raises(UserError, match=r"only 200 m wide; choose at most 100 m"):
        Manhattan(block_m=150.0).trajectory(DROPPED, Hexagonal().sites().area, 1)
    with pytest.raises(ValueError, match="swap them"):
        RandomWaypoint(min_speed_m_s=3.0, max_speed_m_s=1.0)


def test_trace_interpolates_and_holds(trace_file):
    """Oracle: by hand. Rows in any order, heights from the drop where the file has none, first and last place held."""
    path = trace_file("time_s,ue,x_m,y_m,colour\n10,0,20,0,red\n0,0,0,0,red\n5,1,7,8,blue\n20,0,20,30,red\n3,2,1,1,\n")
    mobility = Trace(file=path)
    assert mobility.problems() == []
    walk = mobility.trajectory(DROPPED[:2], None, 1)
    np.testing.assert_allclose(walk.position_at(5.0), [[10, 0, 1.5], [7, 8, 1.5]])
    np.testing.assert_allclose(walk.position_at(15.0)[0], [20, 15, 1.5])
    np.testing.assert_allclose(walk.velocity_at(15.0), [[0, 3, 0], [0, 0, 0]])
    for t, place in ((0.0, [7, 8, 1.5]), (99.0, [7, 8, 1.5])):
        np.testing.assert_allclose(walk.position_at(t)[1], place)
        np.testing.assert_allclose(walk.velocity_at(99.0), 0.0)
    with pytest.raises(UserError, match=r"no row for UE 3, but ues.count is 4"):
        mobility.trajectory(DROPPED[:4], None, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time_s,ue,x,y_m\n0,0,1,2\n", "column 'x_m' is missing; expected time_s, ue, x_m, y_m and perhaps z_m, got"),
        ("time_s,ue,x_m,y_m\n0,0,1,2\n1,0,east,2\n", "line 3: x_m is 'east'; expected a number"),
        ("time_s,ue,x_m,y_m\n0,0,1\n", "line 2: y_m is None; expected a number"),
        ("time_s,ue,x_m,y_m\n0,1.5,1,2\n", "ue is '1.5'; expected 0, 1, 2"),
        ("time_s,ue,x_m,y_m\n0,0,1,2\n0,0,3,4\n", "UE 0 is at two places at 0 s"),
        ("time_s,ue,x_m,y_m\n", "holds no rows"),
        ("", "column 'time_s' is missing"),
    ],
)
def test_bad_traces_are_refused(trace_file, text, message):
    """Oracle: the message, at the field, with the file's line."""
    found = Trace(file=trace_file(text)).problems()
    assert len(found) == 1
    assert found[0].startswith("`file`: ")
    assert message in found[0]


def test_a_missing_trace_is_found_at_load():
    """Oracle: the message that `airtune validate` prints, with the field's YAML path."""
    with pytest.raises(UserError, match=r"ues\.mobility\.file: nowhere\.csv: no such file; expected a CSV file"):
        load("smoke", ["ues.mobility={name: trace, file: nowhere.csv}"])


def test_the_world_carries_the_trajectory(trace_file):
    """Oracle: the trace. Catches a geometry that extrapolates the first velocity."""
    path = trace_file("time_s,ue,x_m,y_m\n0,0,30,0\n10,0,40,0\n20,0,40,10\n0,1,50,0\n")
    geometry = build_world(load("smoke", [f"ues.mobility={{name: trace, file: {path}}}"])).geometry
    np.testing.assert_allclose(geometry.ue_position_m, [[30, 0, 1.5], [50, 0, 1.5]])
    np.testing.assert_allclose(geometry.ue_velocity_m_s[0], [1, 0, 0])
    np.testing.assert_allclose(geometry.ue_position_at(15.0)[0], [40, 5, 1.5])
    np.testing.assert_allclose(geometry.ue_velocity_at(15.0)[0], [0, 1, 0])
    assert set(MOBILITIES.names()) >= {"static", "linear", "random_waypoint", "manhattan", "trace"}
