"""The instruments of one process: one for each metric, however often it is registered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from adapters.metrics.distribution import Distribution, parts_of
from ports.metrics import Instrument, Metric, MetricKind


class InstrumentRegistry:
    """`make` gives the instrument of a metric that is no distribution; those are made of their parts."""

    def __init__(self, make: Callable[[Metric], Instrument]) -> None:
        self._make = make
        self._known: dict[str, tuple[Metric, Instrument]] = {}

    def register(self, metric: Metric) -> Instrument:
        """Raises `ValueError` when another metric has this name."""
        known = self._known.get(metric.name)
        if known is not None:
            if known[0] != metric:
                raise ValueError(f"{metric.name} is registered already, and otherwise")
            return known[1]
        instrument: Instrument
        if metric.kind is MetricKind.DISTRIBUTION:
            instrument = Distribution(metric, {part.name: self.register(part) for part in parts_of(metric)})
        else:
            instrument = self._make(metric)
        self._known[metric.name] = (metric, instrument)
        return instrument

    @property
    def distributions(self) -> Sequence[Metric]:
        return [metric for metric, _ in self._known.values() if metric.kind is MetricKind.DISTRIBUTION]

    @property
    def others(self) -> Sequence[Metric]:
        """Every metric that is no distribution, their parts among them."""
        return [metric for metric, _ in self._known.values() if metric.kind is not MetricKind.DISTRIBUTION]
