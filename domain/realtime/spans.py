"""The known numbers of a sequence: a bounded set of spans, whose holes were missed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

SPANS_MAX: Final = 1_024

Span = tuple[int, int]
"""The first number and the last one."""


class Spans:
    """Disjoint, in order, no two of them adjacent. Past `SPANS_MAX` the lowest one is forgotten: its
    numbers are then missed, which costs time and no truth."""

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[Span] = []

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def add(self, first: int, last: int) -> None:
        """Nothing for an empty span."""
        if first > last:
            return
        apart = [span for span in self._spans if span[1] < first - 1 or span[0] > last + 1]
        joined = [span for span in self._spans if not (span[1] < first - 1 or span[0] > last + 1)]
        whole = (min([first, *(span[0] for span in joined)]), max([last, *(span[1] for span in joined)]))
        self._spans = sorted([*apart, whole])[-SPANS_MAX:]

    def forget_to(self, last: int) -> None:
        """All numbers up to and with this one."""
        self._spans = [(max(low, last + 1), high) for low, high in self._spans if high > last]

    def missing(self, first: int, last: int) -> list[Span]:
        """The holes from `first` to `last`."""
        holes: list[Span] = []
        for low, high in self._spans:
            if high < first:
                continue
            if low > last:
                break
            if low > first:
                holes.append((first, low - 1))
            first = high + 1
        if first <= last:
            holes.append((first, last))
        return holes
