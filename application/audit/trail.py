"""Audit events of changes outside of a transaction, written without delaying the change."""

from __future__ import annotations

import logging
from collections import deque

from domain.audit import AuditEvent
from ports.audit import AuditLog
from ports.errors import DependencyUnavailable
from ports.metrics import Metric, MetricKind, Metrics
from ports.runtime import DeadlineExceeded, Runtime, Task

WAITING_MAX = 1_000
"""Events that wait for an unavailable log. Further ones are lost, which is logged."""
RETRY_S = 5.0
STOP_S_MAX = 2.0

AUDIT_EVENTS = Metric(
    "credit_audit_events_total", MetricKind.COUNTER, "Events stored in the audit log", ("action",)
)

_log = logging.getLogger(__name__)


class AuditCounter:
    """`ports.audit.OnRecorded`: counts the stored events."""

    def __init__(self, metrics: Metrics) -> None:
        self._events = metrics.register(AUDIT_EVENTS)

    def __call__(self, event: AuditEvent) -> None:
        self._events.add(1, event.action.value)


class AuditTrail:
    """Writes events until the log has accepted them, since their changes have happened already.

    An event has its id from the start, and the log accepts an id once, so that no event is stored twice.
    """

    def __init__(self, *, log: AuditLog, runtime: Runtime, waiting_max: int = WAITING_MAX) -> None:
        self._log = log
        self._runtime = runtime
        self._waiting: deque[AuditEvent] = deque()
        self._waiting_max = waiting_max
        self._lost = 0
        self._writing: Task[None] | None = None

    def enqueue(self, event: AuditEvent) -> None:
        """Has an event written as soon as possible. Returns at once and never raises."""
        if len(self._waiting) >= self._waiting_max:
            self._lost += 1
            if self._lost == 1:
                _log.error("the audit log is away and %s events wait for it: more are lost", WAITING_MAX)
            return
        self._waiting.append(event)
        if self._writing is None:
            self._writing = self._runtime.start(self._write_all, name="audit-trail")

    async def flush(self) -> None:
        """Writes the waiting events. Raises `DependencyUnavailable`; the rest stays in the queue."""
        while self._waiting:
            await self._write_first()

    async def stop(self) -> None:
        """Writes the waiting events within `STOP_S_MAX`; logs how many are lost."""
        if self._writing is not None:
            self._writing.cancel()
        try:
            async with self._runtime.deadline(STOP_S_MAX):
                await self.flush()
        except (DependencyUnavailable, DeadlineExceeded):
            _log.error("%s audit events are lost: the audit log is away", len(self._waiting))

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                try:
                    await self._write_first()
                except DependencyUnavailable:
                    await self._runtime.sleep(RETRY_S)
                except Exception:  # noqa: BLE001 - logged, and the next event is written
                    # An event that cannot be stored must not block the others.
                    _log.exception("an audit event cannot be stored")
                    self._waiting.popleft()
        finally:
            self._writing = None

    async def _write_first(self) -> None:
        event = self._waiting[0]
        await self._log.record(event)
        # The task and a flush may write at the same time.
        if self._waiting and self._waiting[0] is event:
            self._waiting.popleft()
        if self._lost:
            lost, self._lost = self._lost, 0
            _log.error("%s audit events were lost while the audit log was away", lost)
