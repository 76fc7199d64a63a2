"""Says in plain words, with file, line and YAML path, what pydantic found wrong with a scenario."""

from __future__ import annotations

import difflib
import re
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from scenarios.document import Node, Path
from scenarios.errors import Problem
from scenarios.fields import Place, places

_EXPONENT = {"": "", "k": "e3", "M": "e6", "G": "e9", "m": "e-3", "u": "e-6"}
_QUANTITY = re.compile(r"^([-+]?\d+(?:\.\d+)?)\s*(?:([kMGmu]?)(?:Hz|W|s|m)|m/s|dBm?|deg|degrees)$")

_EXPECTED = {
    "int": "a whole number",
    "float": "a number",
    "finite": "a finite number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "path": "the path of a file",
}


def explain(error: ValidationError, tree: Node, root: Place) -> list[Problem]:
    """Return one problem for each finding of ``error`` about the document ``tree``, which ``root`` describes."""
    problems = []
    for detail in error.errors(include_url=False):
        path, place, owner = _settle(detail["loc"], root)
        if detail["type"] == "cross_rules":
            problems += [problem_at(tree, (*path, *inner), text) for inner, text in detail["ctx"]["problems"]]
        else:
            problems.append(problem_at(tree, path, _say(detail, path, place, owner, root)))
    return problems


def problem_at(tree: Node, path: Path, text: str) -> Problem:
    """Return the problem ``text`` about ``path``, placed at the nearest line that the document has for it."""
    node = tree.nearest(path)
    dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return Problem(node.source, node.line, dotted, text)


def shown(value: Any) -> str:
    """Return a value as a message shows it: short, and in YAML's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _settle(loc: tuple[str | int, ...], root: Place) -> tuple[Path, Place, Place]:
    """Return the YAML path of pydantic's location, its place, and the place of the group that holds it.

    Pydantic's location also names the member chosen of every union; those parts are left out.
    """
    path: Path = ()
    place = owner = root
    for part in loc:
        if place.registry is not None:
            place = place.component(part)
        elif place.is_union:
            place = Place()
        else:
            path, owner, place = (*path, part), place, place.child(part)
    return path, place, owner


def _say(detail: ErrorDetails, path: Path, place: Place, owner: Place, root: Place) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(str(path[-1]), owner, root)
    if kind == "missing":
        return f"missing; expected {_wanted(_phrase_of(place), place)}"
    if kind == "value_error":
        return str(detail["ctx"]["error"])
    if kind in ("unknown_component", "physical_bound"):
        return detail["msg"]
    if kind == "component_name_missing":
        return f"{detail['msg']}, got a mapping without it"
    if kind == "component_type" and place.registry is not None:
        return f"{detail['msg']}, got {shown(value)}. Known: {', '.join(place.registry.names())}"
    return f"expected {_expectation(detail, place)}, got {shown(value)}{_hint(kind, value, place)}"


def _expectation(detail: ErrorDetails, place: Place) -> str:
    """Return what would have been right: the kind of value, its range and what it stands for."""
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"a mapping with some of the keys {', '.join(place.keys)}" if place.keys else "a mapping"
    if kind == "literal_error":
        return _wanted(str(context["expected"]), place)
    if kind == "string_pattern_mismatch":
        return place.description or f"text of the form {context['pattern']}"
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        least, most = context.get("min_length"), context.get("max_length")
        amount = f"at least {least}" if least is not None else f"at most {most}"
        return _wanted(f"{amount} character(s)" if kind.startswith("string") else f"a list of {amount} value(s)", place)
    if kind.startswith(("greater_than", "less_than")):
        return _wanted(_phrase_of(place), place)
    if kind == "bool_for_number":
        return _wanted(_phrase_of(place), place)
    phrase = _EXPECTED.get(kind.split("_", 1)[0])
    return _wanted(phrase, place) if phrase else detail["msg"].removeprefix("Input should be ")


def _phrase_of(place: Place) -> str:
    if place.registry is not None:
        return f"a {place.registry.kind}: one of {', '.join(place.registry.names())}"
    if place.keys:
        return f"a mapping with some of the keys {', '.join(place.keys)}"
    names = {int: "int", float: "float", bool: "bool", str: "string"}
    phrase = names.get(place.annotation) if isinstance(place.annotation, type) else None
    return _EXPECTED[phrase] if phrase else "a value"


def _wanted(phrase: str, place: Place) -> str:
    bounds = f", {place.bounds}" if str(place.bounds) else ""
    description = f" ({place.description})" if place.description else ""
    return f"{phrase}{bounds}{description}"


def _unknown_key(key: str, owner: Place, root: Place) -> str:
    if not owner.keys:
        return "unknown key; nothing can be set here"
    homes = [".".join(path) for path, _ in places(root) if path[-1] == key]
    near = (
        homes or difflib.get_close_matches(key, owner.keys, n=1) or [k for k in owner.keys if k.startswith(f"{key}_")]
    )
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return f"unknown key{hint} Known: {', '.join(owner.keys)}"


def _hint(kind: str, value: Any, place: Place) -> str:
    """Return "; did you mean ...?" for the likely right value, or an empty string."""
    near = None
    if kind.startswith(("greater_than", "less_than")):
        near = _nearest_number(value, place)
    elif kind == "literal_error":
        near = _nearest_choice(value, place)
    elif kind == "float_parsing":
        near = _quantity(value)
    elif kind == "string_pattern_mismatch" and re.search(place.pattern, value.upper()):
        near = repr(value.upper())
    elif kind == "string_type" and isinstance(value, int | float):
        near = f"{shown(value)!r}"
    return "" if near is None else f"; did you mean {near}?"


def _nearest_choice(value: Any, place: Place) -> str | None:
    choices = list(get_args(place.annotation))
    if isinstance(value, bool):
        value = "yes" if value else "no"
    numbers = [choice for choice in choices if not isinstance(choice, str)]
    if isinstance(value, int | float) and numbers:
        return repr(min(numbers, key=lambda choice: abs(choice - value)))
    near = difflib.get_close_matches(str(value).lower(), [str(choice) for choice in choices], n=1, cutoff=0.4)
    return next((repr(choice) for choice in choices if str(choice) == near[0]), None) if near else None


def _quantity(value: Any) -> str | None:
    """Return ``3.5e9`` for ``3.5 GHz``."""
    match = _QUANTITY.match(str(value).strip())
    return f"{match[1]}{_EXPONENT[match[2] or '']}" if match else None


def _nearest_number(value: float, place: Place) -> str | None:
    """Return the value with its sign or percentage mended, or else the end of the range nearest to it."""
    bounds = place.bounds
    guesses = [-value]
    if place.annotation is float and 0.5 in bounds and 1.5 not in bounds:
        guesses.append(value / 100)
    near = next((guess for guess in guesses if guess in bounds), bounds.nearest(value))
    return None if near is None else str(near) if isinstance(near, int) else f"{near:g}"
