"""The two logs as one: in order, in pages, by filter, and never more looked through than is allowed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.ledger.journal import MemoryJournal
from application.audit import reader
from application.audit.reader import KNOWN_ACTIONS, AuditLine, AuditQuery, AuditReader
from domain.audit import AuditAction, AuditEvent
from domain.ids import time_ordered_id
from domain.ledger.chain import Head, JournalDocument, seal
from domain.ledger.entries import Entry
from ports.ledger.journal_log import Wanted
from tests.conformance.entries import every_kind_of_entry
from tests.conformance.test_journal import issued, opened, spent

START_MS = 1_800_000_000_000


class WatchedJournal(MemoryJournal):
    """Notes how many documents were handed out, and between which."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0
        self.spans: list[tuple[int, int]] = []

    async def latest(self, book: str, wanted: Wanted, *, limit: int) -> Sequence[JournalDocument]:
        found = await super().latest(book, wanted, limit=limit)
        self.read += len(found)
        self.spans.append((wanted.above, wanted.upto))
        return found


class Both:
    def __init__(self) -> None:
        self.log = MemoryAuditLog()
        self.journal = WatchedJournal()
        self.reader = AuditReader(log=self.log, journal=self.journal)
        self._head = Head()
        self._events = 0

    async def event(self, at_ms: int, *, actor: str = "system", resource: str = "ip:192.0.2.7") -> None:
        self._events += 1
        event_id = time_ordered_id("aud", at_ms, self._events.to_bytes(10, "big"))
        await self.log.record(AuditEvent(event_id, at_ms, actor, AuditAction.BAN_ADDED, resource))

    async def document(self, at_ms: int, *entries: Entry) -> None:
        document = seal("main", self._head, entries, time_ms=at_ms, nonce=f"n{self._head.seq}")
        await self.journal.append(document)
        self._head = document.head

    async def all(self, query: AuditQuery, limit: int) -> list[AuditLine]:
        """Through every page."""
        lines: list[AuditLine] = []
        cursor = None
        for _ in range(1_000):
            page = await self.reader.find(query, book="main", limit=limit, cursor=cursor)
            assert page is not None
            assert len(page.items) <= limit
            lines += page.items
            cursor = page.next_cursor
            if cursor is None:
                return lines
        raise AssertionError("the pages do not end")


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 4)), max_size=25),
    st.integers(1, 7),
)
def test_pages_of_any_size_give_both_logs_whole_and_in_order(
    steps: list[tuple[bool, int, int]], limit: int
) -> None:
    async def main() -> None:
        both, now_ms, opened_accounts, expected = Both(), START_MS, 0, 0
        for is_event, wait_ms, count in steps:
            now_ms += wait_ms
            if is_event:
                await both.event(now_ms)
                expected += 1
            else:
                names = [f"a{opened_accounts + each}" for each in range(count)]
                opened_accounts += count
                expected += count
                await both.document(now_ms, *map(opened, names))
        lines = await both.all(AuditQuery(), limit)
        assert len({line.id for line in lines}) == len(lines) == expected
        assert [line.at_ms for line in lines] == sorted((line.at_ms for line in lines), reverse=True)
        for since, until in ((START_MS + 3, None), (None, START_MS + 9), (START_MS + 3, START_MS + 9)):
            some = await both.all(AuditQuery(since_ms=since, until_ms=until), limit)
            assert some == [
                line
                for line in lines
                if (since is None or line.at_ms >= since) and (until is None or line.at_ms < until)
            ]

    asyncio.run(main())


async def filled() -> Both:
    both = Both()
    await both.document(START_MS, opened("alice", "usr_1"), opened("bob"))
    await both.event(START_MS + 1, actor="user:u", resource="user:usr_1")
    await both.document(START_MS + 2, issued("g1", "alice"))
    await both.document(START_MS + 3, spent("t1", "alice"), spent("t2", "bob"))
    return both


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (AuditQuery(actor="user:u"), ["transfer:t2", "transfer:t1", "user:usr_1"]),
        (AuditQuery(action="ban.added"), ["user:usr_1"]),
        (AuditQuery(action="credits.account"), ["account:bob", "account:alice"]),
        (AuditQuery(action="credits.issue"), ["grant:g1"]),
        (AuditQuery(resource="account:alice"), ["transfer:t1", "grant:g1", "account:alice"]),
        (AuditQuery(resource="account:@issuance:GEMS"), ["grant:g1"]),
        (AuditQuery(resource="user:usr_1"), ["user:usr_1", "account:alice"]),
        (AuditQuery(resource="transfer:t2"), ["transfer:t2"]),
        (AuditQuery(resource="grant:g1", actor="nobody"), []),
        (AuditQuery(resource="ip:192.0.2.9"), []),
        (AuditQuery(resource="account:alice", action="credits.transfer"), ["transfer:t1"]),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 50])
def test_filters_narrow_both_logs_together(query: AuditQuery, found: list[str], limit: int) -> None:
    async def main() -> None:
        assert [line.resource for line in await (await filled()).all(query, limit)] == found

    asyncio.run(main())


def test_every_kind_of_entry_has_a_line_with_plain_facts_and_no_metadata() -> None:
    async def main() -> None:
        both = Both()
        entries = every_kind_of_entry()
        await both.document(START_MS, *entries)
        lines = await both.all(AuditQuery(), 50)
        assert len(lines) == len(entries)
        for line in lines:
            assert line.action in KNOWN_ACTIONS
            assert ":" in line.resource
            assert all(isinstance(fact, str | int) for fact in line.detail.values())
            assert not {"metadata", "fingerprint", "keys"} & line.detail.keys()
            # What a line names finds that line again.
            assert line in await both.all(AuditQuery(resource=line.resource), 50)

    asyncio.run(main())


@pytest.mark.parametrize("query", [AuditQuery(actor="nobody"), AuditQuery(action="credits.hold")])
def test_a_page_looks_through_a_bounded_part_of_the_journal(
    query: AuditQuery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "UNINDEXED_DOCUMENTS_MAX", 50)
    monkeypatch.setattr(reader, "READS_A_PAGE_MAX", 5)

    async def main() -> None:
        both = Both()
        for number in range(120):
            await both.document(START_MS + number, opened(f"a{number}"))
        page = await both.reader.find(query, book="main", limit=10)
        assert page is not None
        assert (page.items, page.next_cursor) == ((), "!~71.0")
        assert both.journal.read <= 50
        assert all(upto - above <= 50 for above, upto in both.journal.spans if query.actor)
        assert await both.all(query, 10) == []

    asyncio.run(main())


@pytest.mark.parametrize(
    "cursor", ["", "x", "~", "*~", "*~1", "*~1.x", "!~" + "9" * 20 + ".1", "*~*\n", "a b~*"]
)
def test_a_cursor_that_is_none_of_ours_is_refused(cursor: str) -> None:
    async def main() -> None:
        assert await (await filled()).reader.find(AuditQuery(), book="main", limit=1, cursor=cursor) is None

    asyncio.run(main())
