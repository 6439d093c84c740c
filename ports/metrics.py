"""Metrics: numbers for operators, as Prometheus models them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class MetricKind(Enum):
    """The types of Prometheus, and one more."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    DISTRIBUTION = "distribution"
    """A histogram of the present state: replaced as a whole, never counted up."""


class Merge(Enum):
    """How a scrape combines the values of a gauge that several workers set."""

    SUM = "sum"
    """The sum: each worker has a part, such as connections."""
    NEWEST = "newest"
    """The value set last: each worker knows the whole."""
    MOST = "most"
    """The maximum: each worker sees a part, and the worst matters."""


@dataclass(frozen=True, slots=True)
class Metric:
    """The definition of a metric: its name, by the conventions of Prometheus, and the names of its labels.

    The values of a label come from a small closed set: never a user, an address or free text. Raises
    `ValueError` for a name whose suffix does not fit the kind.
    """

    name: str
    kind: MetricKind
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    merge: Merge = Merge.SUM

    def __post_init__(self) -> None:
        # As `promtool check metrics` requires: the suffix says that the value only grows.
        if self.name.endswith("_total") is not (self.kind is MetricKind.COUNTER):
            raise ValueError(
                f"{self.name} is a {self.kind.value}: counters end in _total, and nothing else does"
            )


class Instrument(Protocol):
    """A registered metric. Label values are passed in the order of `Metric.labels`."""

    def add(self, amount: float, /, *labels: str) -> None:
        """Raises a counter, or raises or, by a negative amount, lowers a gauge."""

    def set(self, value: float, /, *labels: str) -> None:
        """Sets a gauge."""

    def observe(self, value: float, /, *labels: str) -> None:
        """Counts one observation in a histogram."""

    def put(self, within: Sequence[int], count: int, total: float, /, *labels: str) -> None:
        """Replaces a distribution: for each of `Metric.buckets` the number of values up to it, then the
        number of all values and their sum."""


class Metrics(Protocol):
    """The registry of this process."""

    def register(self, metric: Metric) -> Instrument:
        """The instrument of a metric, the same one for every registration of it."""

    def render(self) -> tuple[str, bytes]:
        """The content type and the exposition text. Blocks, so that it is called in a thread."""
