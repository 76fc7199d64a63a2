"""YAML documents as trees with places. Oracle: PyYAML itself where the two must agree, else YAML 1.2's core schema."""

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios.document import parse
from scenarios.errors import ScenarioError

WORDS = st.text("abcxyz _-", min_size=1, max_size=8).map(lambda word: f"k{word}k")
# PyYAML leaves such text unquoted, for it reads 3.5e9 as text; a scenario's is a number (DESIGN 3.8).
NUMBERS = re.compile(r"[-+]?(\.[0-9]+|[0-9_]+(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
TEXTS = st.text(max_size=12).filter(lambda text: not NUMBERS.fullmatch(text))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4), max_leaves=12
)


@given(VALUES)
@settings(max_examples=150, deadline=None)
def test_reads_what_pyyaml_writes(value: object) -> None:
    """Numbers, quotes and nesting come back as they went in, in block and in flow style."""
    for flow in (False, True):
        assert parse(yaml.safe_dump(value, default_flow_style=flow), "x.yaml").plain() == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.5e9", 3.5e9),
        ("20e6", 20e6),
        ("1E-28", 1e-28),
        ("+.5", 0.5),
        ("1_000", 1000),
        ("0x1F", 31),
        ("010", 10.0),
        ("-3", -3),
        ("on", "on"),
        ("no", "no"),
        ("1:30", "1:30"),
        ("2026-01-31", "2026-01-31"),
        ("true", True),
        ("~", None),
        ("nan", "nan"),
        (".inf", float("inf")),
    ],
)
def test_scalars_of_yaml_1_2(text: str, value: object) -> None:
    """PyYAML alone reads `3.5e9` and `20e6` as text, `on` as true, `1:30` as 90 and a date as a date."""
    read = parse(text, "x.yaml").plain()
    assert read == value
    assert type(read) is type(value)


def test_merge_keys_as_pyyaml() -> None:
    """`<<` fills in what the mapping does not say; of several, the first wins; an own key wins over both."""
    text = "a: &a {x: 1, y: 1, w: 1}\nb: &b {y: 2, z: 2, w: 2}\nc: {<<: [*a, *b], w: 3}\nd: {w: 4, <<: *b}\n"
    assert parse(text, "x.yaml").plain() == yaml.safe_load(text)


def test_every_value_knows_its_line() -> None:
    """Oracle: the number of the line that holds the value's unique text."""
    text = "radio:\n  carrier_hz: L2\n\n  # why\n  list:\n    - L6\n    - {a: L7,\n       b: L8}\nname: >\n  L9\n"
    tree = parse(text, "x.yaml")
    for path in (("radio", "carrier_hz"), ("radio", "list", 0), ("radio", "list", 1, "a"), ("radio", "list", 1, "b")):
        node = tree.nearest(path)
        assert (node.value, node.source) == (f"L{node.line}", "x.yaml")
    assert tree.nearest(("name",)).line == 9


def test_a_missing_value_is_placed_where_the_document_stops() -> None:
    """A path beyond the document, through a scalar, or beside a list's end leads to the last value on the way."""
    tree = parse("a:\n  b: text\n  c: [1, 2]\n", "x.yaml")
    lines = {("a", "x", "y"): 1, ("a", "b", 0): 2, ("a", "c", 7): 3, ("a", "c", "x"): 3, ("z",): 1}
    assert {path: tree.nearest(path).line for path in lines} == lines


def test_an_alias_may_stand_twice() -> None:
    """Only an alias inside its own value is refused: the check must forget values that are complete."""
    assert parse("a: &x [1]\nb: [*x, *x]\n", "x.yaml").plain() == {"a": [1], "b": [[1], [1]]}


def test_problems_tell_the_source() -> None:
    with pytest.raises(ScenarioError, match=r"^x\.yaml:2: invalid YAML: "):
        parse("a: 1\nb: ]\n", "x.yaml")
