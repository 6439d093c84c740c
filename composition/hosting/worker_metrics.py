"""The metrics of several workers, in tables that the supervisor makes and every worker inherits."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from adapters.metrics.segment import Segment
from composition.hosting.worker_process import RestartReason, WorkerState
from ports.metrics import Metric, MetricKind

if TYPE_CHECKING:
    from adapters.metrics.prometheus import PrometheusMetrics
    from adapters.metrics.shared import SharedMetrics

DESCRIPTORS: Final = "CREDITCTL_METRICS"
"""The variable with the descriptors of the workers' tables, in order, and of the supervisor's. No setting."""
WORKERS: Final = Metric(
    "credit_workers", MetricKind.GAUGE, "Worker processes by what they are doing", ("state",)
)
RESTARTS: Final = Metric(
    "credit_worker_restarts_total", MetricKind.COUNTER, "Worker processes replaced, by why", ("reason",)
)

_log = logging.getLogger("credit.metrics")


class WorkerTables:
    """The supervisor's side. It renders nothing, so it needs no library of metrics."""

    def __init__(self, workers: int) -> None:
        self._workers = [Segment.make(f"credit-metrics-{index}") for index in range(workers)]
        self._own = Segment.make("credit-metrics-supervisor")
        self._restarts = {
            reason: self._own.place((RESTARTS.name, reason.value), lasting=True) for reason in RestartReason
        }
        self._states = {
            state: self._own.place((WORKERS.name, state.value), lasting=False) for state in WorkerState
        }

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that the workers inherit."""
        return tuple(each.descriptor for each in (*self._workers, self._own))

    def environ(self) -> dict[str, str]:
        """The variable that tells the workers the descriptors."""
        return {DESCRIPTORS: ",".join(map(str, self.descriptors))}

    def forget(self, index: int) -> None:
        """Forgets the gauges of a worker that ended, and keeps its counters."""
        self._workers[index].forget_writer()

    def count_restart(self, reason: RestartReason) -> None:
        """Counts a worker that was replaced."""
        self._restarts[reason].add(1)

    def show(self, states: Mapping[WorkerState, int]) -> None:
        """Sets the number of workers in each state."""
        for state, number in states.items():
            self._states[state].put(number)


def metrics_of(environ: Mapping[str, str], index: int | None) -> PrometheusMetrics | SharedMetrics:
    """The metrics of this process, shared with the other workers of its supervisor, if any.

    A worker serves with metrics of its own when the shared tables are unusable.
    """
    # Each of them is imported only where it is used.
    from adapters.metrics.prometheus import PrometheusMetrics  # noqa: PLC0415
    from adapters.metrics.shared import SharedMetrics  # noqa: PLC0415

    if index is None or DESCRIPTORS not in environ:
        return PrometheusMetrics()
    try:
        segments = [Segment(int(descriptor)) for descriptor in environ[DESCRIPTORS].split(",")]
        metrics = SharedMetrics(segments[index], segments)
    except (OSError, ValueError, IndexError) as error:
        _log.error("this worker's metrics are not shown with the others': %s", error)
        return PrometheusMetrics()
    metrics.register(WORKERS)
    metrics.register(RESTARTS)
    return metrics
