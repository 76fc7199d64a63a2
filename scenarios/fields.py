"""What the schema says of one YAML path: its type, its bounds, its component registry, its neighbours."""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from channel.component import Settings
from channel.registry import Registry


@dataclass(frozen=True)
class Bounds:
    """The range of a number; an open end is not itself allowed."""

    low: float | None = None
    high: float | None = None
    low_is_open: bool = False
    high_is_open: bool = False

    @staticmethod
    def of(metadata: tuple[Any, ...]) -> Bounds:
        """Return the bounds among a field's markers."""
        low = high = None
        low_is_open = high_is_open = False
        for marker in metadata:
            if isinstance(marker, Gt | Ge):
                low_is_open = isinstance(marker, Gt)
                low = marker.gt if isinstance(marker, Gt) else marker.ge
            elif isinstance(marker, Lt | Le):
                high_is_open = isinstance(marker, Lt)
                high = marker.lt if isinstance(marker, Lt) else marker.le
        return Bounds(low, high, low_is_open, high_is_open)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """Return the range in words, empty where unbounded.

        >>> str(Bounds(1, 100)), str(Bounds(0, 1, low_is_open=True)), str(Bounds(0))
        ('1 to 100', 'above 0 and at most 1', 'at least 0')
        """
        if self.low is not None and self.high is not None and not (self.low_is_open or self.high_is_open):
            return f"{_number(self.low)} to {_number(self.high)}"
        low = None if self.low is None else f"{'above' if self.low_is_open else 'at least'} {_number(self.low)}"
        high = None if self.high is None else f"{'below' if self.high_is_open else 'at most'} {_number(self.high)}"
        return " and ".join(part for part in (low, high) if part)

    def __contains__(self, value: float) -> bool:
        """Return whether ``value`` lies in the range."""
        above = self.low is None or value > self.low or (value == self.low and not self.low_is_open)
        below = self.high is None or value < self.high or (value == self.high and not self.high_is_open)
        return above and below

    def nearest(self, value: float) -> float | None:
        """Return the end of the range nearest to a value outside it, None where that end is open."""
        end = self.low if self.low is not None and value <= self.low else self.high
        return end if end is not None and end in self else None


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


@dataclass(frozen=True)
class Place:
    """The declaration behind a YAML path; an empty one where the schema says nothing."""

    annotation: Any = None
    metadata: tuple[Any, ...] = ()
    field: FieldInfo | None = None

    @staticmethod
    def of(annotation: Any, metadata: tuple[Any, ...] = (), field: FieldInfo | None = None) -> Place:
        """Return the place of a type, ``Annotated`` and ``| None`` taken off."""
        while True:
            if get_origin(annotation) is Annotated:
                annotation, *more = get_args(annotation)
                metadata = (*metadata, *more)
            elif _is_union(annotation) and len(kinds := _without_none(annotation)) == 1:
                annotation = kinds[0]
            else:
                return Place(annotation, metadata, field)

    @property
    def registry(self) -> Registry[Any] | None:
        """The registry that a component at this place is chosen from."""
        markers = (getattr(marker, "registry", None) for marker in self.metadata)
        return next((marker for marker in markers if isinstance(marker, Registry)), None)

    @property
    def model(self) -> type[Settings] | None:
        """The group of parameters at this place."""
        return self.annotation if isinstance(self.annotation, type) and issubclass(self.annotation, Settings) else None

    @property
    def is_union(self) -> bool:
        """Whether values of several unrelated types may stand here."""
        return self.registry is None and _is_union(self.annotation)

    @property
    def keys(self) -> list[str]:
        """The keys of a mapping at this place."""
        return list(self.model.model_fields) if self.model else []

    @property
    def default(self) -> Any:
        """The default value, None where there is none."""
        return None if self.field is None or self.field.default is PydanticUndefined else self.field.default

    @property
    def description(self) -> str:
        """What stands here, in words and with its unit, or an empty string."""
        if self.field is not None and self.field.description:
            return self.field.description
        schemas = (getattr(marker, "json_schema", None) or {} for marker in self.metadata)
        return next((schema["description"] for schema in schemas if "description" in schema), "")

    @property
    def bounds(self) -> Bounds:
        """The range of a number."""
        return Bounds.of(self.metadata)

    @property
    def pattern(self) -> str:
        """The regular expression that a text must match, which an unbounded text does not have."""
        return next((marker.pattern for marker in self.metadata if getattr(marker, "pattern", None)), "")

    def component(self, name: Any) -> Place:
        """Return the place of the component registered as ``name`` here."""
        known = self.registry is not None and isinstance(name, str) and name in self.registry.names()
        return Place.of(self.registry.get(name)) if known and self.registry else Place()

    def child(self, part: str | int) -> Place:
        """Return the place of a key or list item."""
        if self.model is not None:
            field = self.model.model_fields.get(str(part))
            return Place() if field is None else Place.of(field.annotation, tuple(field.metadata), field)
        inside = [kind for kind in get_args(self.annotation) if kind is not Ellipsis]
        origin = get_origin(self.annotation)
        if origin is tuple and isinstance(part, int) and len(inside) > 1:
            return Place.of(inside[part]) if part < len(inside) else Place()
        return Place.of(inside[-1]) if origin in (list, tuple, dict, frozenset, set) and inside else Place()


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _without_none(annotation: Any) -> list[Any]:
    return [kind for kind in get_args(annotation) if kind is not type(None)]


def places(place: Place, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Place]]:
    """Yield every path below a group of parameters with its place, groups before their members.

    Components are leaves: their parameters depend on the one chosen. A list of components stands as one of its items.
    """
    for key in place.keys:
        inner = place.child(key)
        if get_origin(inner.annotation) in (list, tuple) and inner.child(0).registry is not None:
            inner = inner.child(0)
        yield (*path, key), inner
        if inner.registry is None:
            yield from places(inner, (*path, key))
