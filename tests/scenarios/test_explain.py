"""pydantic's findings in plain words, on a schema of this file's own. Oracle: the sentences are written out here."""

from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from channel.component import Component, Settings
from channel.registry import Registry
from scenarios.document import parse
from scenarios.explain import explain
from scenarios.fields import Bounds, Place, places

SHAPES: Registry[Component] = Registry("shape", Component)


@SHAPES.register("round")
class Round(Component):
    """No corners."""

    radius_m: float = Field(default=1.0, gt=0)


@SHAPES.register("nested")
class Nested(Component):
    """A shape in a shape."""

    inner: Annotated[Component, SHAPES.field()] = Round()


class Part(Settings):
    """One of a list."""

    width: int = Field(ge=1, le=9, description="steps")


class Box(Settings):
    """Every kind of field that a scenario may have."""

    shape: Annotated[Component, SHAPES.field()] = Round()
    shapes: tuple[Annotated[Component, SHAPES.field()], ...] = ()
    parts: list[Part] = []  # noqa: RUF012
    pair: tuple[int, float] = (1, 1.0)
    limit: int | Literal["none"] = "none"
    least: int | None = Field(default=None, ge=1)
    open: bool = False
    code: str = Field(default="A", pattern="^[A-Z]+$")
    weights: dict[str, float] = {}  # noqa: RUF012


ROOT = Place.of(Box)


def explained(text: str) -> list[str]:
    tree = parse(text, "x.yaml")
    with pytest.raises(ValidationError) as error:
        Box.model_validate(tree.plain())
    return sorted(str(problem) for problem in explain(error.value, tree, ROOT))


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("shape: {name: round, radius_m: 0}", ["x.yaml:1: shape.radius_m: expected a number, above 0, got 0"]),
        (
            "shape:\n  name: nested\n  inner:\n    name: round\n    radius: 1",
            ["x.yaml:5: shape.inner.radius: unknown key; did you mean 'radius_m'? Known: radius_m"],
        ),
        (
            "shape:\n  name: nested\n  inner: rond",
            ["x.yaml:3: shape.inner: unknown shape 'rond'; did you mean 'round'? Known: nested, round"],
        ),
        (
            "shapes:\n- round\n- name: round\n  radius_m: -2",
            ["x.yaml:4: shapes[1].radius_m: expected a number, above 0, got -2; did you mean 2?"],
        ),
        (
            "parts:\n- width: 1\n- {}",
            ["x.yaml:3: parts[1].width: missing; expected a whole number, 1 to 9 (steps)"],
        ),
        ("parts: [{width: 12}]", ["x.yaml:1: parts[0].width: expected a whole number, 1 to 9 (steps), got 12; "
                                  "did you mean 9?"]),
        ("pair: [1, x]", ["x.yaml:1: pair[1]: expected a number, got 'x'"]),
        ("pair: [x, 1]", ["x.yaml:1: pair[0]: expected a whole number, got 'x'"]),
        ("least: 0", ["x.yaml:1: least: expected a whole number, at least 1, got 0; did you mean 1?"]),
        ("open: maybe", ["x.yaml:1: open: expected true or false, got 'maybe'"]),
        ("code: ab", ["x.yaml:1: code: expected text of the form ^[A-Z]+$, got 'ab'; did you mean 'AB'?"]),
        ("code: a b", ["x.yaml:1: code: expected text of the form ^[A-Z]+$, got 'a b'"]),
        ("weights: {a: x}", ["x.yaml:1: weights.a: expected a number, got 'x'"]),
        (
            "limit: some",
            ["x.yaml:1: limit: expected 'none', got 'some'", "x.yaml:1: limit: expected a whole number, got 'some'"],
        ),
    ],
)  # fmt: skip
def test_message(text: str, messages: list[str]) -> None:
    """Members that pydantic chose of a union or registry never show up in the path; list indices do."""
    assert explained(text) == messages


@pytest.mark.parametrize(
    ("written", "meant"),
    [("20 MHz", "20e6"), ("3.5GHz", "3.5e9"), ("30 kHz", "30e3"), ("5 ms", "5e-3"), ("10 m", "10"),
     ("200 mW", "200e-3"), ("1.4 m/s", "1.4"), ("23 dBm", "23"), ("9 dB", "9"), ("fast", None), ("10 min", None)],
)  # fmt: skip
def test_a_number_with_its_unit(written: str, meant: str | None) -> None:
    """Oracle: SI prefixes."""
    [message] = explained(f"shape: {{name: round, radius_m: {written}}}")
    assert message.endswith(f"got '{written}'" + (f"; did you mean {meant}?" if meant else ""))


numbers = st.integers(-20, 20)


@given(low=numbers, width=st.integers(1, 9), open_ends=st.tuples(st.booleans(), st.booleans()), value=numbers)
@settings(max_examples=200, deadline=None)
def test_bounds_agree_with_pydantic(low: int, width: int, open_ends: tuple[bool, bool], value: int) -> None:
    """Oracle: pydantic's own decision; and the nearest end, where it is allowed, is nearer than any other value."""
    ends = {"gt" if open_ends[0] else "ge": low, "lt" if open_ends[1] else "le": low + width}
    field = Field(**ends)  # type: ignore[call-overload]
    Model = type("Model", (Settings,), {"__annotations__": {"x": Annotated[int, field]}})  # noqa: N806
    bounds = Place.of(Model).child("x").bounds
    try:
        Model(x=value)
        accepted = True
    except ValidationError:
        accepted = False
    assert (value in bounds) == accepted
    near = bounds.nearest(value)
    if not accepted and near is not None:
        inside = [number for number in range(-20, 40) if number in bounds]
        assert near == min(inside, key=lambda number: abs(number - value))


def test_bounds_without_an_end() -> None:
    assert [number in Bounds(low=1) for number in (0, 1, 1e9)] == [False, True, True]
    assert -1e9 in Bounds()
    assert Bounds(low=1).nearest(-5) == 1
    assert Bounds(low=1, low_is_open=True).nearest(-5) is None


def test_places_stop_at_components() -> None:
    assert [path for path, _ in places(ROOT)][:3] == [("shape",), ("shapes",), ("parts",)]
    assert ROOT.child("shape").component("nested").child("inner").registry is SHAPES
    assert ROOT.child("shapes").child(0).registry is SHAPES
    assert ROOT.child("nothing").child("at").child(3).keys == []
