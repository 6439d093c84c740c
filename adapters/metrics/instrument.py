"""One metric and its series by label values, wherever those keep their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from adapters.metrics.labels import BoundedLabels
from ports.metrics import Metric

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SERIES_MAX: Final = 10_000
"""Label combinations of one metric. More of them is a label that should not be one."""


class TooManySeries(Exception):
    """A metric has more label combinations than its bound."""


class Series(Protocol):
    """One metric with its label values; each kind has some of these."""

    def inc(self, amount: float, /) -> None: ...

    def set(self, value: float, /) -> None: ...

    def observe(self, value: float, /) -> None: ...


class LabelledInstrument:
    """`make` gives the series of bounded label values, once for each."""

    def __init__(self, metric: Metric, make: Callable[[tuple[str, ...]], Series]) -> None:
        self._metric = metric
        self._make_series = make
        self._labels = BoundedLabels(metric.labels)
        self._series: dict[tuple[str, ...], Series] = {}
        if not metric.labels:
            self._series[()] = make(())

    def add(self, amount: float, *labels: str) -> None:
        series = self._series.get(labels) or self._make(labels)
        series.inc(amount)

    def set(self, value: float, *labels: str) -> None:
        series = self._series.get(labels) or self._make(labels)
        series.set(value)

    def observe(self, value: float, *labels: str) -> None:
        series = self._series.get(labels) or self._make(labels)
        series.observe(value)

    def put(self, *_: object) -> None:
        raise TypeError(f"{self._metric.name} is a {self._metric.kind.value}")

    def _make(self, labels: tuple[str, ...]) -> Series:
        bounded = self._labels.bounded(labels)
        known = self._series.get(bounded)
        if known is not None:
            return known
        if len(self._series) >= SERIES_MAX:
            raise TooManySeries(f"{self._metric.name} has more than {SERIES_MAX} label combinations")
        series = self._make_series(bounded)
        self._series[bounded] = series
        return series
