"""`ports.metrics` for one of several workers: each writes a table of its own, and any shows them all."""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from adapters.metrics.distribution import Assembled
from adapters.metrics.instrument import CONTENT_TYPE, LabelledInstrument
from adapters.metrics.processes import WorkerProcesses
from adapters.metrics.registry import InstrumentRegistry
from adapters.metrics.segment import Key, Place, Reading, Segment
from ports.metrics import Instrument, Merge, Metric, MetricKind, Metrics

CPU_SECONDS: Final = Metric(
    "process_cpu_seconds_total", MetricKind.COUNTER, "Total user and system CPU time spent in seconds."
)
_SUM: Final = "sum"
"""Of a histogram, beside its buckets, which are named by their upper edges."""


class SharedMetrics:
    """The numbers of this process go into `own`; those of all `segments`, `own` among them, are shown."""

    def __init__(self, own: Segment, segments: Sequence[Segment]) -> None:
        self._own = own
        self._segments = segments
        self._instruments = InstrumentRegistry(self._make)
        own.take_over(os.getpid())
        self._cpu = self.register(CPU_SECONDS)
        self._cpu_s = 0.0
        self.note_time()

    def register(self, metric: Metric) -> Instrument:
        return self._instruments.register(metric)

    def note_time(self) -> None:
        """Counts the processor time since the last call, so that it is kept when this process dies."""
        now_s = time.process_time()
        self._cpu.add(now_s - self._cpu_s)
        self._cpu_s = now_s

    def render(self) -> tuple[str, bytes]:
        self.note_time()
        parts = CollectorRegistry(auto_describe=False)
        parts.register(_Gathered(self._segments, self._instruments.others))
        parts.register(WorkerProcesses(lambda: [each.writer for each in self._segments if each.writer]))
        whole = CollectorRegistry(auto_describe=False)
        whole.register(Assembled(parts, self._instruments.distributions))
        return CONTENT_TYPE, prometheus_client.generate_latest(whole)

    def _make(self, metric: Metric) -> Instrument:
        return LabelledInstrument(metric, lambda labels: _series(self._own, metric, labels))


class _Number:
    """A counter or a gauge."""

    def __init__(self, place: Place, metric: Metric) -> None:
        self._place = place
        self._metric = metric
        self._is_stamped = metric.merge is Merge.NEWEST
        if metric.kind is MetricKind.GAUGE and not self._is_stamped:
            place.put(0.0)

    def inc(self, amount: float) -> None:
        if amount < 0 and self._metric.kind is MetricKind.COUNTER:
            raise ValueError(f"{self._metric.name} is a counter: it only grows")
        self._place.add(amount)

    def set(self, value: float) -> None:
        if self._metric.kind is not MetricKind.GAUGE:
            raise TypeError(f"{self._metric.name} is a {self._metric.kind.value}")
        # One clock for all processes of the host.
        self._place.put(value, time.monotonic() if self._is_stamped else 0.0)

    def observe(self, _: float) -> None:
        raise TypeError(f"{self._metric.name} is a {self._metric.kind.value}")


class _Buckets:
    """A histogram: each bucket for itself, as the scrape adds them up."""

    def __init__(self, edges: Sequence[float], buckets: Sequence[Place], total: Place) -> None:
        self._edges = edges
        self._buckets = buckets
        self._total = total

    def observe(self, value: float) -> None:
        self._total.add(value)
        self._buckets[bisect_left(self._edges, value)].add(1)

    def inc(self, _: float) -> None:
        raise TypeError("a histogram takes observations")

    set = inc


def _edges_of(metric: Metric) -> list[float]:
    """Without the last bucket, which has no upper edge."""
    return sorted(edge for edge in metric.buckets or Histogram.DEFAULT_BUCKETS if edge != inf)


def _name_of(edge: float) -> str:
    named: str = floatToGoString(edge)  # type: ignore[no-untyped-call]  # not annotated
    return named


def _series(own: Segment, metric: Metric, labels: Key) -> _Number | _Buckets:
    if metric.kind is not MetricKind.HISTOGRAM:
        lasting = metric.kind is MetricKind.COUNTER
        return _Number(own.place((metric.name, *labels), lasting=lasting), metric)
    edges = _edges_of(metric)
    places = [
        own.place((metric.name, *labels, part), lasting=True)
        for part in [*map(_name_of, [*edges, inf]), _SUM]
    ]
    return _Buckets(edges, places[:-1], places[-1])


class _Gathered(Collector):
    """What all segments say of these metrics. Of others, which another release may know, nothing is shown."""

    def __init__(self, segments: Sequence[Segment], metrics: Sequence[Metric]) -> None:
        self._segments = segments
        self._metrics = metrics

    def collect(self) -> Iterable[Family]:
        found: dict[str, dict[Key, list[Reading]]] = {metric.name: {} for metric in self._metrics}
        for segment in self._segments:
            for reading in segment.readings():
                name, *labels = reading.key
                if name in found:
                    found[name].setdefault(tuple(labels), []).append(reading)
        for metric in self._metrics:
            if found[metric.name]:
                merged = {labels: _merged(metric, each) for labels, each in found[metric.name].items()}
                yield _family(metric, merged)


def _merged(metric: Metric, readings: Sequence[Reading]) -> float:
    if metric.kind is MetricKind.GAUGE and metric.merge is Merge.MOST:
        return max(reading.value for reading in readings)
    if metric.kind is MetricKind.GAUGE and metric.merge is Merge.NEWEST:
        return max(readings, key=lambda reading: reading.stamp).value
    return sum(reading.value for reading in readings)


def _family(metric: Metric, values: Mapping[Key, float]) -> Family:
    # The library leaves the suffix out of a counter's own name, and writes it again.
    family = Family(metric.name.removesuffix("_total"), metric.description, metric.kind.value)
    if metric.kind is not MetricKind.HISTOGRAM:
        for labels, value in values.items():
            if len(labels) == len(metric.labels):
                family.add_sample(metric.name, dict(zip(metric.labels, labels, strict=True)), value)
        return family
    edges = [_name_of(edge) for edge in [*_edges_of(metric), inf]]
    for series in dict.fromkeys(labels[:-1] for labels in values if len(labels) == len(metric.labels) + 1):
        named = dict(zip(metric.labels, series, strict=True))
        count = 0.0
        for edge in edges:
            count += values.get((*series, edge), 0.0)
            family.add_sample(f"{metric.name}_bucket", {**named, "le": edge}, count)
        family.add_sample(f"{metric.name}_count", named, count)
        family.add_sample(f"{metric.name}_sum", named, values.get((*series, _SUM), 0.0))
    return family


def _fits(metrics: SharedMetrics) -> Metrics:
    return metrics
