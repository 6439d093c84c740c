"""Memory, time and files of all workers together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

_EARLIEST = "process_start_time_seconds"


class WorkerProcesses(Collector):
    """Sums what the library's `ProcessCollector` says of each process that writes into the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        summed: dict[str, Metric] = {}
        for pid in sorted(self._alive()):
            collector = ProcessCollector(pid=partial(int, pid), registry=CollectorRegistry())
            for metric in collector.collect():
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

    def _alive(self) -> Iterator[int]:
        """Whose live gauges are there: the supervisor takes those of the dead away."""
        pids = {path.stem.rpartition("_")[2] for path in self._directory.glob("gauge_live*_*.db")}
        for pid in pids:
            if pid.isdigit() and Path(f"/proc/{pid}").is_dir():
                yield int(pid)
