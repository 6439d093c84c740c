"""Memory and open files of all workers together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

_EARLIEST = "process_start_time_seconds"
_CPU = "process_cpu_seconds"
"""Left out: a dead worker's time would vanish from the sum, and a counter never falls."""


class WorkerProcesses(Collector):
    """Sums what the library's `ProcessCollector` says of each process; `alive` gives their ids."""

    def __init__(self, alive: Callable[[], Iterable[int]]) -> None:
        self._alive = alive

    def collect(self) -> Iterable[Metric]:
        summed: dict[str, Metric] = {}
        for pid in self._alive():
            if not Path(f"/proc/{pid}").is_dir():
                continue
            collector = ProcessCollector(pid=partial(int, pid), registry=CollectorRegistry())
            for metric in collector.collect():
                if metric.name == _CPU:
                    continue
                total = summed.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
                for sample in metric.samples:
                    self._count(total, sample.name, sample.value)
        return summed.values()

    @staticmethod
    def _count(total: Metric, name: str, value: float) -> None:
        if not total.samples:
            total.add_sample(name, {}, value)
            return
        so_far = total.samples.pop().value
        total.add_sample(name, {}, min(so_far, value) if name == _EARLIEST else so_far + value)
