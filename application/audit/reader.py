"""The audit log as administrators read it: the events of the service and of the ledger's journal, merged."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Generic, NamedTuple, TypeVar

from application.audit.ledger_events import (
    ACTIONS,
    action_of,
    concerns,
    facts_of,
    key_of_resource,
    resource_of,
    subject_of_resource,
)
from application.call_log import traced
from domain.audit import AuditAction, AuditEvent, AuditFilter
from domain.ledger.chain import JournalDocument
from domain.ledger.entries import Entry
from ports.audit import AuditLog
from ports.ledger.journal_log import JournalLog, Wanted

DOCUMENTS_A_READ: Final = 10
"""Documents of one read; each may hold thousands of entries."""
READS_A_PAGE_MAX: Final = 20
UNINDEXED_DOCUMENTS_MAX: Final = 5_000
"""Documents of the journal that one page scans for an actor, whom no index finds."""
SEQ_MAX: Final = 2**63 - 1
TIME_MS_MAX: Final = 2**53

KNOWN_ACTIONS: Final = frozenset(action.value for action in AuditAction) | ACTIONS

At = TypeVar("At")

AUDIT_CURSOR = re.compile(r"(\*|!|[A-Za-z0-9_]{1,64})~(\*|!|[0-9]{1,19}\.[0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class AuditLine:
    """One write to any part of the service. `at_ms` is in milliseconds since the epoch."""

    id: str
    at_ms: int
    actor: str
    action: str
    resource: str
    address: str = ""
    request_id: str = ""
    detail: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Conditions, of which None is no condition. `since_ms` is inclusive, `until_ms` exclusive."""

    actor: str | None = None
    action: str | None = None
    resource: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class AuditLines:
    """A page of lines, newest first. It may hold fewer lines than its limit, even none, and have a next page
    all the same, since a page scans a bounded part of the journal."""

    items: tuple[AuditLine, ...]
    next_cursor: str | None


class _Place(NamedTuple):
    """The last entry that was read: number `place` of document `seq`. Those before it follow."""

    seq: int
    place: int


_NEWEST: Final = _Place(SEQ_MAX, 0)


@dataclass(frozen=True, slots=True)
class _Position:
    """How far each of the two logs was read; None at its end. An empty `event_id` is before the newest."""

    event_id: str | None = ""
    place: _Place | None = _NEWEST

    def encode(self) -> str | None:
        if self.event_id is None and self.place is None:
            return None
        event = "!" if self.event_id is None else self.event_id or "*"
        place = "!" if self.place is None else "*" if self.place == _NEWEST else "{}.{}".format(*self.place)
        return f"{event}~{place}"

    @staticmethod
    def decode(cursor: str) -> _Position | None:
        match = AUDIT_CURSOR.fullmatch(cursor)
        if match is None:
            return None
        event_id = {"!": None, "*": ""}.get(match[1], match[1])
        if match[2] in ("!", "*"):
            return _Position(event_id, None if match[2] == "!" else _NEWEST)
        seq, place = map(int, match[2].split("."))
        return _Position(event_id, _Place(min(seq, SEQ_MAX), place))


class _Stream(NamedTuple, Generic[At]):
    """Lines of one log, each with the position after it. `rest` is the position after all, or None."""

    lines: list[tuple[AuditLine, At]]
    rest: At | None


