"""Counts active sessions and users for the metrics, now and then, in the session store."""

from __future__ import annotations

import logging
from typing import Final

from application.outage_log import OutageLog
from application.recurring import Recurring
from ports.clock import Clock
from ports.identity.sessions import Sessions
from ports.metrics import Merge, Metric, MetricKind, Metrics
from ports.runtime import UNAVAILABLE, Runtime

INTERVAL_S: Final = 1.0
SHARE_MAX: Final = 0.02
"""Share of the time that goes into counting: many sessions are counted less often."""

SESSIONS_ACTIVE = Metric(
    "credit_sessions_active",
    MetricKind.GAUGE,
    "Sessions that have neither ended nor expired",
    merge=Merge.NEWEST,
)
USERS_ACTIVE = Metric(
    "credit_users_active", MetricKind.GAUGE, "Users with an active session", merge=Merge.NEWEST
)

_log = logging.getLogger(__name__)


class ActiveSessions:
    """One supervised task between `start` and `stop`. During an outage, the gauges keep their values."""

    def __init__(self, *, sessions: Sessions, runtime: Runtime, clock: Clock, metrics: Metrics) -> None:
        self._store = sessions
        self._runtime = runtime
        self._clock = clock
        self._sessions_gauge = metrics.register(SESSIONS_ACTIVE)
        self._users_gauge = metrics.register(USERS_ACTIVE)
        self._outages = OutageLog(runtime.monotonic)
        self._counting = Recurring(runtime, self._count_and_pause, name="active-sessions")

    async def start(self) -> None:
        """Counts from now on, at most once in `INTERVAL_S`."""
        self._counting.start()

    async def stop(self) -> None:
        """Returns once no count is under way, so that the store may stop."""
        await self._counting.stop()

    async def _count_and_pause(self) -> float:
        started_s = self._runtime.monotonic()
        await self._count()
        took_s = self._runtime.monotonic() - started_s
        return max(INTERVAL_S, took_s / SHARE_MAX)

    async def _count(self) -> None:
        try:
            active = await self._store.count_active(self._clock.now_ms())
        except UNAVAILABLE as error:
            if self._outages.due(None) is not None:
                _log.warning("active sessions were not counted: %s", error)
            return
        self._sessions_gauge.set(active.sessions)
        self._users_gauge.set(active.users)
