from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from adapters.memory.metrics import MemoryMetrics
from adapters.metrics import segment
from adapters.metrics.labels import OTHER, VALUES_MAX
from adapters.metrics.prometheus import PrometheusMetrics
from adapters.metrics.segment import Segment
from adapters.metrics.shared import SharedMetrics
from composition.hosting.worker_metrics import DESCRIPTORS, WorkerTables, metrics_of
from composition.hosting.worker_process import RestartReason, WorkerState
from ports.metrics import Merge, Metric, MetricKind, Metrics

REQUESTS = Metric("credit_sample_requests_total", MetricKind.COUNTER, "Requests", ("route",))
OPEN = Metric("credit_sample_open", MetricKind.GAUGE, "Open connections")
SECONDS = Metric("credit_sample_seconds", MetricKind.HISTOGRAM, "How long", ("route",), (0.1, 0.5))
BALANCES = Metric("credit_sample_balance", MetricKind.DISTRIBUTION, "Balances", ("asset",), (0, 10))
BY_ASSET = Metric("credit_sample_transfers_total", MetricKind.COUNTER, "Transfers", ("asset",))


def test_what_is_counted_is_shown() -> None:
    metrics = PrometheusMetrics()
    metrics.register(REQUESTS).add(2, "/health")
    metrics.register(OPEN).add(3)
    metrics.register(OPEN).add(-1)
    metrics.register(SECONDS).observe(0.2, "/health")
    content_type, text = metrics.render()
    assert content_type.startswith("text/plain")
    lines = text.decode().splitlines()
    assert 'credit_sample_requests_total{route="/health"} 2.0' in lines
    assert "credit_sample_open 2.0" in lines
    assert 'credit_sample_seconds_bucket{le="0.5",route="/health"} 1.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert not any("_created" in line for line in lines)


def test_a_distribution_is_shown_as_the_histogram_that_it_was_put_to_last() -> None:
    metrics = PrometheusMetrics()
    metrics.register(BALANCES).put([1, 1], 9, 900.0, "GOLD")
    metrics.register(BALANCES).put([1, 2], 3, 50.0, "GOLD")
    lines = metrics.render()[1].decode().splitlines()
    assert [line for line in lines if "credit_sample_balance" in line] == [
        "# HELP credit_sample_balance Balances",
        "# TYPE credit_sample_balance histogram",
        'credit_sample_balance_bucket{asset="GOLD",le="0.0"} 1.0',
        'credit_sample_balance_bucket{asset="GOLD",le="10.0"} 2.0',
        'credit_sample_balance_bucket{asset="GOLD",le="+Inf"} 3.0',
        'credit_sample_balance_count{asset="GOLD"} 3.0',
        'credit_sample_balance_sum{asset="GOLD"} 50.0',
    ]


@pytest.mark.parametrize("metrics", [PrometheusMetrics(), MemoryMetrics()])
def test_each_kind_of_metric_takes_its_own_kind_of_number(metrics: Metrics) -> None:
    with pytest.raises(TypeError, match="credit_sample_balance is a distribution"):
        metrics.register(BALANCES).observe(1, "GOLD")
    with pytest.raises(TypeError, match="credit_sample_open is a gauge"):
        metrics.register(OPEN).put([], 0, 0)
    with pytest.raises(ValueError):
        metrics.register(BALANCES).put([1], 1, 1.0, "GOLD")


def test_a_metric_registered_again_is_the_same_one() -> None:
    metrics = PrometheusMetrics()
    assert metrics.register(REQUESTS) is metrics.register(REQUESTS)
    with pytest.raises(ValueError, match="credit_sample_requests_total"):
        metrics.register(Metric(REQUESTS.name, MetricKind.COUNTER, "Otherwise", ("route",)))


@pytest.mark.parametrize("labels", [(), ("one", "two")])
def test_the_number_of_label_values_is_checked(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="route"):
        PrometheusMetrics().register(REQUESTS).add(1, *labels)


def test_assets_after_the_first_ones_are_counted_together() -> None:
    metrics = PrometheusMetrics()
    instrument = metrics.register(BY_ASSET)
    for number in range(VALUES_MAX + 10):
        instrument.add(1, f"asset{number}")
    instrument.add(1, "asset0")
    shown = re.findall(r'credit_sample_transfers_total\{asset="(\w+)"\} (\S+)', metrics.render()[1].decode())
    assert len(shown) == VALUES_MAX + 1
    assert (OTHER, "10.0") in shown
    assert ("asset0", "2.0") in shown


