"""How many sessions and users are active, for the metrics: counted now and then where sessions are kept."""

from __future__ import annotations

import logging
from typing import Final

from application.outage_log import OutageLog
from application.recurring import Recurring
from ports.clock import Clock
from ports.errors import DependencyUnavailable
from ports.identity.sessions import Sessions
from ports.metrics import Merge, Metric, MetricKind, Metrics
from ports.runtime import DeadlineExceeded, Overloaded, Runtime

INTERVAL_S: Final = 1.0
SHARE_MAX: Final = 0.02
"""Of the time, spent counting: with many sessions it is done less often."""

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
    """One supervised task while it runs. When sessions cannot be counted, the numbers stay as they were."""

    def __init__(self, *, sessions: Sessions, runtime: Runtime, clock: Clock, metrics: Metrics) -> None:
        self._kept = sessions
        self._runtime = runtime
        self._clock = clock
        self._sessions = metrics.register(SESSIONS_ACTIVE)
        self._users = metrics.register(USERS_ACTIVE)
        self._outages = OutageLog(runtime.monotonic)
        self._counting = Recurring(runtime, self._go_round, name="active-sessions")

    async def start(self) -> None:
        self._counting.start()

    async def stop(self) -> None:
        """Returns when no count is under way, for the store stops after it."""
        await self._counting.stop()

    async def _go_round(self) -> float:
        started_s = self._runtime.monotonic()
        await self._count()
        took_s = self._runtime.monotonic() - started_s
        return max(INTERVAL_S, took_s / SHARE_MAX)

    async def _count(self) -> None:
        try:
            active = await self._kept.count_active(self._clock.now_ms())
        except (DependencyUnavailable, DeadlineExceeded, Overloaded) as error:
            if self._outages.due(None) is not None:
                _log.warning("active sessions were not counted: %s", error)
            return
        self._sessions.set(active.sessions)
        self._users.set(active.users)
