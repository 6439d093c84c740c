"""Removes audit events that are older than they are to be kept."""

from __future__ import annotations

import logging
from functools import partial

from application.recurring import Recurring
from ports.audit import AuditLog
from ports.clock import Clock
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime

EVENTS_A_CALL = 1_000
CALLS_A_ROUND = 100
"""So many events at most are removed before others have a turn."""
ROUND_PAUSE_S = 1.0
INTERVAL_S = 3_600.0

_log = logging.getLogger("credit.audit")


class AuditRetention:
    """One supervised task between `start` and `stop`, in each worker: they do no harm to each other.

    Without `kept_ms` events are kept for ever.
    """

    def __init__(self, *, runtime: Runtime, clock: Clock, log: AuditLog, kept_ms: int | None) -> None:
        self._clock = clock
        self._events = log
        self._removing = (
            None
            if kept_ms is None
            else Recurring(runtime, partial(self._remove, kept_ms), name="audit-retention")
        )

    async def start(self) -> None:
        """Removes what is over now, and then every hour."""
        if self._removing is not None:
            self._removing.start()

    async def stop(self) -> None:
        """Returns once no call is under way."""
        if self._removing is not None:
            await self._removing.stop()

    async def _remove(self, kept_ms: int) -> float:
        moment_ms, removed, last = self._clock.now_ms() - kept_ms, 0, EVENTS_A_CALL
        try:
            for _ in range(CALLS_A_ROUND):
                last = await self._events.remove_before(moment_ms, limit=EVENTS_A_CALL)
                removed += last
                if last < EVENTS_A_CALL:
                    break
        except DependencyUnavailable as error:
            _log.warning("old audit events are not removed: %s", error)
            last = 0
        if removed:
            _log.info("%d audit events were older than they are to be kept, and are removed", removed)
        return INTERVAL_S if last < EVENTS_A_CALL else ROUND_PAUSE_S
