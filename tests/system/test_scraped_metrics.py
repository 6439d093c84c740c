"""What Prometheus's own tools have to say of a scrape of the running service."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ports.metrics import Metric, MetricKind
from tests.system.product import Person, Product, memory_stage, running

BASE_UNITS = ("_seconds", "_bytes")
OTHER_UNITS = ("_ms", "_milliseconds", "_minutes", "_hours", "_kilobytes", "_megabytes")
RESERVED = ("_sum", "_count", "_bucket", "_created")


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """After some traffic: of each kind of metric there is a sample."""
    with running(memory_stage("asyncio"), tmp_path_factory.mktemp("service")) as product:
        work(product)
        reply = product.anyone("GET", "/metrics")
        assert reply.status_code == 200
        yield reply.text


def work(product: Product) -> None:
    Person(product, "alice")
    account = {"asset": "GEMS", "id": "alice-gems"}
    assert product.admin("POST", "/credits/accounts", account).status_code == 201
    grant = {"account": "alice-gems", "amount": 1_000, "category": "paid"}
    assert product.admin("POST", "/credits/grants", grant).status_code == 201
    hold = {"account": "alice-gems", "amount": 10, "code": "job"}
    assert product.admin("POST", "/credits/holds", hold).status_code == 201
    transfer = {"source": "alice-gems", "amount": 250, "code": "purchase"}
    assert product.admin("POST", "/credits/transfers", transfer).status_code == 201
    assert product.anyone("GET", "/nowhere").status_code == 404


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is missing: it comes with prometheus")
def test_promtool_finds_nothing(scrape: str) -> None:
    command = ["promtool", "check", "metrics"]
    ran = subprocess.run(command, input=scrape, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout + ran.stderr, ran.returncode) == ("", 0)


def test_names_say_what_is_measured_in_which_unit(scrape: str) -> None:
    """The part of promtool's rules that names can break, where there is no promtool as well."""
    families = list(text_string_to_metric_families(scrape))
    ours = [family for family in families if family.name.startswith("credit_")]
    assert len(ours) > 20
    for family in families:
        assert family.documentation, family.name
        # The parser takes the suffix off a counter's name.
        shown = f"{family.name}_total" if family.type == "counter" else family.name
        assert (f"# TYPE {shown} {family.type}\n") in scrape
        assert shown.endswith("_total") is (family.type == "counter"), shown
        plain = family.name
        assert not plain.endswith((*RESERVED, *OTHER_UNITS)), plain
    timed = [family.name for family in ours if "duration" in family.name or "latency" in family.name]
    assert timed
    assert [name for name in timed if not name.endswith(BASE_UNITS)] == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("gifts", MetricKind.COUNTER), ("balance_total", MetricKind.GAUGE), ("a_total", MetricKind.HISTOGRAM)],
)
def test_a_metric_whose_name_tells_another_kind_cannot_be_made(name: str, kind: MetricKind) -> None:
    with pytest.raises(ValueError, match="counters end in _total, and nothing else does"):
        Metric(name, kind, "A sample")