def test_metrics_in_memory_tell_what_was_counted() -> None:
    metrics = MemoryMetrics()
    metrics.register(REQUESTS).add(2, "/health")
    metrics.register(SECONDS).observe(0.2, "/health")
    assert metrics.value(REQUESTS.name, "/health") == 2
    assert metrics.observations(SECONDS.name, "/health") == (0.2,)
    with pytest.raises(TypeError):
        metrics.register(OPEN).observe(1)
    with pytest.raises(ValueError):
        metrics.register(REQUESTS).add(-1, "/health")


OPEN_BY = Metric("credit_sample_by", MetricKind.GAUGE, "Open", ("route",))
HEAD = Metric("credit_sample_head", MetricKind.GAUGE, "Head", ("book",), merge=Merge.NEWEST)
DRIFT = Metric("credit_sample_drift", MetricKind.GAUGE, "Drift", merge=Merge.MOST)
SPREAD = Metric("credit_sample_spread", MetricKind.DISTRIBUTION, "Spread", (), (0,), merge=Merge.NEWEST)


class Tables:
    """A supervisor's, as its workers inherit them."""

    def __init__(self, workers: int = 2) -> None:
        self._supervisor = WorkerTables(workers)

    def metrics(self, worker: int) -> SharedMetrics:
        """What the worker counts in after a start."""
        metrics = metrics_of(self._supervisor.environ(), worker)
        assert isinstance(metrics, SharedMetrics)
        return metrics

    def note_death(self, worker: int) -> None:
        self._supervisor.forget(worker)

    def segment(self, worker: int) -> Segment:
        return Segment(self._supervisor.descriptors[worker])

    def close(self) -> None:
        for descriptor in self._supervisor.descriptors:
            os.close(descriptor)


@pytest.fixture
def tables() -> Iterator[Tables]:
    made = Tables()
    yield made
    made.close()


def lines_of(metrics: SharedMetrics) -> list[str]:
    return metrics.render()[1].decode().splitlines()


def test_one_scrape_shows_all_workers(tables: Tables) -> None:
    workers = [tables.metrics(0), tables.metrics(1)]
    for place, worker in enumerate(workers):
        worker.register(REQUESTS).add(2, "/health")
        worker.register(OPEN).add(5)
        worker.register(SECONDS).observe(0.2 + place, "/health")
        worker.register(HEAD).set(7 - place, "main")
        worker.register(DRIFT).set(9 - place)
        worker.register(SPREAD).put([1], 2 + place, 3.0)
    for worker in workers:
        lines = lines_of(worker)
        assert 'credit_sample_requests_total{route="/health"} 4.0' in lines
        assert "credit_sample_open 10.0" in lines
        assert 'credit_sample_head{book="main"} 6.0' in lines
        assert "credit_sample_drift 9.0" in lines
        assert [line for line in lines if "credit_sample_seconds" in line] == [
            "# HELP credit_sample_seconds How long",
            "# TYPE credit_sample_seconds histogram",
            'credit_sample_seconds_bucket{le="0.1",route="/health"} 0.0',
            'credit_sample_seconds_bucket{le="0.5",route="/health"} 1.0',
            'credit_sample_seconds_bucket{le="+Inf",route="/health"} 2.0',
            'credit_sample_seconds_count{route="/health"} 2.0',
            'credit_sample_seconds_sum{route="/health"} 1.4',
        ]
        assert "# TYPE credit_sample_requests_total counter" in lines
        assert "# TYPE credit_sample_spread histogram" in lines
        assert 'credit_sample_spread_bucket{le="+Inf"} 3.0' in lines
        assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_several_workers_show_what_one_process_shows() -> None:
    tables = Tables(1)
    shared, alone = tables.metrics(0), PrometheusMetrics()
    for metrics in (shared, alone):
        metrics.register(REQUESTS).add(2, 'a "quoted" \\ route')
        metrics.register(OPEN).add(5)
        metrics.register(OPEN_BY).set(5, "x")
        metrics.register(SECONDS).observe(0.5, "/health")
        metrics.register(BALANCES).put([1, 2], 3, 50.0, "GOLD")
    theirs = [line for line in alone.render()[1].decode().splitlines() if "credit_sample" in line]
    assert [line for line in lines_of(shared) if "credit_sample" in line] == theirs
    tables.close()


