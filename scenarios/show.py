"""A resolved scenario written as YAML, every parameter with what it means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from scenarios.document import Loader
from scenarios.fields import Place
from scenarios.schema import Scenario


class _Dumper(yaml.SafeDumper):
    """Quotes whatever YAML 1.1 or 1.2 would not read back as text, and writes 20000000.0 as 20.0e+6."""


_Dumper.yaml_implicit_resolvers = {
    first: yaml.SafeDumper.yaml_implicit_resolvers.get(first, []) + Loader.yaml_implicit_resolvers.get(first, [])
    for first in {*yaml.SafeDumper.yaml_implicit_resolvers, *Loader.yaml_implicit_resolvers}
}


def _represent_float(dumper: yaml.SafeDumper, value: float) -> yaml.ScalarNode:
    for exponent in (9, 6, 3):
        text = f"{value / 10**exponent!r}e+{exponent}"
        if abs(value) >= 10**exponent and float(text) == value and len(text) < len(repr(value)):
            return dumper.represent_scalar("tag:yaml.org,2002:float", text)
    return dumper.represent_float(value)


_Dumper.add_representer(float, _represent_float)


def to_yaml(scenario: Scenario) -> str:
    """Return the YAML of a scenario with every default written out; loading it gives an equal scenario.

    >>> print(to_yaml(Scenario(name="walk")).splitlines()[0])
    name: walk  # letters, digits, '_', '.' and '-'; names the run directory
    """
    return "\n".join(_lines(scenario.model_dump(mode="json"), Place.of(Scenario), "")) + "\n"


def _lines(values: dict[str, Any], place: Place, indent: str) -> Iterator[str]:
    for key, value in values.items():
        inner = place.child(key)
        if isinstance(value, dict) and value:
            yield f"{indent}{key}:"
            yield from _lines(value, inner.component(value["name"]) if inner.registry else inner, f"{indent}  ")
        else:
            comment = f"  # {' '.join(inner.description.split())}" if inner.description else ""
            yield f"{indent}{key}: {_flow(value)}{comment}"


def _flow(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=10**9, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")
