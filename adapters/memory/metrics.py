"""Numbers kept in memory, for tests that read them."""

from __future__ import annotations

from collections.abc import Sequence

from ports.metrics import Instrument, Metric, MetricKind, Metrics


class MemoryInstrument:
    """One metric's series by label values; a histogram's value is the list of its observations."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.values: dict[tuple[str, ...], float] = {}
        self.observations: dict[tuple[str, ...], list[float]] = {}
        self.distributions: dict[tuple[str, ...], tuple[tuple[int, ...], int, float]] = {}

    def add(self, amount: float, *labels: str) -> None:
        self._check(labels, MetricKind.COUNTER, MetricKind.GAUGE)
        if amount < 0 and self.metric.kind is MetricKind.COUNTER:
            raise ValueError(f"{self.metric.name} is a counter: it only grows")
        self.values[labels] = self.values.get(labels, 0.0) + amount

    def set(self, value: float, *labels: str) -> None:
        self._check(labels, MetricKind.GAUGE)
        self.values[labels] = value

    def observe(self, value: float, *labels: str) -> None:
        self._check(labels, MetricKind.HISTOGRAM)
        self.observations.setdefault(labels, []).append(value)

    def put(self, within: Sequence[int], count: int, total: float, *labels: str) -> None:
        self._check(labels, MetricKind.DISTRIBUTION)
        if len(within) != len(self.metric.buckets):
            raise ValueError(f"{self.metric.name} has {len(self.metric.buckets)} buckets")
        self.distributions[labels] = (tuple(within), count, total)

    def _check(self, labels: tuple[str, ...], *kinds: MetricKind) -> None:
        if self.metric.kind not in kinds:
            raise TypeError(f"{self.metric.name} is a {self.metric.kind.value}")
        if len(labels) != len(self.metric.labels):
            raise ValueError(f"{self.metric.name} has the labels {', '.join(self.metric.labels) or '(none)'}")


class MemoryMetrics:
    """Every instrument by its metric's name."""

    def __init__(self) -> None:
        self._instruments: dict[str, MemoryInstrument] = {}

    def register(self, metric: Metric) -> Instrument:
        known = self._instruments.setdefault(metric.name, MemoryInstrument(metric))
        if known.metric != metric:
            raise ValueError(f"{metric.name} is registered already, and otherwise")
        return known

    def value(self, name: str, *labels: str) -> float:
        """A counter's or gauge's number; 0 when nothing was counted."""
        return self._instruments[name].values.get(labels, 0.0)

    def observations(self, name: str, *labels: str) -> tuple[float, ...]:
        """A histogram's observations, in order."""
        return tuple(self._instruments[name].observations.get(labels, ()))

    def distribution(self, name: str, *labels: str) -> tuple[tuple[int, ...], int, float] | None:
        """A distribution's last numbers: within each bucket, count, sum."""
        return self._instruments[name].distributions.get(labels)

    def render(self) -> tuple[str, bytes]:
        """Name, label values and value a line; for a histogram the number of observations."""
        lines = []
        for name, instrument in sorted(self._instruments.items()):
            counted = {labels: float(len(seen)) for labels, seen in instrument.observations.items()}
            counted |= {labels: float(count) for labels, (_, count, _) in instrument.distributions.items()}
            for labels, value in sorted({**instrument.values, **counted}.items()):
                lines.append(" ".join([name, *labels, f"{value:g}"]) + "\n")
        return "text/plain; charset=utf-8", "".join(lines).encode()


def _fits(metrics: MemoryMetrics) -> Metrics:
    return metrics