def test_a_dead_workers_counts_stay_and_its_gauges_vanish(tables: Tables) -> None:
    dead, other = tables.metrics(0), tables.metrics(1)
    for worker in (dead, other):
        worker.register(REQUESTS).add(2, "/health")
        worker.register(SECONDS).observe(0.2, "/health")
        worker.register(OPEN).set(5)
        worker.register(HEAD)
        worker.register(DRIFT)
    dead.register(HEAD).set(7, "main")
    dead.register(DRIFT).set(3)
    tables.note_death(0)
    lines = lines_of(other)
    assert 'credit_sample_requests_total{route="/health"} 4.0' in lines
    assert 'credit_sample_seconds_count{route="/health"} 2.0' in lines
    assert "credit_sample_open 5.0" in lines
    assert "credit_sample_drift 0.0" in lines
    assert not any(line.startswith("credit_sample_head{") for line in lines)

    replaced = tables.metrics(0)
    replaced.register(REQUESTS).add(1, "/health")
    replaced.register(SECONDS).observe(0.2, "/health")
    replaced.register(OPEN)
    replaced.register(HEAD)
    for worker in (replaced, other):
        lines = lines_of(worker)
        assert 'credit_sample_requests_total{route="/health"} 5.0' in lines
        assert 'credit_sample_seconds_count{route="/health"} 3.0' in lines
        assert "credit_sample_open 5.0" in lines
        assert not any(line.startswith("credit_sample_head{") for line in lines)


def test_processor_time_of_the_dead_is_kept(tables: Tables) -> None:
    def shown(metrics: SharedMetrics) -> float:
        (line,) = [each for each in lines_of(metrics) if each.startswith("process_cpu_seconds_total ")]
        return float(line.split()[1])

    tables.metrics(0).note_time()
    tables.note_death(0)
    first = tables.metrics(1)
    before = shown(first)
    assert before > 0
    tables.note_death(1)
    assert shown(tables.metrics(1)) >= before


def test_numbers_for_which_there_is_no_room_harm_nobody(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = tables.metrics(0)
    metrics.register(REQUESTS).add(1, "/first")
    monkeypatch.setattr(segment, "SEGMENT_BYTES", 1024)
    for place in range(100):
        metrics.register(REQUESTS).add(1, f"/{place}")
    lines = lines_of(metrics)
    assert 'credit_sample_requests_total{route="/first"} 1.0' in lines
    assert 'credit_sample_requests_total{route="/99"} 1.0' not in lines
    assert [record.getMessage() for record in caplog.records] == [
        "there is no room for further metrics: credit_sample_requests_total and others are not shown"
    ]


def test_whoever_is_killed_while_it_adds_a_number_leaves_none_that_is_half_made(tables: Tables) -> None:
    one = tables.segment(0)
    one.place(("first",), lasting=True).add(1)
    # As far as a writer may get: the record stands there, and nothing says so yet.
    used = one._number(segment._USED_AT)
    one.place(("second",), lasting=True).add(1)
    one._put(segment._USED_AT, used)
    after = tables.segment(0)
    assert [reading.key for reading in after.readings()] == [("first",)]
    after.place(("third", "longer"), lasting=True).add(2)
    assert {each.key: each.value for each in after.readings()} == {("first",): 1, ("third", "longer"): 2}


def test_workers_whose_tables_are_something_else_count_for_themselves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (tmp_path / "file").open("w") as other:
        for text in ("", "x", "99999", str(other.fileno())):
            assert isinstance(metrics_of({DESCRIPTORS: text}, 0), PrometheusMetrics)
    assert len(caplog.records) == 4


def test_the_supervisor_shows_its_workers_in_the_scrape_of_each() -> None:
    supervisor = WorkerTables(2)
    supervisor.show({WorkerState.SERVING: 2, WorkerState.WAITING: 0, WorkerState.STARTING: 0})
    supervisor.count_restart(RestartReason.SIGNAL)
    worker = metrics_of(supervisor.environ(), 1)
    assert isinstance(worker, SharedMetrics)
    lines = lines_of(worker)
    assert 'credit_workers{state="serving"} 2.0' in lines
    assert 'credit_worker_restarts_total{reason="signal"} 1.0' in lines
    assert 'credit_worker_restarts_total{reason="silent"} 0.0' in lines
    for descriptor in supervisor.descriptors:
        os.close(descriptor)