class AuditReader:
    """Merges the audit log and the journal of one book by time."""

    def __init__(self, *, log: AuditLog, journal: JournalLog) -> None:
        self._log = log
        self._journal = journal

    @traced
    async def find(
        self, query: AuditQuery, *, book: str, limit: int, cursor: str | None = None
    ) -> AuditLines | None:
        """A page of at most `limit` lines of the audit log and of the journal of a book, newest first.

        None for a `cursor` that no page gave. Raises `DependencyUnavailable`.
        """
        start = _Position() if cursor is None else _Position.decode(cursor)
        if start is None:
            return None
        events = await self._events(query, start.event_id, limit)
        entries = await self._entries(query, book, start.place, limit)
        return _merged(start, events, entries, limit)

    async def _events(self, query: AuditQuery, after: str | None, limit: int) -> _Stream[str]:
        if after is None or query.action in ACTIONS:
            return _Stream([], None)
        wanted = AuditFilter(
            actor=query.actor,
            action=None if query.action is None else AuditAction(query.action),
            resource=query.resource,
            from_ms=query.since_ms,
            until_ms=query.until_ms,
        )
        page = await self._log.find(wanted, limit=limit, cursor=after or None)
        return _Stream([(_line_of_event(event), event.id) for event in page.items], page.next_cursor)

    async def _entries(
        self, query: AuditQuery, book: str, before: _Place | None, limit: int
    ) -> _Stream[_Place]:
        if before is None or not (query.action is None or query.action in ACTIONS):
            return _Stream([], None)
        floor = 0 if query.since_ms is None else await self._journal.last_before(book, query.since_ms)
        last = await self._journal.last_before(
            book, TIME_MS_MAX if query.until_ms is None else query.until_ms
        )
        before = min(before, _Place(last + 1, 0))
        resource = query.resource
        subject = None if resource is None else subject_of_resource(resource)
        if resource is not None and subject is None:
            return _Stream([], None)
        is_indexed = subject is not None or query.actor is None
        wanted = Wanted(
            upto=last,
            above=floor if is_indexed else max(floor, before.seq - 1 - UNINDEXED_DOCUMENTS_MAX),
            subject=subject,
            key=None if resource is None else key_of_resource(resource),
            actor=query.actor,
        )
        return await self._scan(query, book, wanted, before, floor, limit)

    async def _scan(
        self, query: AuditQuery, book: str, wanted: Wanted, before: _Place, floor: int, limit: int
    ) -> _Stream[_Place]:
        """Scans from `before` down to `wanted.above`, above `floor` where a page scans only a part."""
        rest = None if wanted.above == floor else _Place(wanted.above + 1, 0)
        lines: list[tuple[AuditLine, _Place]] = []
        for _ in range(READS_A_PAGE_MAX):
            upto = before.seq if before.place else before.seq - 1
            if upto <= wanted.above:
                return _Stream(lines, rest)
            documents = await self._journal.latest(book, replace(wanted, upto=upto), limit=DOCUMENTS_A_READ)
            for line in _lines_of(documents, before, query):
                if len(lines) == limit:
                    return _Stream(lines, lines[-1][1])
                lines.append(line)
            if len(documents) < DOCUMENTS_A_READ:
                return _Stream(lines, rest)
            before = _Place(documents[-1].seq, 0)
        return _Stream(lines, before)


def _merged(start: _Position, events: _Stream[str], entries: _Stream[_Place], limit: int) -> AuditLines:
    """Stops at the end of what was read of a log that has more: its next line is not known then."""
    items: list[AuditLine] = []
    from_events = from_entries = 0
    while len(items) < limit:
        event = events.lines[from_events][0] if from_events < len(events.lines) else None
        entry = entries.lines[from_entries][0] if from_entries < len(entries.lines) else None
        if (event is None and events.rest is not None) or (entry is None and entries.rest is not None):
            break
        if event is not None and (entry is None or event.at_ms >= entry.at_ms):
            items.append(event)
            from_events += 1
        elif entry is not None:
            items.append(entry)
            from_entries += 1
        else:
            break
    position = _Position(
        _after(events, from_events, start.event_id), _after(entries, from_entries, start.place)
    )
    return AuditLines(tuple(items), position.encode())


def _after(stream: _Stream[At], taken: int, start: At | None) -> At | None:
    if taken == len(stream.lines):
        return stream.rest
    return stream.lines[taken - 1][1] if taken else start


def _lines_of(
    documents: Iterable[JournalDocument], before: _Place, query: AuditQuery
) -> Iterator[tuple[AuditLine, _Place]]:
    for document in documents:
        for place in range(len(document.entries) - 1, -1, -1):
            at, entry = _Place(document.seq, place), document.entries[place]
            if at < before and _is_wanted(entry, query):
                yield _line_of_entry(document, place, entry), at


def _is_wanted(entry: Entry, query: AuditQuery) -> bool:
    return (
        (query.actor is None or entry.actor == query.actor)
        and (query.action is None or action_of(entry) == query.action)
        and (query.resource is None or concerns(entry, query.resource))
    )


def _line_of_event(event: AuditEvent) -> AuditLine:
    return AuditLine(
        id=event.id,
        at_ms=event.at_ms,
        actor=event.actor,
        action=event.action.value,
        resource=event.resource,
        address=event.address,
        request_id=event.request_id,
        detail=event.detail,
    )


def _line_of_entry(document: JournalDocument, place: int, entry: Entry) -> AuditLine:
    return AuditLine(
        id=f"{document.book}:{document.seq}:{place}",
        at_ms=document.time_ms,
        actor=entry.actor,
        action=action_of(entry),
        resource=resource_of(entry),
        detail={"book": document.book, "seq": document.seq, **facts_of(entry)},
    )
