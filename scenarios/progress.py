"""Progress of a run: a live display on a terminal, one plain line per round elsewhere, nothing when quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from ran.metrics.text import duration, percent, with_prefix

if TYPE_CHECKING:
    from rich.progress import Progress as RichDisplay

    from ran.metrics.records import RoundRecord


class Progress:
    """What a run tells while it goes on; this one keeps it to itself."""

    def stage(self, name: str) -> None:
        """Say what is being done now, e.g. ``downlink``."""

    def round_done(self, record: RoundRecord) -> None:
        """Say what a round has reached."""


class PlainProgress(Progress):
    """One line per round, for pipes and log files."""

    def __init__(self, rounds: int, stream: TextIO) -> None:
        self._rounds = rounds
        self._stream = stream

    def round_done(self, record: RoundRecord) -> None:
        """Write the round's line."""
        self._stream.write(round_line(record, self._rounds) + "\n")
        self._stream.flush()


class LiveProgress(Progress):
    """A bar with the stage, accuracy, virtual time and remaining wall-clock time, for a terminal."""

    def __init__(self, rounds: int, done: int, display: RichDisplay) -> None:
        self._display = display
        self._task = display.add_task("starting", total=rounds, completed=done, reached="")

    def stage(self, name: str) -> None:
        """Show the stage beside the bar."""
        self._display.update(self._task, description=name)

    def round_done(self, record: RoundRecord) -> None:
        """Advance the bar to the round."""
        self._display.update(self._task, completed=record.round, reached=_reached(record))


@contextmanager
def open_progress(rounds: int, *, quiet: bool, done: int = 0, stream: TextIO | None = None) -> Iterator[Progress]:
    """Open the display that suits ``stream`` (standard output unless given).

    Args:
        rounds: rounds of the whole run.
        quiet: show nothing.
        done: rounds that were complete before, in a resumed run.
        stream: where to write.
    """
    import sys

    stream = stream or sys.stdout
    if quiet:
        yield Progress()
    elif not stream.isatty():
        yield PlainProgress(rounds, stream)
    else:
        with _display(stream) as display:
            yield LiveProgress(rounds, done, display)


def round_line(record: RoundRecord, rounds: int) -> str:
    """Return a round in one line, as `airtune run` writes it to a log."""
    width = len(str(rounds))
    uplink = f"up {with_prefix(record.uplink_payload_bytes, 'B')} at {record.uplink_se_bit_s_hz:.1f} bit/s/Hz"
    return f"round {record.round:>{width}}/{rounds}  {_reached(record)}  {uplink}"


def _reached(record: RoundRecord) -> str:
    return f"accuracy {percent(record.test_accuracy)}  virtual {duration(record.end_s)}"


def _display(stream: TextIO) -> RichDisplay:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichDisplay

    return RichDisplay(
        TextColumn("round"),
        MofNCompleteColumn(),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[reached]}"),
        TextColumn("[dim]{task.description}"),
        TimeRemainingColumn(),
        console=Console(file=stream),
    )
