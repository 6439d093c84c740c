"""What every audit log promises."""

from __future__ import annotations

from domain.audit import AuditAction, AuditEvent, AuditFilter
from tests.conformance.identity import NOW_MS, OnStores, Stores, a_user, an_event, by, identity

__all__ = ["identity"]


async def recorded(stores: Stores) -> list[AuditEvent]:
    """Six events, oldest first: actors a and b in turn, two actions, three resources."""
    events = [
        by(
            an_event(
                AuditAction.BAN_ADDED if at < 3 else AuditAction.BAN_LIFTED,
                now_ms=NOW_MS + 10 * at,
                resource=f"ip:{at % 3}",
            ),
            "ab"[at % 2],
        )
        for at in range(6)
    ]
    for event in events:
        await stores.audit.record(event)
    return events


def test_events_are_read_back_whole_newest_first(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        events = await recorded(stores)
        page = await stores.audit.find(AuditFilter(), limit=6, cursor=None)
        assert list(page.items) == list(reversed(events))
        assert page.next_cursor is None

    identity(body)


def test_an_event_is_recorded_once_however_often_it_is_tried(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        event = an_event()
        for _ in range(3):
            await stores.audit.record(event)
        assert await stores.actions() == [event.action]
        assert stores.recorded == [event]

    identity(body)


def test_events_that_went_along_with_a_write_are_told_of_once_it_stands(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        first, refused = an_event(now_ms=NOW_MS), an_event(now_ms=NOW_MS + 1)
        await stores.users.add(a_user(), first)
        await stores.users.add(a_user(), refused)
        assert stores.recorded == [first]

    identity(body)


def test_the_oldest_events_of_before_a_moment_are_removed_so_many_at_a_time(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        events = await recorded(stores)
        moment_ms = events[4].at_ms
        assert await stores.audit.remove_before(moment_ms, limit=3) == 3
        assert await stores.audit.remove_before(moment_ms, limit=3) == 1
        assert await stores.audit.remove_before(moment_ms, limit=3) == 0
        page = await stores.audit.find(AuditFilter(), limit=6, cursor=None)
        assert list(page.items) == [events[5], events[4]]

    identity(body)


FILTERS = [
    (AuditFilter(actor="a"), [4, 2, 0]),
    (AuditFilter(action=AuditAction.BAN_LIFTED), [5, 4, 3]),
    (AuditFilter(resource="ip:1"), [4, 1]),
    (AuditFilter(from_ms=NOW_MS + 40), [5, 4]),
    (AuditFilter(until_ms=NOW_MS + 10), [0]),
    (AuditFilter(from_ms=NOW_MS + 10, until_ms=NOW_MS + 30), [2, 1]),
    (AuditFilter(actor="b", action=AuditAction.BAN_ADDED, resource="ip:1"), [1]),
    (AuditFilter(actor="nobody"), []),
]


def test_filters_narrow_together(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        events = await recorded(stores)
        for wanted, expected in FILTERS:
            page = await stores.audit.find(wanted, limit=10, cursor=None)
            assert list(page.items) == [events[at] for at in expected], wanted

    identity(body)


def test_a_cursor_continues_after_the_last_event_seen(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        events = await recorded(stores)
        wanted = AuditFilter(actor="a")
        first = await stores.audit.find(wanted, limit=2, cursor=None)
        assert first.next_cursor is not None
        await stores.audit.record(by(an_event(now_ms=NOW_MS + 1_000), "a"))
        rest = await stores.audit.find(wanted, limit=2, cursor=first.next_cursor)
        assert [*first.items, *rest.items] == [events[4], events[2], events[0]]
        assert rest.next_cursor is None

    identity(body)
