"""The audit log in memory; the other memory repositories write their events here."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from operator import attrgetter

from domain.audit import AuditEvent, AuditFilter, first_id_at
from ports.audit import AuditLog, AuditPage, OnRecorded

EVENTS_MAX = 100_000


class MemoryAuditLog:
    """Keeps the newest `events_max` events, in the order of their ids."""

    def __init__(self, *, events_max: int = EVENTS_MAX, on_recorded: OnRecorded | None = None) -> None:
        self._events: list[AuditEvent] = []
        self._events_max = events_max
        self._on_recorded = on_recorded

    async def record(self, event: AuditEvent) -> None:
        self.append(event)

    async def find(self, wanted: AuditFilter, *, limit: int, cursor: str | None) -> AuditPage:
        found = self._newest_first(wanted, cursor)
        items = tuple(event for _, event in zip(range(limit), found, strict=False))
        more = next(found, None) is not None
        return AuditPage(items=items, next_cursor=items[-1].id if items and more else None)

    async def remove_before(self, moment_ms: int, *, limit: int) -> int:
        place = bisect_left(self._events, first_id_at(moment_ms), key=attrgetter("id"))
        removed = min(place, limit)
        del self._events[:removed]
        return removed

    def append(self, event: AuditEvent) -> None:
        """At once, for a repository that writes event and value in one step."""
        place = bisect_left(self._events, event.id, key=attrgetter("id"))
        if place < len(self._events) and self._events[place].id == event.id:
            return
        self._events.insert(place, event)
        if len(self._events) > self._events_max:
            del self._events[0]
        if self._on_recorded is not None:
            self._on_recorded(event)

    def _newest_first(self, wanted: AuditFilter, cursor: str | None) -> Iterator[AuditEvent]:
        for event in reversed(self._events):
            if (cursor is None or event.id < cursor) and wanted.matches(event):
                yield event


def _proof(log: MemoryAuditLog) -> AuditLog:
    """mypy holds the adapter to its port here."""
    return log
