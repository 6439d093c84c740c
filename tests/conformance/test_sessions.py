"""What every store of sessions promises."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from domain.audit import AuditAction
from domain.sessions import SessionPolicy, rotate
from tests.conformance.identity import NOW_MS, OnStores, Stores, a_session, a_user, an_event, identity

__all__ = ["identity"]

POLICY = SessionPolicy()


def test_a_session_is_read_back_whole_and_the_login_is_noted(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        session = a_session(user, now_ms=NOW_MS + 5)
        assert await stores.sessions.add(session, an_event(AuditAction.SESSION_OPENED, now_ms=NOW_MS + 5))
        assert await stores.sessions.get(session.id) == session
        assert await stores.sessions.get("ses_none") is None
        assert await stores.users.get(user.id) == replace(user, last_login_ms=NOW_MS + 5)
        assert await stores.actions() == [AuditAction.USER_REGISTERED, AuditAction.SESSION_OPENED]

    identity(body)


def test_a_login_with_credentials_changed_meanwhile_opens_no_session(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        stale = replace(a_session(user), credential_version=user.credential_version - 1)
        assert not await stores.sessions.add(stale, an_event(AuditAction.SESSION_OPENED))
        of_nobody = a_session(a_user("nobody"))
        assert not await stores.sessions.add(of_nobody, an_event(AuditAction.SESSION_OPENED))
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
            return await stores.sessions.add(sessions[index], events[index])

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
        await stores.sessions.add(session, an_event())
        successor = rotate(session, now_ms=NOW_MS + 1_000, policy=POLICY)

        async def attempt() -> bool:
            return await stores.sessions.rotate(successor, expected_generation=session.generation)

        tasks = [stores.runtime.start(attempt, name="rotate") for _ in range(8)]
        assert sorted([await task.wait() for task in tasks]) == [False] * 7 + [True]
        assert await stores.sessions.get(session.id) == successor

    identity(body)


def test_a_revoked_session_neither_rotates_nor_is_revoked_again(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        session = a_session(user)
        await stores.sessions.add(session, an_event())
        revoked = an_event(AuditAction.SESSION_REVOKED)
        assert await stores.sessions.revoke(session.id, now_ms=NOW_MS + 7, event=revoked)
        again = an_event(AuditAction.SESSION_REVOKED)
        assert not await stores.sessions.revoke(session.id, now_ms=NOW_MS + 8, event=again)
        nobody = an_event(AuditAction.SESSION_REVOKED)
        assert not await stores.sessions.revoke("ses_none", now_ms=NOW_MS, event=nobody)
        successor = rotate(session, now_ms=NOW_MS + 9, policy=POLICY)
        assert not await stores.sessions.rotate(successor, expected_generation=session.generation)
        assert await stores.sessions.get(session.id) == replace(session, revoked_ms=NOW_MS + 7)
        assert (await stores.actions()).count(AuditAction.SESSION_REVOKED) == 1

    identity(body)


def test_a_list_names_the_living_newest_first(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user, other = a_user("ada"), a_user("bob")
        for one in (user, other):
            await stores.users.add(one, an_event())
        old, middle, new = (a_session(user, now_ms=NOW_MS + at) for at in (0, 10, 20))
        for session in (old, middle, new, a_session(other)):
            await stores.sessions.add(session, an_event())
        await stores.sessions.revoke(middle.id, now_ms=NOW_MS + 30, event=an_event())
        listed = await stores.sessions.list_of_user(user.id, now_ms=NOW_MS + 40, limit=10)
        assert list(listed) == [new, old]
        assert list(await stores.sessions.list_of_user(user.id, now_ms=NOW_MS, limit=1)) == [new]
        idle_end = old.idle_expires_ms
        assert list(await stores.sessions.list_of_user(user.id, now_ms=idle_end, limit=10)) == [new]

    identity(body)


def test_what_was_revoked_since_a_moment_is_told_newest_first(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        sessions = [a_session(user, now_ms=NOW_MS + at) for at in range(4)]
        for at, session in enumerate(sessions):
            await stores.sessions.add(session, an_event())
            if at:
                await stores.sessions.revoke(session.id, now_ms=NOW_MS + 100 * at, event=an_event())
        _, first, second, third = sessions
        since = await stores.sessions.revoked_since(NOW_MS + 100, limit=10)
        assert list(since) == [third.id, second.id, first.id]
        assert list(await stores.sessions.revoked_since(NOW_MS + 101, limit=10)) == [third.id, second.id]
        assert list(await stores.sessions.revoked_since(NOW_MS, limit=1)) == [third.id]

    identity(body)
