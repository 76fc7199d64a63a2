"""Oracles: hand-computed traces, the closed form of layer-3 filtering, a second implementation, properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from ran.handover import Handover
from ran.handover_kernels import HANDOVER, NONE, REESTABLISHMENT, MobilityState, measure

GOOD, BAD = 10.0, 0.01  # SINRs: 10 dB and -20 dB


class Walk:
    """One UE between cells, measured on a grid of instants."""

    def __init__(self, handover: Handover, cells: int = 2, serving: int = 0) -> None:
        self.handover, self.state = handover, MobilityState.start(1, 1, cells)
        self.serving = np.array([[serving]], np.int32)
        self.previous_s = math.nan

    def step(self, now_s: float, rsrp_db: list[float], sinr: float = GOOD) -> int:
        """Measure once; return what changed."""
        rsrp_w = 10 ** (np.array(rsrp_db)[None, None] / 10)
        changes = measure(self.handover, self.state, self.serving, rsrp_w, np.array([[sinr]]), now_s, self.previous_s)
        self.previous_s = now_s
        return int(changes[0, 0])

    def run(self, times, trace, sinr=lambda time: GOOD) -> list[tuple[int, int, int]]:
        """Return (index of the instant, change, serving cell) of every change."""
        out = []
        for index, now_s in enumerate(times):
            change = self.step(now_s, trace(now_s), sinr(now_s))
            if change != NONE:
                out.append((index, change, int(self.serving[0, 0])))
        return out

    def count(self, name: str) -> int:
        """Return a counter."""
        return int(self.state.ue[name][0, 0])


def test_a_ramp_hands_over_when_offset_hysteresis_and_time_to_trigger_say():
    """Oracle: by hand. -90 + 20 t passes -80 + 3 + 1 at t = 0.7 s; first seen at 0.72 s (40 ms), triggers 0.16 s later.

    Catches a forgotten offset, hysteresis of the wrong sign, a timer that starts late, rounding of the clock.
    """
    walk = Walk(Handover(filter_coefficient=0))
    times = [0.04 * k for k in range(40)]
    assert walk.run(times, lambda t: [-80.0, -90.0 + 20.0 * t]) == [(22, HANDOVER, 1)]  # 0.88 s
    assert walk.state.ue["blocked_until_s"][0, 0] == pytest.approx(0.88 + 0.05)
    assert walk.count("handovers") == 1
    assert walk.count("ping_pongs") == walk.count("failures") == 0


@pytest.mark.parametrize(
    ("change", "index"),
    [
        ({"offset_db": 0.0}, 18), ({"offset_db": -3.0}, 15), ({"hysteresis_db": 0.0}, 21),
        ({"time_to_trigger_s": 0.0}, 18), ({"time_to_trigger_s": 0.64}, 34),
    ],
)  # fmt: skip
def test_each_parameter_shifts_the_handover_by_its_own_amount(change, index):
    """Oracle: by hand, crossings at 0.55+, 0.4+, 0.65+, 0.7+ and 0.7+ s on a grid of 40 ms, then time to trigger."""
    walk = Walk(Handover(filter_coefficient=0, **change))
    times = [0.04 * k for k in range(60)]
    assert [row[0] for row in walk.run(times, lambda t: [-80.0, -90.0 + 20.0 * t])] == [index]


@pytest.mark.parametrize("k", [0, 4, 8, 19])
@pytest.mark.parametrize("period_s", [0.01, 0.04, 0.2])
def test_filter_keeps_its_step_response_at_any_period(k, period_s):
    """Oracle: closed form, F(t) = M - step (1 - 2^(-k/4))^(t / 0.2 s); at 200 ms TS 38.331's own (5.5.3.2).

    Catches an unadapted coefficient, filtering in watts, a first value that is not the first measurement.
    """
    walk = Walk(Handover(filter_coefficient=k))
    walk.step(0.0, [-80.0, -110.0])
    assert walk.state.rsrp_db[0, 0] == pytest.approx([-80.0, -110.0])
    for n in range(1, 21):
        walk.step(n * period_s, [-80.0, -90.0])
        left = 20.0 * (1 - 2 ** (-k / 4)) ** (n * period_s / 0.2)
        assert walk.state.rsrp_db[0, 0, 1] == pytest.approx(-90.0 - left, abs=2e-4)


def test_filter_delays_a_handover_by_its_closed_form():
    """Oracle: a step from -100 to -60 dB passes -76 dB after 0.2 s log2(40 / 16) = 0.2644 s (k = 4)."""
    walk = Walk(Handover())
    times = [0.02 * n for n in range(60)]
    got = walk.run(times, lambda t: [-80.0, -100.0 if t == 0 else -60.0])
    assert got == [(14 + 8, HANDOVER, 1)]  # seen at 0.28 s, and 0.16 s


def test_no_handover_within_offset_and_hysteresis_or_shorter_than_time_to_trigger():
    """Property: 3.9 dB better for ever, or 10 dB better for 0.12 s at a time, moves nobody."""
    times = [0.04 * k for k in range(300)]
    assert Walk(Handover(filter_coefficient=0)).run(times, lambda t: [-80.0, -76.1]) == []
    pulse = Walk(Handover(filter_coefficient=0))
    assert pulse.run(times, lambda t: [-80.0, -70.0 if round(t / 0.04) % 5 < 4 else -77.0]) == []
    assert Walk(Handover(filter_coefficient=0)).run(times[:6], lambda t: [-80.0, -75.9]) == [(4, HANDOVER, 1)]


def test_every_neighbour_has_its_own_timer():
    """Oracle: by hand. Cell 1 enters at 0, cell 2 at 0.08; cell 1 leaves at 0.12: cell 2 triggers at 0.24.

    At 0.16 cell 1 and 2 both triggered would take the stronger. Catches one timer shared by all neighbours.
    """
    times = [0.04 * k for k in range(12)]

    def trace(t: float) -> list[float]:
        return [-80.0, -70.0 if t < 0.1 else -90.0, -71.0 if t > 0.07 else -90.0]

    assert Walk(Handover(filter_coefficient=0), 3).run(times, trace) == [(6, HANDOVER, 2)]
    both = Walk(Handover(filter_coefficient=0), 3).run(times[:6], lambda t: [-80.0, -72.0, -71.0])
    assert both == [(4, HANDOVER, 2)]


@pytest.mark.parametrize(("ping_pong_s", "expected"), [(1.0, 3), (0.3, 0)])
def test_returns_within_the_limit_are_ping_pongs(ping_pong_s, expected):
    """Oracle: by hand. The better cell alternates every 0.4 s: handovers 0-1-0-1-0, of which three return in 0.4 s.

    Catches counting the first handover, or any handover soon after another (cell 2) as a ping-pong.
    """
    walk = Walk(Handover(filter_coefficient=0, ping_pong_s=ping_pong_s), 3)
    times = [0.04 * k for k in range(44)]
    got = walk.run(times, lambda t: [-80.0, -70.0 if int(t / 0.4 + 1e-6) % 2 == 0 else -90.0, -200.0])
    assert [cell for _, _, cell in got] == [1, 0, 1, 0]
    assert walk.count("ping_pongs") == expected
    other = Walk(Handover(filter_coefficient=0), 3)
    on = other.run(times, lambda t: [-80.0, -70.0, -90.0 if t < 0.5 else -60.0])
    assert [cell for _, _, cell in on] == [1, 2]
    assert other.count("ping_pongs") == 0


def test_t310_starts_stops_and_expires():
    """Oracle: by hand. Bad from 0.2 s: failure at 1.2 s on the strongest cell, nothing until 1.4 s.

    Between Qout and Qin T310 runs on; above Qin it stops. Catches a timer that any SINR above Qout stops.
    """
    quiet = Handover(filter_coefficient=0)
    between = 10 ** (-7.0 / 10)
    times = [0.04 * k for k in range(60)]
    cells = [-80.0, -79.0, -78.0]

    def run(sinr):
        walk = Walk(quiet, 3)
        return walk.run(times, lambda t: cells, sinr), walk

    got, walk = run(lambda t: BAD if t > 0.19 else GOOD)
    assert got == [(30, REESTABLISHMENT, 2)]
    assert walk.state.ue["blocked_until_s"][0, 0] == pytest.approx(1.4)
    assert (walk.count("failures"), walk.count("handovers")) == (1, 0)
    assert run(lambda t: BAD if 0.19 < t < 0.3 else between if t > 0.3 else GOOD)[0] == [(30, REESTABLISHMENT, 2)]
    assert run(lambda t: GOOD if abs(t - 1.0) < 0.01 else BAD)[0] == [(26 + 25, REESTABLISHMENT, 2)]
    assert run(lambda t: between)[0] == []


def test_an_interrupted_ue_is_left_alone():
    """Oracle: by hand. A handover at 0.16 s blocks for 1 s; the return triggers 0.16 s after that, not before."""
    walk = Walk(Handover(filter_coefficient=0, interruption_s=1.0))
    got = walk.run([0.04 * k for k in range(60)], lambda t: [-80.0, -70.0] if t < 0.17 else [-70.0, -80.0])
    assert got == [(4, HANDOVER, 1), (29 + 4, HANDOVER, 0)]


def test_after_idle_air_a_ue_moves_at_once():
    """Oracle: by hand. After 100 s unmeasured the filter forgets, and the best neighbour is taken without interruption.

    The first measurement ever moves nobody; a gap of 0.9 s is no gap. Catches a filter that remembers.
    """
    walk = Walk(Handover(filter_coefficient=19), 3)
    assert walk.step(0.0, [-80.0, -70.0, -60.0]) == NONE
    assert walk.step(0.9, [-80.0, -70.0, -60.0]) == HANDOVER  # time to trigger is long over
    assert walk.step(100.0, [-50.0, -45.0, -60.0], BAD) == HANDOVER
    assert int(walk.serving[0, 0]) == 1
    assert walk.state.ue["blocked_until_s"][0, 0] == 100.0
    assert walk.state.rsrp_db[0, 0] == pytest.approx([-50.0, -45.0, -60.0])
    assert walk.step(200.0, [-44.0, -45.0, -60.0]) == NONE


@pytest.mark.parametrize("nothing", [0.0, math.nan, -1.0])
def test_a_cell_that_is_not_received_is_never_chosen(nothing):
    """Property: by A3, after a gap, nor in re-establishment; one that appears again starts its filter anew."""
    walk = Walk(Handover(offset_db=-15.0, t310_s=0.04), 2)
    heard, deaf = np.array([[[1e-9, nothing]]]), np.array([[[nothing, nothing]]])
    for n, (rsrp, sinr) in enumerate([(heard, GOOD)] * 10 + [(heard, BAD)] * 20 + [(deaf, math.nan)] * 20):
        measure(walk.handover, walk.state, walk.serving, rsrp, np.array([[sinr]]), 0.04 * n, 0.04 * (n - 1))
        assert walk.serving[0, 0] == 0
    measure(walk.handover, walk.state, walk.serving, heard, np.array([[GOOD]]), 500.0, 2.0)
    assert walk.serving[0, 0] == 0
    assert walk.count("failures") >= 2
    assert walk.count("handovers") == 0
    back = np.array([[[nothing, 1e-9]]])
    measure(walk.handover, walk.state, walk.serving, back, np.array([[GOOD]]), 500.04, 500.0)
    assert walk.state.rsrp_db[0, 0] == pytest.approx([-np.inf, -90.0])


def random_traces(seed: int, batch: int, ues: int, cells: int, steps: int):
    """Return RSRP (W) and SINR that wander, some cells silent, [steps, batch, ues, cells] and [steps, batch, ues]."""
    rng = np.random.default_rng(seed)
    level = rng.uniform(-120, -90, (batch, ues, cells)) + np.cumsum(rng.normal(0, 2.0, (steps, batch, ues, cells)), 0)
    rsrp = np.where(rng.random((batch, ues, cells)) < 0.1, 0.0, 10 ** (level / 10))
    sinr = 10 ** (np.cumsum(rng.normal(0, 1.5, (steps, batch, ues)), 0) / 10 - 0.3)
    return rsrp, sinr


def by_the_book(handover: Handover, times, rsrp_w, sinr, serving: int) -> list[tuple[int, int]]:
    """Return (change, serving cell) at every instant for one UE: a second, plain implementation."""
    keep_200ms = 1 - 2 ** (-handover.filter_coefficient / 4)
    out, filtered, since, t310, blocked, previous = [], {}, {}, None, -1.0, None
    for now, powers, quality in zip(times, rsrp_w, sinr, strict=True):
        heard = {c: 10 * math.log10(w) for c, w in enumerate(powers) if w > 0}
        gap = previous is not None and now - previous > max(1.0, handover.time_to_trigger_s)
        if gap:
            filtered, since, t310 = {}, {}, None
        keep = 0.0 if previous is None else keep_200ms ** ((now - previous) / 0.2)
        filtered = {c: keep * filtered.get(c, m) + (1 - keep) * m for c, m in heard.items()}
        previous, change = now, NONE
        if now >= blocked - 1e-9:
            bar = filtered.get(serving, -math.inf) + handover.offset_db + handover.hysteresis_db
            holds = [c for c, level in filtered.items() if c != serving and level > bar]
            since = {c: since.get(c, now) for c in holds}
            wait = 0.0 if gap else handover.time_to_trigger_s
            ripe = [c for c in holds if now - since[c] >= wait - 1e-9]
            if quality > 10 ** (handover.qin_db / 10):
                t310 = None
            elif t310 is None and quality < 10 ** (handover.qout_db / 10):
                t310 = now
            if ripe:
                change, pause = HANDOVER, 0.0 if gap else handover.interruption_s
                serving = max(ripe, key=lambda c: filtered[c])
            elif t310 is not None and now - t310 >= handover.t310_s - 1e-9:
                change, pause = REESTABLISHMENT, handover.reestablishment_s
                serving = max([serving, *filtered], key=lambda c: filtered.get(c, -math.inf))
            if change != NONE:
                since, t310, blocked = {}, None, now + pause
        out.append((change, serving))
    return out


HANDOVERS = st.builds(
    Handover,
    offset_db=st.sampled_from([-2.0, 0.0, 3.0]),
    hysteresis_db=st.sampled_from([0.0, 1.0]),
    time_to_trigger_s=st.sampled_from([0.0, 0.04, 0.16]),
    filter_coefficient=st.sampled_from([0, 4, 11]),
    interruption_s=st.sampled_from([0.0, 0.05]),
    t310_s=st.sampled_from([0.0, 0.2, 1.0]),
)


@settings(max_examples=60, deadline=None)
@given(HANDOVERS, st.integers(0, 2**31), st.integers(1, 5), st.integers(0, 40))
def test_kernel_equals_a_plain_second_implementation(handover, seed, cells, gap_at):
    """Oracle: ``by_the_book``, cells, changes and counters, with a gap of idle air; and replica b equals b alone.

    Catches replicas or UEs that share a timer, an index swapped between cell and UE, counters that miss a change.
    """
    batch, ues, steps = 2, 3, 60
    times = np.arange(steps) * 0.04 + np.where(np.arange(steps) >= gap_at, 7.0, 0.0)
    rsrp, sinr = random_traces(seed, batch, ues, cells, steps)
    state = MobilityState.start(batch, ues, cells)
    serving = np.zeros((batch, ues), np.int32)
    got = np.zeros((steps, batch, ues, 2), int)
    before = state.copy()
    for n in range(steps):
        change = measure(handover, state, serving, rsrp[n], sinr[n], times[n], times[n - 1] if n else math.nan)
        got[n] = np.stack([change, serving], -1)
        assert ((serving >= 0) & (serving < cells)).all()
        for name in ("handovers", "ping_pongs", "failures"):
            assert (state.ue[name] >= before.ue[name]).all()
        before = state.copy()
    for b in range(batch):
        for u in range(ues):
            expected = by_the_book(handover, times, rsrp[:, b, u], sinr[:, b, u], 0)
            assert [tuple(row) for row in got[:, b, u]] == expected
    assert (state.ue["handovers"] == (got[..., 0] == HANDOVER).sum(0)).all()
    assert (state.ue["failures"] == (got[..., 0] == REESTABLISHMENT).sum(0)).all()
    assert (state.ue["ping_pongs"] <= state.ue["handovers"]).all()


def test_replicas_are_independent():
    """Property: replica 1 of 3 equals itself alone, whole state, bit for bit."""
    rsrp, sinr = random_traces(5, 3, 4, 4, 80)
    handover = Handover(time_to_trigger_s=0.04, t310_s=0.2)
    states = []
    for chosen in (slice(0, 3), slice(1, 2)):
        state, serving = MobilityState.start(rsrp[:, chosen].shape[1], 4, 4), np.zeros((3, 4), np.int32)[chosen]
        for n in range(80):
            measure(handover, state, serving, rsrp[n, chosen], sinr[n, chosen], 0.04 * n, 0.04 * (n - 1))
        states.append((state, serving))
    (many, cells), (alone, cell) = states
    assert (cells[1:2] == cell).all()
    for name, array in alone.arrays().items():
        assert many.arrays()[name][1:2].tobytes() == array.tobytes()
    assert alone.ue["handovers"].sum() > 0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_mode_off_changes_nothing(seed):
    """Property: neither cells nor state, whatever the radio does."""
    rsrp, sinr = random_traces(seed, 1, 3, 3, 20)
    state, serving = MobilityState.start(1, 3, 3), np.zeros((1, 3), np.int32)
    for n in range(20):
        assert not measure(Handover(mode="off", t310_s=0.0), state, serving, rsrp[n], sinr[n], n, n - 1).any()
    assert not serving.any()
    for name, array in MobilityState.start(1, 3, 3).arrays().items():
        assert state.arrays()[name].tobytes() == array.tobytes()


@settings(max_examples=40, deadline=None)
@given(st.floats(2.0, 40.0), st.sampled_from([0, 4, 8]), st.sampled_from([0.0, 0.16, 0.48]))
def test_half_the_period_hands_over_within_one_period(slope_db_s, k, time_to_trigger_s):
    """Property: refinement. Catches an unadapted filter, and timers that count measurements."""
    handover = Handover(filter_coefficient=k, time_to_trigger_s=time_to_trigger_s)

    def instant_s(period_s: float) -> float:
        times = np.arange(0.0, 20.0, period_s)
        got = Walk(handover).run(times, lambda t: [-80.0, -90.0 + slope_db_s * t])
        return float(times[got[0][0]])

    assert abs(instant_s(0.04) - instant_s(0.02)) <= 0.04 + 1e-9


def test_parameters_out_of_range_are_refused():
    """Catches a Qin below Qout, a coefficient that TS 38.331 does not have, a time to trigger in milliseconds."""
    with pytest.raises(ValidationError, match="qin_db \\(-9\\) is below qout_db \\(-8\\)"):
        Handover(qin_db=-9.0)
    for wrong in ({"filter_coefficient": 10}, {"time_to_trigger_s": 160.0}, {"hysteresis_db": -1.0}, {"a3": 1}):
        with pytest.raises(ValidationError):
            Handover(**wrong)
