"""What every store of sessions promises."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from domain.audit import AuditAction
from domain.identity.sessions import SessionPolicy, rotate, token_state
from domain.identity.tokens import TokenState
from domain.identity.users import DEVICES_KNOWN_MAX, device_digest, with_device
from ports.identity.sessions import ActiveCount
from tests.conformance.identity import (
    NOW_MS,
    OnStores,
    Stores,
    a_session,
    a_user,
    an_event,
    ended_session,
    identity,
)

__all__ = ["identity"]

POLICY = SessionPolicy()


def test_a_session_is_read_back_whole_and_the_login_is_noted(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        session = a_session(user, now_ms=NOW_MS + 5)
        opened = an_event(AuditAction.SESSION_OPENED, now_ms=NOW_MS + 5)
        assert list(await stores.opened(session, opened) or ()) == []
        assert await stores.sessions.get(session.id) == session
        assert await stores.sessions.get("ses_none") is None
        assert await stores.users.get(user.id) == replace(
            user, last_login_ms=NOW_MS + 5, known_devices=(device_digest(user.id, session.device_id),)
        )
        assert await stores.actions() == [AuditAction.USER_REGISTERED, AuditAction.SESSION_OPENED]

    identity(body)


def test_a_login_with_credentials_changed_meanwhile_opens_no_session(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        stale = replace(a_session(user), credential_version=user.credential_version - 1)
        assert await stores.opened(stale, an_event(AuditAction.SESSION_OPENED)) is None
        of_nobody = a_session(a_user("nobody"))
        assert await stores.opened(of_nobody, an_event(AuditAction.SESSION_OPENED)) is None
        assert await stores.sessions.get(stale.id) is None
        assert await stores.actions() == [AuditAction.USER_REGISTERED]

    identity(body)


def test_many_logins_of_one_user_at_once_all_open_their_sessions(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        sessions = [a_session(user) for _ in range(6)]
        events = [an_event(AuditAction.SESSION_OPENED) for _ in sessions]

        async def add(index: int) -> bool:
            ended = await stores.opened(sessions[index], events[index])
            return ended is not None and not ended

        tasks = [
            stores.runtime.start(partial(add, index), name=f"login-{index}") for index in range(len(sessions))
        ]
        assert all([await task.wait() for task in tasks])
        listed = await stores.sessions.list_of_user(user.id, now_ms=NOW_MS, limit=100)
        assert {session.id for session in listed} == {session.id for session in sessions}

    identity(body)


def test_of_many_rotations_of_one_generation_one_wins(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        session = a_session(user)
        await stores.opened(session, an_event())
        successor = rotate(
            session, address="203.0.113.8", user_agent="other", now_ms=NOW_MS + 1_000, policy=POLICY
        )

        async def attempt() -> bool:
            return await stores.sessions.rotate(successor, expected_generation=session.generation)

        tasks = [stores.runtime.start(attempt, name="rotate") for _ in range(8)]
        assert sorted([await task.wait() for task in tasks]) == [False] * 7 + [True]
        assert await stores.sessions.get(session.id) == successor

    identity(body)


def test_the_newest_token_that_was_shown_is_noted_until_it_rotates(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        session = a_session(user)
        await stores.opened(session)
        await stores.sessions.confirm_generation(session.id, generation=2)
        await stores.sessions.confirm_generation("ses_none", generation=1)
        assert await stores.sessions.get(session.id) == session
        await stores.sessions.confirm_generation(session.id, generation=1)
        assert await stores.sessions.get(session.id) == replace(session, confirmed_generation=1)
        successor = rotate(session, address="", user_agent="", now_ms=NOW_MS + 1, policy=POLICY)
        assert await stores.sessions.rotate(successor, expected_generation=1)
        await stores.sessions.confirm_generation(session.id, generation=1)
        kept = await stores.sessions.get(session.id)
        assert kept is not None
        assert (kept.generation, kept.rotations_ms) == (2, (NOW_MS + 1,))
        assert token_state(kept, 1, NOW_MS + 60_000, POLICY) is TokenState.UNCONFIRMED

    identity(body)


def test_a_revoked_session_neither_rotates_nor_is_revoked_again(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        session = a_session(user)
        await stores.opened(session, an_event())
        revoked = an_event(AuditAction.SESSION_ENDED)
        assert await stores.sessions.revoke(session.id, now_ms=NOW_MS + 7, events=[revoked])
        again = an_event(AuditAction.SESSION_ENDED)
        assert not await stores.sessions.revoke(session.id, now_ms=NOW_MS + 8, events=[again])
        nobody = an_event(AuditAction.SESSION_ENDED)
        assert not await stores.sessions.revoke("ses_none", now_ms=NOW_MS, events=[nobody])
        successor = rotate(
            session, address="203.0.113.8", user_agent="other", now_ms=NOW_MS + 9, policy=POLICY
        )
        assert not await stores.sessions.rotate(successor, expected_generation=session.generation)
        assert await stores.sessions.get(session.id) == replace(session, revoked_ms=NOW_MS + 7)
        assert (await stores.actions()).count(AuditAction.SESSION_ENDED) == 1

    identity(body)


def test_a_list_names_the_living_newest_first(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user, other = a_user("ada"), a_user("bob")
        for one in (user, other):
            await stores.users.add(one, an_event())
        old, middle, new = (a_session(user, now_ms=NOW_MS + at) for at in (0, 10, 20))
        for session in (old, middle, new, a_session(other)):
            await stores.opened(session, an_event())
        await stores.sessions.revoke(middle.id, now_ms=NOW_MS + 30, events=[an_event()])
        listed = await stores.sessions.list_of_user(user.id, now_ms=NOW_MS + 40, limit=10)
        assert list(listed) == [new, old]
        assert list(await stores.sessions.list_of_user(user.id, now_ms=NOW_MS, limit=1)) == [new]
        idle_end = old.idle_expires_ms
        assert list(await stores.sessions.list_of_user(user.id, now_ms=idle_end, limit=10)) == [new]

    identity(body)


def test_those_that_ended_are_told_from_those_that_live(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        living, revoked, expired = (a_session(user, now_ms=NOW_MS + number) for number in range(3))
        expired = replace(expired, idle_expires_ms=NOW_MS + 50)
        for session in (living, revoked, expired):
            assert await stores.opened(session, an_event(AuditAction.SESSION_OPENED)) is not None
        await stores.sessions.revoke(revoked.id, now_ms=NOW_MS + 10, events=[an_event()])
        asked = [revoked.id, "ses_none", living.id, expired.id]
        assert list(await stores.sessions.ended_among(asked, now_ms=NOW_MS + 49)) == [revoked.id, "ses_none"]
        ended = [revoked.id, "ses_none", expired.id]
        assert list(await stores.sessions.ended_among(asked, now_ms=NOW_MS + 50)) == ended
        assert list(await stores.sessions.ended_among([], now_ms=NOW_MS)) == []

    identity(body)


def test_what_was_revoked_since_a_moment_is_told_newest_first(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        sessions = [a_session(user, now_ms=NOW_MS + at) for at in range(4)]
        for at, session in enumerate(sessions):
            await stores.opened(session, an_event())
            if at:
                await stores.sessions.revoke(session.id, now_ms=NOW_MS + 100 * at, events=[an_event()])
        _, first, second, third = sessions
        since = await stores.sessions.revoked_since(NOW_MS + 100, limit=10)
        assert list(since) == [third.id, second.id, first.id]
        assert list(await stores.sessions.revoked_since(NOW_MS + 101, limit=10)) == [third.id, second.id]
        assert list(await stores.sessions.revoked_since(NOW_MS, limit=1)) == [third.id]

    identity(body)


def test_one_session_more_than_allowed_ends_the_oldest_on_record(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user, other = a_user("ada"), a_user("bob")
        for one in (user, other):
            await stores.users.add(one, an_event())
        first, second, third, fourth = (a_session(user, now_ms=NOW_MS + at) for at in range(4))
        for session in (first, second, a_session(other, now_ms=NOW_MS)):
            await stores.opened(session, per_user_max=2)
        assert list(await stores.opened(third, per_user_max=2) or ()) == [first.id]
        kept = await stores.sessions.get(first.id)
        assert kept == replace(first, revoked_ms=third.created_ms)
        assert (await stores.actions()).count(AuditAction.SESSION_ENDED) == 1
        # A limit that was lowered since.
        assert set(await stores.opened(fourth, per_user_max=1) or ()) == {second.id, third.id}
        assert list(await stores.sessions.list_of_user(user.id, now_ms=NOW_MS + 9, limit=9)) == [fourth]
        assert len(await stores.sessions.list_of_user(other.id, now_ms=NOW_MS + 9, limit=9)) == 1

    identity(body)


def test_of_many_logins_at_once_no_more_live_than_allowed(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        sessions = [a_session(user, now_ms=NOW_MS + at) for at in range(6)]
        tasks = [
            stores.runtime.start(partial(stores.opened, session, per_user_max=2), name="login")
            for session in sessions
        ]
        ended = [await task.wait() for task in tasks]
        assert sum(len(ids or ()) for ids in ended) == 4
        assert len(await stores.sessions.list_of_user(user.id, now_ms=NOW_MS + 9, limit=9)) == 2

    identity(body)


def test_the_devices_of_the_last_logins_are_remembered_in_bounds(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        devices = [f"device-{number:010}" for number in range(DEVICES_KNOWN_MAX + 2)]
        expected: tuple[str, ...] = ()
        # The first one comes again before it would be forgotten.
        for device in (*devices[:5], devices[0], *devices[5:]):
            await stores.opened(replace(a_session(user), device_id=device))
            expected = with_device(expected, device_digest(user.id, device))
        kept = await stores.users.get(user.id)
        assert kept is not None
        assert kept.known_devices == expected
        assert len(expected) == DEVICES_KNOWN_MAX
        assert device_digest(user.id, devices[0]) in expected
        assert device_digest(user.id, devices[1]) not in expected

    identity(body)


def test_all_sessions_of_a_user_end_in_one_step_with_an_event_of_each(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user, other = a_user("ada"), a_user("bob")
        for one in (user, other):
            await stores.users.add(one, an_event())
        mine = [a_session(user, now_ms=NOW_MS + at) for at in range(3)]
        theirs = a_session(other)
        for session in (*mine, theirs):
            await stores.opened(session)
        await stores.sessions.revoke(mine[0].id, now_ms=NOW_MS + 5, events=[an_event()])
        everything = an_event(AuditAction.SESSIONS_REVOKED)
        ended = await stores.sessions.revoke_all(
            user.id, now_ms=NOW_MS + 9, event=everything, end_event=ended_session
        )
        assert list(ended) == [mine[1].id, mine[2].id]
        again = an_event(AuditAction.SESSIONS_REVOKED)
        assert (
            list(
                await stores.sessions.revoke_all(
                    user.id, now_ms=NOW_MS + 9, event=again, end_event=ended_session
                )
            )
            == []
        )
        assert (await stores.actions()).count(AuditAction.SESSIONS_REVOKED) == 1
        assert await stores.sessions.get(mine[2].id) == replace(mine[2], revoked_ms=NOW_MS + 9)
        assert await stores.sessions.get(theirs.id) == theirs
        ended_events = await stores.resources(AuditAction.SESSION_ENDED)
        assert ended_events == sorted(f"session:{session_id}" for session_id in ended)
        actions = [event.action for event in stores.recorded]
        assert actions.count(AuditAction.SESSION_ENDED) == 2

    identity(body)


def test_the_living_are_counted_with_their_users(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        assert await stores.sessions.count_active(NOW_MS) == ActiveCount(0, 0)
        ada, bob = a_user("ada"), a_user("bob")
        for one in (ada, bob):
            await stores.users.add(one, an_event())
        first, second, third = a_session(ada), a_session(ada), a_session(bob, now_ms=NOW_MS + 50)
        for session in (first, second, third):
            await stores.opened(session)
        assert await stores.sessions.count_active(NOW_MS + 60) == ActiveCount(sessions=3, users=2)
        await stores.sessions.revoke(first.id, now_ms=NOW_MS + 60, events=[an_event()])
        assert await stores.sessions.count_active(NOW_MS + 60) == ActiveCount(sessions=2, users=2)
        assert await stores.sessions.count_active(second.idle_expires_ms) == ActiveCount(sessions=1, users=1)

    identity(body)
