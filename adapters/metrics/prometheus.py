"""`ports.metrics` on prometheus-client, for a process that serves alone."""

from __future__ import annotations

from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from adapters.metrics.distribution import Assembled
from adapters.metrics.instrument import CONTENT_TYPE, LabelledInstrument, Series
from adapters.metrics.registry import InstrumentRegistry
from ports.metrics import Instrument, Metric, MetricKind, Metrics


class PrometheusMetrics:
    """A registry of its own; the library's global one stays empty."""

    def __init__(self) -> None:
        # A creation time beside every counter doubles the series, and no dashboard reads it.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated
        self._registry = CollectorRegistry(auto_describe=False)
        self._instruments = InstrumentRegistry(self._make)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def register(self, metric: Metric) -> Instrument:
        return self._instruments.register(metric)

    def note_time(self) -> None:
        """Nothing to do: the library reads the time when it is asked, and no total is continued from it."""

    def render(self) -> tuple[str, bytes]:
        whole = CollectorRegistry(auto_describe=False)
        whole.register(Assembled(self._registry, self._instruments.distributions))
        return CONTENT_TYPE, prometheus_client.generate_latest(whole)

    def _make(self, metric: Metric) -> Instrument:
        collector = self._collector(metric)
        return LabelledInstrument(metric, lambda labels: _series(collector, labels))

    def _collector(self, metric: Metric) -> Counter | Gauge | Histogram:
        arguments: dict[str, Any] = {"labelnames": metric.labels, "registry": self._registry}
        match metric.kind:
            case MetricKind.COUNTER:
                return Counter(metric.name, metric.description, **arguments)
            case MetricKind.GAUGE:
                return Gauge(metric.name, metric.description, **arguments)
            case MetricKind.HISTOGRAM | MetricKind.DISTRIBUTION:
                if metric.buckets:
                    arguments["buckets"] = metric.buckets
                return Histogram(metric.name, metric.description, **arguments)


def _series(collector: Any, labels: tuple[str, ...]) -> Series:
    found: Series = collector.labels(*labels) if labels else collector
    return found


def _fits(metrics: PrometheusMetrics) -> Metrics:
    return metrics
