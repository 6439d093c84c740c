"""A histogram that is put there whole.

prometheus-client only counts histograms up. So each part of one is a gauge, which several processes can share
as any other, and a scrape shows the parts as the one histogram that they make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from ports.metrics import Instrument, Metric, MetricKind

INFINITE: Final = "+Inf"


def parts_of(metric: Metric) -> tuple[Metric, Metric, Metric]:
    """The gauges of a distribution: its buckets, its count and its sum."""

    def part(suffix: str, *labels: str) -> Metric:
        name, labels = f"{metric.name}_{suffix}", (*metric.labels, *labels)
        return Metric(name, MetricKind.GAUGE, metric.description, labels, merge=metric.merge)

    return part("bucket", "le"), part("count"), part("sum")


class Distribution:
    """The instrument of one, over those of its parts by name."""

    def __init__(self, metric: Metric, parts: Mapping[str, Instrument]) -> None:
        self._metric = metric
        self._bucket, self._count, self._sum = (parts[part.name] for part in parts_of(metric))
        self._edges = [str(float(edge)) for edge in metric.buckets]

    def put(self, within: Sequence[int], count: int, total: float, *labels: str) -> None:
        for edge, number in zip(self._edges, within, strict=True):
            self._bucket.set(number, *labels, edge)
        self._bucket.set(count, *labels, INFINITE)
        self._count.set(count, *labels)
        self._sum.set(total, *labels)

    def add(self, *_: object) -> None:
        raise TypeError(f"{self._metric.name} is a {self._metric.kind.value}: it is put there whole")

    set = observe = add


class Assembled(Collector):
    """A registry's families, with the parts of each distribution under its one name."""

    def __init__(self, source: CollectorRegistry, distributions: Sequence[Metric]) -> None:
        self._source = source
        self._whole = {part.name: metric for metric in distributions for part in parts_of(metric)}

    def collect(self) -> Iterable[Family]:
        wholes: dict[str, Family] = {}
        for family in self._source.collect():
            metric = self._whole.get(family.name)
            if metric is None:
                yield family
                continue
            whole = wholes.setdefault(metric.name, Family(metric.name, metric.description, "histogram"))
            whole.samples += family.samples
        yield from wholes.values()
