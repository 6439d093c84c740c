from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from adapters.memory.metrics import MemoryMetrics
from adapters.metrics.labels import OTHER, VALUES_MAX
from adapters.metrics.prometheus import PrometheusMetrics
from ports.metrics import Metric, MetricKind, Metrics

ROOT = Path(__file__).parents[2]

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


PROCESS = """
    import os, sys
    from pathlib import Path
    from adapters.metrics.prometheus import PrometheusMetrics, forget_process
    from ports.metrics import Merge, Metric, MetricKind
    directory = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    metrics = PrometheusMetrics(directory=directory)
    metrics.register(Metric("credit_sample_total", MetricKind.COUNTER, "Samples")).add(1)
    metrics.register(Metric("credit_sample_open", MetricKind.GAUGE, "Open")).set(5)
    known = Metric("credit_sample_head", MetricKind.GAUGE, "Head", ("book",), merge=Merge.NEWEST)
    metrics.register(known).set(7, "main")
    drift = Metric("credit_sample_drift", MetricKind.GAUGE, "Drift", merge=Merge.MOST)
    metrics.register(drift).set(9 - len(sys.argv))
    spread = Metric("credit_sample_spread", MetricKind.DISTRIBUTION, "Spread", (), (0,), merge=Merge.NEWEST)
    metrics.register(spread).put([1], 2, 3.0)
    if len(sys.argv) > 1:
        forget_process(directory, int(sys.argv[1]))
    print(os.getpid() if sys.argv[1:] == [] else metrics.render()[1].decode())
"""


def run(directory: Path, *arguments: str) -> str:
    command = [sys.executable, "-c", textwrap.dedent(PROCESS), *arguments]
    environ = {"PROMETHEUS_MULTIPROC_DIR": str(directory), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    return done.stdout


def test_one_scrape_shows_the_sum_of_all_processes(tmp_path: Path) -> None:
    first = run(tmp_path).strip()
    run(tmp_path)
    lines = run(tmp_path, first).splitlines()
    assert "credit_sample_total 3.0" in lines
    # The first one's gauge is forgotten, the second one's is not: nobody said that it ended.
    assert "credit_sample_open 10.0" in lines
    assert 'credit_sample_head{book="main"} 7.0' in lines
    assert "credit_sample_drift 8.0" in lines
    assert "# TYPE credit_sample_spread histogram" in lines
    assert 'credit_sample_spread_bucket{le="+Inf"} 2.0' in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)


def test_a_directory_that_the_library_does_not_know_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="PROMETHEUS_MULTIPROC_DIR"):
        PrometheusMetrics(directory=tmp_path)
