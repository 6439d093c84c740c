"""Probes every dependency every few seconds, for the metrics."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from application.ledger.service import Ledger
from application.recurring import Recurring
from composition.wiring.stores import Stores
from ports.errors import DependencyUnavailable
from ports.health import Probe
from ports.metrics import Merge, Metric, MetricKind, Metrics
from ports.runtime import DeadlineExceeded, Overloaded, Runtime

PROBE_S_MAX = 2.0

UP = Metric(
    "credit_dependency_up",
    MetricKind.GAUGE,
    "Whether a dependency did what it is wanted for when it was last probed (1) or not (0)",
    ("name", "role"),
    merge=Merge.NEWEST,
)
DURATION = Metric(
    "credit_dependency_duration_seconds",
    MetricKind.HISTOGRAM,
    "How long a dependency took for what its probe asks",
    ("name", "operation"),
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0),
)

_log = logging.getLogger("credit.health")


class BooksProbe:
    """A probe of whether this release can read the open books."""

    name = "ledger"
    role = "books"

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def check(self) -> None:
        await self._ledger.check_books()


def all_dependencies(stores: Stores, ledger: Ledger) -> tuple[Probe, ...]:
    """Every probe of readiness and of the metrics: those of the store, and that of the ledger's books."""
    return (*stores.dependencies, BooksProbe(ledger))


class DependencyMonitor:
    """One supervised task between `start` and `stop`. It logs changes only."""

    def __init__(
        self, *, dependencies: Sequence[Probe], runtime: Runtime, metrics: Metrics, interval_s: float
    ) -> None:
        self._dependencies = tuple(dependencies)
        self._runtime = runtime
        self._interval_s = interval_s
        self._up = metrics.register(UP)
        self._duration = metrics.register(DURATION)
        self._was_up: dict[tuple[str, str], bool] = {}
        self._probing = Recurring(runtime, self._probe_all, name="dependency-monitor")

    async def start(self) -> None:
        """Probes from now on, every `interval_s`."""
        if self._dependencies:
            self._probing.start()

    async def stop(self) -> None:
        """Returns once no probe is under way, so that the drivers may stop."""
        await self._probing.stop()

    async def _probe_all(self) -> float:
        for dependency in self._dependencies:
            await self._probe(dependency)
        return self._interval_s

    async def _probe(self, dependency: Probe) -> None:
        name, role = dependency.name, dependency.role
        started_s = self._runtime.monotonic()
        reason = "no answer in time"
        try:
            async with self._runtime.deadline(PROBE_S_MAX):
                await dependency.check()
            answers = True
        except DependencyUnavailable as error:
            answers, reason = False, error.reason
        except (DeadlineExceeded, Overloaded):
            answers = False
        except Exception:  # noqa: BLE001 - any failure of a probe means that its dependency is down
            _log.exception("the probe of %s failed", name)
            answers, reason = False, "the probe failed"
        else:
            self._duration.observe(self._runtime.monotonic() - started_s, name, role)
        self._up.set(1.0 if answers else 0.0, name, role)
        if self._was_up.get((name, role), True) != answers:
            _log.warning("%s (%s) %s", name, role, "is up again" if answers else f"is down: {reason}")
        self._was_up[name, role] = answers
