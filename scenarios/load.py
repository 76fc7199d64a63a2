"""From a YAML file, its parents and ``--set`` overrides to a validated Scenario."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from channel.component import Component, Settings
from channel.errors import UserError
from scenarios import document
from scenarios.document import Node
from scenarios.errors import Problem, ScenarioError
from scenarios.explain import explain, problem_at, shown
from scenarios.fields import Place
from scenarios.overrides import apply, merge
from scenarios.schema import Scenario

ROOT = Place.of(Scenario)
"""What the schema says of a whole document."""

_PACKAGED = Path(__file__).parent


def packaged() -> dict[str, Path]:
    """Return the scenarios that come with AirTune, by name."""
    return {path.stem: path for path in sorted(_PACKAGED.glob("*.yaml"))}


def load(scenario: str | Path, overrides: Sequence[str] = ()) -> Scenario:
    """Return the scenario of a YAML file, or of a packaged name such as ``quickstart``.

    Args:
        scenario: a path, or a packaged name (no suffix). ``scenarios/NAME.yaml`` also finds the packaged file
            where there is no such path.
        overrides: ``a.b.c=value`` texts, later ones win; the value is YAML.

    Raises:
        UserError: there is no such file, or it cannot be read.
        ScenarioError: everything that is wrong with it, each with file, line, YAML path and remedy.

    >>> load("quickstart", ["learning.rounds=3"]).learning.rounds
    3
    """
    path, shown_as = find(str(scenario))
    tree = _with_parents(path, shown_as, ())
    for override in overrides:
        tree = apply(tree, override, ROOT)
    try:
        loaded = Scenario.model_validate(tree.plain())
    except ValidationError as error:
        raise ScenarioError(explain(error, tree, ROOT)) from None
    problems = [problem_at(tree, place, text) for place, text in _component_problems(loaded, ())]
    if problems:
        raise ScenarioError(problems)
    return loaded


def find(given: str, folder: Path = Path()) -> tuple[Path, str]:
    """Return the file that a path or packaged name stands for, and how messages should call it.

    Relative paths start at ``folder``. Raises UserError when there is none, with the nearest name.
    """
    path = folder / Path(given).expanduser()
    known = packaged()
    if path.suffix or path.name != given:
        if _is_file(path):
            return path, str(path)
        packaged_path = _PACKAGED.parent / given
        if packaged_path in known.values():
            return packaged_path, given
    elif given in known:
        return known[given], f"scenarios/{given}.yaml"
    raise UserError(f"{given}: {_missing(path, given, known)}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _missing(path: Path, given: str, known: dict[str, Path]) -> str:
    packaged_names = f"Packaged scenarios: {', '.join(known)}"
    if path.is_dir():
        return f"a folder; expected a scenario file (.yaml). {packaged_names}"
    neighbours = [str(near) for near in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
    near = difflib.get_close_matches(given, [*known, *neighbours], n=1) or difflib.get_close_matches(
        Path(given).stem, list(known), n=1
    )
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"no such scenario file{hint} {packaged_names}"


def _with_parents(path: Path, shown_as: str, children: tuple[Path, ...]) -> Node:
    """Return the document of ``path`` merged over those it extends; ``children`` are the files on the way here."""
    tree = document.parse(_text(path, shown_as), shown_as)
    if not tree.is_mapping:
        got = "an empty file" if tree.value is None else shown(tree.value)
        text = f"expected a mapping with some of the keys {', '.join(ROOT.keys)}, got {got}"
        raise ScenarioError([Problem(shown_as, tree.line, "", text)])
    parent = tree.value.get("extends")
    if parent is None:
        return tree
    own = Node({key: node for key, node in tree.value.items() if key != "extends"}, tree.source, tree.line)
    family = (*children, path.resolve())
    parent_path, parent_shown_as = _parent(parent, path, family)
    return merge(_with_parents(parent_path, parent_shown_as, family), own, ROOT)


def _parent(named: Node, path: Path, family: tuple[Path, ...]) -> tuple[Path, str]:
    """Return the file that ``extends`` in ``path`` names, and how messages should call it."""
    if not isinstance(named.value, str):
        text = f"expected the path or packaged name of one scenario, got {shown(named.value)}"
        raise ScenarioError([Problem(named.source, named.line, "extends", text)])
    try:
        found, shown_as = find(named.value, path.parent)
    except UserError as error:
        raise ScenarioError([Problem(named.source, named.line, "extends", str(error))]) from None
    if found.resolve() in family:
        text = f"{named.value} extends this file, directly or by others; break the circle"
        raise ScenarioError([Problem(named.source, named.line, "extends", text)])
    return found, shown_as


def _text(path: Path, shown_as: str) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{shown_as}: cannot be read: {error.strerror}") from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        text = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file with UTF-8 encoding"
        raise ScenarioError([Problem(shown_as, line, "", text)]) from None


def _component_problems(group: Settings, path: document.Path) -> Iterator[tuple[document.Path, str]]:
    """Yield the path and the text of every problem that a component below ``group`` reports of itself."""
    if isinstance(group, Component):
        for text in group.problems():
            field, colon, rest = text.partition("`: ")
            yield ((*path, field[1:]), rest) if colon and field[1:] in type(group).model_fields else (path, text)
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, Settings):
            yield from _component_problems(value, (*path, name))
