"""Prints the catalogue: tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from scenarios.catalogue import SCENARIOS, Entry, Parameter

if TYPE_CHECKING:
    from rich.table import Table


def plain(entries: Sequence[Entry]) -> Iterator[str]:
    """Yield the lines of a listing: kinds, below each its entries, below each its parameters."""
    for title, group in _by_kind(entries):
        yield title
        for entry in group:
            yield f"  {entry.name}: {entry.description}" if entry.description else f"  {entry.name}"
            for parameter in entry.parameters:
                text = f"    {parameter.name} = {parameter.default}  ({parameter.type})"
                yield f"{text}  {parameter.description}" if parameter.description else text


def tables(entries: Sequence[Entry]) -> Iterator[Table]:
    """Yield a table for each kind, a row for each entry and for each of its parameters."""
    from rich.markup import escape
    from rich.table import Table

    for title, group in _by_kind(entries):
        table = Table(title=title, title_justify="left", expand=True, show_edge=False, pad_edge=False)
        columns = ("name",) if group[0].kind == SCENARIOS else ("name", "type", "default")
        for column in columns:
            table.add_column(column, overflow="fold")
        table.add_column("what it is", ratio=1)
        for entry in group:
            blanks = [""] * (len(columns) - 1)
            table.add_row(f"[bold]{escape(entry.name)}[/]", *blanks, escape(entry.description))
            for parameter in entry.parameters:
                table.add_row(*(escape(text) for text in _cells(parameter)))
        yield table


def _by_kind(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    for (kind, path), group in groupby(entries, key=lambda entry: (entry.kind, entry.path)):
        yield f"{kind} ({path})" if path else f"{kind}s", list(group)


def _cells(parameter: Parameter) -> tuple[str, str, str, str]:
    return f"  {parameter.name}", parameter.type, parameter.default, parameter.description
