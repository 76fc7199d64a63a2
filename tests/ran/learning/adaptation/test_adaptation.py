"""Choices of cut, width and quantiser, against costs by hand and every choice tried."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channel.errors import UserError
from ran.learning.adaptation import ADAPTATIONS, Fixed
from ran.learning.adaptation.agent import OBSERVED, Agent, observe
from ran.learning.adaptation.exhaustive import Exhaustive
from ran.learning.adaptation.greedy import Greedy
from ran.learning.adaptation.menu import CutOption, Menu, Quantiser, Situation, Work
from ran.nodes import DeviceProfile

CUTS = tuple(CutOption(after, 1e6 * after, 1e6 * (6 - after), 1e6 * after, 1000) for after in (1, 2, 3, 4, 5))
WIDTHS = (1.0, 0.75, 0.5, 0.25)
QUANTISERS = (Quantiser("none", 32), Quantiser("fp16", 16), Quantiser("int8", 8))
QUALITY = (
    np.array([0.0, 0.5, 1.0, 1.5, 2.0])[:, None, None]
    - np.array([0.0, 0.2, 0.6, 1.5])[:, None]
    - np.array([0.0, 0.1, 0.45])
)
PHONE = DeviceProfile(clock_hz=1e9, flops_per_cycle=1.0, memory_bytes=5e6)
MENU = Menu(CUTS, WIDTHS, QUANTISERS, QUALITY, Work(3, 8, 2, 1e10, 0.2))


def situation(uplink=1e6, downlink=2e6, deadline=math.inf, device=PHONE):
    return Situation(device, uplink, downlink, deadline)


def test_cost_of_a_choice_by_hand():
    """Oracle: by hand: 2 micro-batches of 4 samples, cut after 2 layers, half the width, 16 bits, 3 batches.

    UE 4 x 2e6 / 1e9 = 8 and 16 ms; 4 x 500 x 16 = 32 kbit: 32 ms up, 16 down; server 4 x 4e6 / 1e10 = 1.6 and 3.2 ms.
    Forward 41.6 + 32, backward 35.2 + 16 ms. Energy: kappa f^2 FLOPs + (radiated / 0.35 + 0.2 + ...) of 6 passes.
    """
    cost = MENU.cost((1, 2, 1), situation())
    assert cost.time_s == pytest.approx(3 * (0.0416 + 0.032 + 0.0352 + 0.016))
    assert cost.uplink_bytes == cost.downlink_bytes == 6 * 4000
    assert cost.memory_bytes == 2e6
    energy_j = 1e-28 * 3 * 2e6 * 24 * 1e18 + 6 * 0.032 * (0.2 / 0.35 + 0.2) + 6 * 0.016 * 0.5
    assert cost.energy_j == pytest.approx(energy_j)


def test_the_oracle_by_hand():
    """Oracle: by hand: with time the dearest choice that fits the memory; without time, or differences, the fastest."""
    assert Exhaustive().choose(MENU, situation()) == (4, 0, 0)
    small = DeviceProfile(device_class="sensor", memory_bytes=2.5e6)
    assert Exhaustive().choose(MENU, situation(device=small)) == (1, 0, 0)
    assert Exhaustive().choose(MENU, situation(deadline=0.0)) == (0, 3, 2)
    alike = Menu(CUTS, WIDTHS, QUANTISERS, 0 * QUALITY, MENU.work)
    assert Exhaustive().choose(alike, situation()) == (0, 3, 2)
    tiny = DeviceProfile(device_class="sensor", memory_bytes=1e5)
    for rule in (Exhaustive(), Greedy(), Fixed()):
        with pytest.raises(UserError, match=r"after layer 1 takes 1.0 MB on the UE, and the sensor has 0.1 MB"):
            rule.choose(MENU, situation(device=tiny))


RATE = st.floats(3, 9).map(lambda power: 10**power)


@given(RATE, RATE, st.floats(-4, 3).map(lambda power: 10**power), st.floats(8, 9.9), st.integers(1, 6))
def test_greedy_beside_the_oracle(uplink, downlink, deadline, speed, megabytes):
    """Oracle: every choice tried: greedy is in time whenever any choice is, never of higher quality, and it fits."""
    device = DeviceProfile(device_class="laptop", clock_hz=10**speed, flops_per_cycle=1.0, memory_bytes=1e6 * megabytes)
    now = situation(uplink, downlink, deadline, device)
    allowed = [place for place in MENU.places() if CUTS[place[0]].memory_bytes <= device.memory_bytes]
    times = {place: MENU.cost(place, now).time_s for place in allowed}
    in_time = [place for place in allowed if times[place] <= deadline]
    best, near = Exhaustive().choose(MENU, now), Greedy().choose(MENU, now)
    assert {best, near} <= set(allowed)
    if in_time:
        assert {best, near} <= set(in_time)
        assert MENU.quality[best] == max(MENU.quality[place] for place in in_time) >= MENU.quality[near]
    else:
        assert times[best] == min(times.values()) == pytest.approx(times[near], rel=1e-12)


def test_greedy_by_hand():
    """Oracle: by hand: one batch of one sample, so that steps save 3 x UE, less server, and air in full.

    Full: UE 5 + 10, server 0.1 + 0.2, 32 kbit at 1 and 2 Mbit/s 32 + 16: 63.3 ms. Quantiser: 24 ms for 0.1; width 12 ms
    for 0.2; cut 3 - 0.3 ms for 0.5: fp16, 39.3 ms. Then int8 12 ms for 0.35, width 6 ms for 0.2: int8, 27.3 ms. Then
    width 3 ms for 0.2 and the cut as before: width, 24.3 ms; 3 ms for 0.4, 21.3 ms; then the cut, as 3 ms cost 0.9.
    """
    menu = Menu(CUTS, WIDTHS, QUANTISERS, QUALITY, Work(1, 1, 1, 1e10, 0.2))
    assert menu.cost((4, 0, 0), situation()).time_s == pytest.approx(0.0633)
    assert Greedy().choose(menu, situation(deadline=0.07)) == (4, 0, 0)
    assert Greedy().choose(menu, situation(deadline=0.06)) == (4, 0, 1)
    assert Greedy().choose(menu, situation(deadline=0.03)) == (4, 0, 2)
    assert Greedy().choose(menu, situation(deadline=0.025)) == (4, 1, 2)
    assert Greedy().choose(menu, situation(deadline=0.022)) == (4, 2, 2)
    assert Greedy().choose(menu, situation(deadline=0.02)) == (3, 2, 2)


def test_greedy_takes_no_faster_cut_that_does_not_fit():
    """Oracle: by hand: a UE ten times as fast as the server, but with memory for the first cut only."""
    fast = DeviceProfile(device_class="laptop", clock_hz=1e9, flops_per_cycle=100.0, memory_bytes=1.5e6)
    assert MENU.cost((4, 0, 0), situation(device=fast)).time_s < MENU.cost((0, 0, 0), situation(device=fast)).time_s
    assert Greedy().choose(MENU, situation(deadline=0.0, device=fast)) == (0, 3, 2)


def test_the_agent_hook():
    """Oracle: by hand: the action is the choice, the mask says what fits, the vector is what it says."""
    now = situation(deadline=0.1, device=DeviceProfile(clock_hz=1e9, flops_per_cycle=1.0, memory_bytes=3e6))
    assert Agent().choose(MENU, now, (2, 3, 1)) == (2, 3, 1)
    mask = MENU.fits(now)
    assert mask.shape == MENU.sizes == (5, 4, 3)
    assert mask.any(axis=(1, 2)).tolist() == mask.all(axis=(1, 2)).tolist() == [True, True, True, False, False]
    with pytest.raises(UserError, match=r"after layer 4 takes 4.0 MB"):
        Agent().choose(MENU, now, (3, 0, 0))
    with pytest.raises(UserError, match="needs an environment whose agent acts; in a plain run choose greedy"):
        Agent().choose(MENU, now)
    for action in ((5, 0, 0), (0, 0), (0, -1, 0)):
        with pytest.raises(UserError, match=r"for a menu of \[5, 4, 3\]; give a place of each, from 0"):
            Agent().choose(MENU, now, action)
    seen = observe(MENU, now)
    assert seen.dtype == np.float32
    assert len(seen) == len(OBSERVED)
    assert seen[:5] == pytest.approx([6, math.log10(2e6), 9, math.log10(3e6), -1], rel=1e-6)
    times = [MENU.cost(place, now).time_s for place in ((2, 0, 0), (0, 3, 2))]
    assert 10 ** seen[5:] == pytest.approx(times, rel=1e-5)


@pytest.mark.parametrize("name", [each for each in ADAPTATIONS.names() if each != "policy"])
def test_every_rule_answers_a_place_of_the_menu(name):
    """Property of every registered rule: a place that fits, the same each time."""
    rule = ADAPTATIONS.get(name)()
    now = situation(deadline=0.05)
    place = rule.choose(MENU, now, (1, 1, 1))
    assert place == rule.choose(MENU, now, (1, 1, 1))
    assert MENU.fits(now)[place]


def test_a_menu_has_a_quality_for_everything():
    """Property: a table of another shape is refused."""
    with pytest.raises(ValueError, match=r"quality of shape \(5, 4\) for a menu of \(5, 4, 3\)"):
        Menu(CUTS, WIDTHS, QUANTISERS, QUALITY[..., 0], MENU.work)
