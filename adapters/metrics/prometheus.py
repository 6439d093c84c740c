"""`ports.metrics` on prometheus-client: in one process, or shared by several through memory-mapped files.

Whether a process shares is decided when prometheus-client is first imported: with `PROMETHEUS_MULTIPROC_DIR`
in its environment it writes into that directory, and a scrape of any worker shows the sum of all.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from adapters.metrics.distribution import Assembled, Distribution, parts_of
from adapters.metrics.labels import BoundedLabels
from adapters.metrics.processes import WorkerProcesses
from ports.metrics import Instrument, Merge, Metric, MetricKind, Metrics

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SERIES_MAX = 10_000
"""Label combinations of one metric. More of them is a label that should not be one."""

_MODES: Mapping[Merge, Literal["livesum", "livemostrecent", "livemax"]] = {
    Merge.SUM: "livesum",
    Merge.NEWEST: "livemostrecent",
    Merge.MOST: "livemax",
}


class TooManySeries(Exception):
    """A metric has more label combinations than its bound."""


class PrometheusInstrument:
    """One metric with its series, found again by their label values."""

    def __init__(self, collector: Any, metric: Metric) -> None:
        self._collector = collector
        self._metric = metric
        self._labels = BoundedLabels(metric.labels)
        self._series: dict[tuple[str, ...], Any] = {}
        if not metric.labels:
            self._series[()] = collector

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

    def _make(self, labels: tuple[str, ...]) -> Any:
        bounded = self._labels.bounded(labels)
        known = self._series.get(bounded)
        if known is not None:
            return known
        if len(self._series) >= SERIES_MAX:
            raise TooManySeries(f"{self._metric.name} has more than {SERIES_MAX} label combinations")
        series = self._collector.labels(*bounded)
        self._series[bounded] = series
        return series


class PrometheusMetrics:
    """A registry of its own; the library's global one stays empty."""

    def __init__(self, *, directory: Path | None = None) -> None:
        """`directory` shares the numbers with other processes; it must be `PROMETHEUS_MULTIPROC_DIR`."""
        if directory is not None and os.environ.get(DIRECTORY_VARIABLE) != str(directory):
            raise ValueError(f"{DIRECTORY_VARIABLE} must name the directory before the first import")
        # A creation time beside every counter doubles the series and nobody reads it.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated
        self._directory = directory
        self._registry = CollectorRegistry(auto_describe=False)
        self._instruments: dict[str, tuple[Metric, Instrument]] = {}
        if directory is None:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
            GCCollector(registry=self._registry)

    def register(self, metric: Metric) -> Instrument:
        known = self._instruments.get(metric.name)
        if known is not None:
            if known[0] != metric:
                raise ValueError(f"{metric.name} is registered already, and otherwise")
            return known[1]
        instrument: Instrument
        if metric.kind is MetricKind.DISTRIBUTION:
            instrument = Distribution(metric, {part.name: self.register(part) for part in parts_of(metric)})
        else:
            instrument = PrometheusInstrument(self._collector(metric), metric)
        self._instruments[metric.name] = (metric, instrument)
        return instrument

    def render(self) -> tuple[str, bytes]:
        if self._directory is None:
            return self._text(self._registry)
        # A registry a scrape: it reads what all processes have written until now.
        gathered = CollectorRegistry(auto_describe=False)
        multiprocess.MultiProcessCollector(gathered, path=str(self._directory))  # type: ignore[no-untyped-call]  # not annotated
        gathered.register(WorkerProcesses(self._directory))
        return self._text(gathered)

    def _text(self, source: CollectorRegistry) -> tuple[str, bytes]:
        """With the parts of each distribution under its one name."""
        metrics = [metric for metric, _ in self._instruments.values()]
        whole = CollectorRegistry(auto_describe=False)
        whole.register(Assembled(source, [each for each in metrics if each.kind is MetricKind.DISTRIBUTION]))
        return CONTENT_TYPE, prometheus_client.generate_latest(whole)

    def _collector(self, metric: Metric) -> Counter | Gauge | Histogram:
        arguments: dict[str, Any] = {"labelnames": metric.labels, "registry": self._registry}
        match metric.kind:
            case MetricKind.COUNTER:
                return Counter(metric.name, metric.description, **arguments)
            case MetricKind.GAUGE:
                mode = _MODES[metric.merge]
                return Gauge(metric.name, metric.description, multiprocess_mode=mode, **arguments)
            case MetricKind.HISTOGRAM | MetricKind.DISTRIBUTION:
                if metric.buckets:
                    arguments["buckets"] = metric.buckets
                return Histogram(metric.name, metric.description, **arguments)


def forget_process(directory: Path, pid: int) -> None:
    """Takes a dead process's gauges out of the sums; its counters stay, since they happened."""
    multiprocess.mark_process_dead(pid, str(directory))  # type: ignore[no-untyped-call]  # not annotated


def _fits(metrics: PrometheusMetrics) -> Metrics:
    return metrics
