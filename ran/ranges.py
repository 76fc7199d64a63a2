"""Sets of byte ranges: what has arrived of a stream."""

from __future__ import annotations

from bisect import bisect_right


class Ranges:
    """Disjoint half-open ranges of byte offsets, kept sorted and joined where they touch.

    >>> arrived = Ranges()
    >>> arrived.add(10, 20); arrived.add(0, 5); arrived.add(5, 10)
    >>> list(arrived), arrived.total, arrived.missing(25)
    ([(0, 20)], 20, [(20, 25)])
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.total = 0

    def __iter__(self):  # type: ignore[no-untyped-def]
        """Yield (start, stop) in order."""
        return iter(zip(self._starts, self._stops, strict=True))

    def add(self, start: int, stop: int) -> None:
        """Add a range.

        Raises:
            AssertionError: one of its bytes is there already.
        """
        if start == stop:
            return
        at = bisect_right(self._starts, start)
        clear = (at == 0 or self._stops[at - 1] <= start) and (at == len(self._starts) or stop <= self._starts[at])
        assert clear, f"bytes of {start}..{stop} arrived twice"
        self.total += stop - start
        if at > 0 and self._stops[at - 1] == start:
            self._stops[at - 1] = stop
            at -= 1
        else:
            self._starts.insert(at, start)
            self._stops.insert(at, stop)
        if at + 1 < len(self._starts) and self._starts[at + 1] == self._stops[at]:
            self._stops[at] = self._stops.pop(at + 1)
            self._starts.pop(at + 1)

    def missing(self, size: int) -> list[tuple[int, int]]:
        """Return the ranges of a stream of ``size`` bytes that are not there, in order."""
        edges = [0, *(edge for pair in self for edge in pair), size]
        return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if a < b]
