"""Contract of every registered adaptation, also one added tomorrow."""

from __future__ import annotations

import pickle
from typing import Annotated, Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from channel.errors import UserError
from ran.learning.adaptation import ADAPTATIONS, Adaptation
from ran.learning.adaptation.menu import CutOption, Menu, Quantiser, Situation, Work
from ran.nodes import DeviceProfile

# A policy is a file; tests/agents/test_policies_in_scenarios.py writes one.
NAMES = [name for name in ADAPTATIONS.names() if name != "policy"]
FIELD: TypeAdapter[Any] = TypeAdapter(Annotated[Adaptation, ADAPTATIONS.field()])


@st.composite
def menus(draw):
    """Any menu: costs, qualities and orders of all kinds, and an action that is a place of it."""
    sizes = [draw(st.integers(1, 3)) for _ in range(3)]
    mega = st.floats(0.1, 10).map(lambda number: 1e6 * number)
    cuts = tuple(
        CutOption(after, draw(mega), draw(mega), draw(mega), draw(st.integers(1, 2000)), side_bytes=draw(mega) / 1e3)
        for after in range(1, sizes[0] + 1)
    )
    widths = tuple(draw(st.sampled_from([0.25, 0.5, 0.75, 1.0])) for _ in range(sizes[1]))
    quantisers = tuple(Quantiser("any", draw(st.sampled_from([8, 16, 32]))) for _ in range(sizes[2]))
    quality = np.array(draw(st.lists(st.integers(0, 4), min_size=int(np.prod(sizes)), max_size=int(np.prod(sizes)))))
    work = Work(draw(st.integers(1, 4)), draw(st.floats(1, 32)), draw(st.integers(1, 2)), 1e10, 0.2)
    menu = Menu(cuts, widths, quantisers, quality.reshape(sizes).astype(float), work)
    return menu, tuple(draw(st.integers(0, size - 1)) for size in sizes)


@st.composite
def situations(draw):
    device = DeviceProfile(device_class="laptop", clock_hz=10 ** draw(st.floats(8, 9.9)), flops_per_cycle=1.0,
                           memory_bytes=10 ** draw(st.floats(5, 7.2)))  # fmt: skip
    up, down, deadline = (10 ** draw(st.floats(*bounds)) for bounds in ((3, 9), (3, 9), (-4, 3)))
    return Situation(device, up, down, deadline)


def rank(menu, place, now):
    """Return what makes a choice better than another: in time, then quality and speed, or speed alone."""
    time_s = menu.cost(place, now).time_s
    return (True, menu.quality[place], -time_s) if time_s <= now.deadline_s else (False, -time_s, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_pickle_and_yaml_round_trip(name):
    """Oracle: the object itself."""
    rule = ADAPTATIONS.get(name)()
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert FIELD.validate_python(yaml.safe_load(yaml.safe_dump(rule.model_dump(mode="json")))) == rule
    assert FIELD.validate_python(name) == rule


@pytest.mark.parametrize("name", NAMES)
@given(menus(), situations())
def test_choices_are_places_that_fit_and_no_better_than_the_best(name, given_menu, now):
    """Oracle: the menu itself, every place of it tried: equal calls, a place, memory, and the exhaustive rule's rank.

    A rule that would have to leave the memory refuses instead, and says which cut is too large.
    """
    menu, action = given_menu
    rule = ADAPTATIONS.get(name)()
    bound = {"fixed": (0, 0, 0), "agent": action}.get(name)
    if not (menu.fits(now)[bound] if bound else menu.fits(now).any()):
        with pytest.raises(UserError, match="MB on the UE"):
            rule.choose(menu, now, action)
        return
    place = rule.choose(menu, now, action)
    assert place == rule.choose(menu, now, action)
    assert place in set(menu.places())
    assert menu.cuts[place[0]].memory_bytes <= now.device.memory_bytes
    best = ADAPTATIONS.get("exhaustive")().choose(menu, now)
    assert rank(menu, best, now) >= rank(menu, place, now)
    assert rank(menu, best, now) == max(rank(menu, each, now) for each in menu.places() if menu.fits(now)[each])
