"""One document over another: ``extends`` and ``--set a.b.c=value``."""

from __future__ import annotations

from dataclasses import replace

from scenarios.document import Node, parse
from scenarios.errors import Problem, ScenarioError
from scenarios.fields import Place


def merge(under: Node, over: Node, place: Place) -> Node:
    """Return ``over`` laid on ``under``: mappings are merged key by key, anything else replaces.

    A component's parameters are merged only while its name stays: ``{name: rayleigh}`` over
    ``{name: tr38901, scenario: uma}`` leaves nothing of the latter. A mapping over a bare name is merged too.
    """
    if place.registry is not None and over.is_mapping:
        under = _written_out(under)
        if not under.is_mapping:
            return over
        name = under.value.get("name", Node(None, "")).value
        if "name" in over.value and over.value["name"].value != name:
            return over
        place = place.component(name)
    if not (under.is_mapping and over.is_mapping):
        return over
    merged = dict(under.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node, place.child(key)) if key in merged else node
    return Node(merged, over.source, over.line)


def apply(tree: Node, override: str, root: Place) -> Node:
    """Return ``tree`` with one ``a.b.c=value`` set; the value is YAML.

    A path into a component that the document names only by its bare name, or not at all, sets a parameter of
    that component, or of the default one.

    Raises:
        ScenarioError: the text has no ``=``, no path, or a value that is not YAML.
    """
    source = f"--set {override}"
    dotted, equals, text = override.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise ScenarioError([Problem(source, 0, "", "expected a.b.c=value, such as `--set learning.rounds=3`")])
    try:
        node = Node.of(parse(text, source).plain(), source)
    except ScenarioError as error:
        raise ScenarioError(replace(problem, line=0, path=dotted) for problem in error.problems) from None
    for key in reversed(keys):
        node = Node({key: node}, source)
    return merge(_with_defaults(tree, keys, root), node, root)


def _with_defaults(tree: Node, keys: list[str], place: Place) -> Node:
    """Return ``tree`` with the component written out that ``keys`` lead into, the default one where it has none."""
    key, *rest = keys
    if not rest or not tree.is_mapping:
        return tree
    inner = place.child(key)
    below = tree.value.get(key)
    if below is None:
        default = inner.default.model_dump(mode="json", exclude_unset=True) if inner.registry is not None else {}
        below = Node.of(default, tree.source, tree.line)
    return Node({**tree.value, key: _with_defaults(below, rest, inner)}, tree.source, tree.line)


def _written_out(component: Node) -> Node:
    """Return a component given by its bare name as a mapping."""
    if not isinstance(component.value, str):
        return component
    return Node({"name": component}, component.source, component.line)
