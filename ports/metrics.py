"""Numbers for operators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class MetricKind(Enum):
    """As Prometheus knows them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    DISTRIBUTION = "distribution"
    """A histogram of how things stand now: put there whole, not counted up."""


class Merge(Enum):
    """What one scrape shows of a gauge that several workers set."""

    SUM = "sum"
    """Each worker has a part of it: connections, tasks."""
    NEWEST = "newest"
    """Each worker knows the whole: what was set last is true."""
    MOST = "most"
    """Each worker saw a part of it, and the worst of them matters."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured: a name by Prometheus's conventions and the names of its labels.

    Label values come from small closed sets: never a user, an address or free text.
    """

    name: str
    kind: MetricKind
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = Merge.SUM

    def __post_init__(self) -> None:
        # What `promtool check metrics` holds a scrape to: the suffix tells readers that it only ever grows.
        if self.name.endswith("_total") is not (self.kind is MetricKind.COUNTER):
            raise ValueError(
                f"{self.name} is a {self.kind.value}: counters end in _total, and nothing else does"
            )


class Instrument(Protocol):
    """One registered metric. Label values stand in the order of `Metric.labels`."""

    def add(self, amount: float, /, *labels: str) -> None:
        """Counter: raises it. Gauge: raises or (negative amount) lowers it."""

    def set(self, value: float, /, *labels: str) -> None:
        """Gauge: puts it there."""

    def observe(self, value: float, /, *labels: str) -> None:
        """Histogram: counts one observation."""

    def put(self, within: Sequence[int], count: int, total: float, /, *labels: str) -> None:
        """Distribution: how many values are at most each of `Metric.buckets`, how many there are, and
        their sum."""


class Metrics(Protocol):
    def register(self, metric: Metric) -> Instrument:
        """The instrument for this metric; the same one when it is registered again."""

    def render(self) -> tuple[str, bytes]:
        """Content type and exposition text. Blocking and slow with many workers: off the loop."""
