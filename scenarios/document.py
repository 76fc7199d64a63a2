"""A YAML document as a tree in which every value remembers where it was written."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from scenarios.errors import Problem, ScenarioError

Path = tuple[str | int, ...]
"""Keys and list indices from the top of a document to one value."""

_MOST_VALUES = 100_000
_NUMBER_START = "-+0123456789."


@dataclass(frozen=True)
class Node:
    """A value and its place: a scalar, a mapping of nodes or a list of nodes.

    ``source`` is the file as it should be shown, or the ``--set`` text; ``line`` counts from 1, 0 without lines.
    """

    value: Any
    source: str
    line: int = 0

    @property
    def is_mapping(self) -> bool:
        """Whether the value is a mapping of nodes."""
        return isinstance(self.value, dict)

    def plain(self) -> Any:
        """Return the value without places, as ``yaml.safe_load`` would."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def nearest(self, path: Path) -> Node:
        """Return the node at ``path``, or the last one on the way to it that the document has."""
        node = self
        with contextlib.suppress(KeyError, IndexError, TypeError):
            for part in path:
                inside: Any = node.value if isinstance(node.value, dict | list) else ()
                node = inside[part]
        return node

    @staticmethod
    def of(value: Any, source: str, line: int = 0) -> Node:
        """Return plain data as a tree, all of it placed at ``source`` and ``line``."""
        if isinstance(value, dict):
            return Node({key: Node.of(item, source, line) for key, item in value.items()}, source, line)
        if isinstance(value, list):
            return Node([Node.of(item, source, line) for item in value], source, line)
        return Node(value, source, line)


class Loader(yaml.SafeLoader):
    """YAML with the scalars of its version 1.2: ``3.5e9`` is a number, ``on`` and ``2026-01-31`` are text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*)$|^0x[0-9a-fA-F]+$", _NUMBER_START),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?$", _NUMBER_START),
    ("float", r"^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$", _NUMBER_START),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^<<$", "<"),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first))


def parse(text: str, source: str) -> Node:
    """Return YAML text as a tree; an empty text is a null.

    Raises:
        ScenarioError: for text that is not YAML, a key given twice, a key that is not text, an alias inside
            itself, or a document of more than 100,000 values.
    """
    try:
        loader = Loader(text)
        root = loader.get_single_node()
        return Node(None, source, 1) if root is None else _Reader(loader, source).read(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _invalid(source, mark.line + 1 if mark else 1, _syntax(error)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _invalid(source, line, f"character #x{ord(text[error.position]):04x} is not allowed in YAML") from None
    except RecursionError:
        raise _invalid(source, 1, "brackets or mappings are nested too deeply") from None


def _invalid(source: str, line: int, what: str) -> ScenarioError:
    return ScenarioError([Problem(source, line, "", f"invalid YAML: {what}")])


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "syntax error"
    if "'\\t'" in problem:
        return "a tab where YAML wants spaces; indent with spaces"
    if "mapping values are not allowed" in problem:
        return "a second `:` in one line, or a line indented deeper than its neighbours"
    if "could not find expected ':'" in problem:
        return "a key without `:` after it (a space follows the colon: `key: value`)"
    if "expected <block end>" in problem:
        return "a line indented unlike its neighbours, or a list item among the keys of a mapping"
    return f"{error.context}, {problem}" if error.context else problem


class _Reader:
    """Turns PyYAML's nodes into ours; refuses what YAML allows and a scenario should not hold."""

    def __init__(self, loader: Loader, source: str) -> None:
        self.loader = loader
        self.source = source
        self.open: list[yaml.Node] = []
        self.num_values = 0

    def read(self, node: yaml.Node, line: int = 0) -> Node:
        line = line or node.start_mark.line + 1
        self.num_values += 1
        if self.num_values > _MOST_VALUES:
            raise _invalid(self.source, line, f"more than {_MOST_VALUES} values once all aliases are written out")
        if any(node is outer for outer in self.open):
            raise _invalid(self.source, line, "an alias (`*name`) inside the value that it stands for")
        if isinstance(node, yaml.ScalarNode):
            return Node(self.scalar(node, line), self.source, line)
        if not node.tag.startswith(("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")):
            raise _invalid(self.source, line, f"the tag {node.tag!r:.60} is not allowed in a scenario")
        self.open.append(node)
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = dict(self.items(node))
        else:
            value = [self.read(item) for item in node.value]
        self.open.pop()
        return Node(value, self.source, line)

    def items(self, node: yaml.MappingNode) -> Iterator[tuple[str, Node]]:
        merged: list[tuple[str, Node]] = []
        seen: dict[Hashable, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged += self.merge(value_node, line)
                continue
            key = self.scalar(key_node, line) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                raise _invalid(self.source, line, f"the key {key_node.value!r:.40} is not text; put it in quotes")
            if key in seen:
                raise _invalid(self.source, line, f"the key {key!r} is given twice, first in line {seen[key]}")
            seen[key] = line
        yield from merged
        for key_node, value_node in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge":
                yield key_node.value, self.read(value_node, key_node.start_mark.line + 1)

    def merge(self, node: yaml.Node, line: int) -> list[tuple[str, Node]]:
        """Return the entries that `<<: *name` or `<<: [*a, *b]` brings in; earlier mappings win."""
        given = self.read(node)
        mappings = given.value if isinstance(given.value, list) else [given]
        if not all(mapping.is_mapping for mapping in mappings):
            raise _invalid(self.source, line, "`<<` takes a mapping or a list of mappings")
        return [item for mapping in reversed(mappings) for item in mapping.value.items()]

    def scalar(self, node: yaml.ScalarNode, line: int) -> Any:
        try:
            return self.loader.construct_object(node)
        except ValueError:
            raise _invalid(self.source, line, f"{node.value!r:.40} is not a number that can be held") from None
