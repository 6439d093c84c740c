"""What every store promises of a change of credentials: one step over users, sessions and keys."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import pytest

import adapters.memory.identity.api_keys
import adapters.mongo.audit
import adapters.mongo.identity.api_keys
from domain.audit import AuditAction
from domain.identity.api_keys import ApiKey, Scope
from domain.identity.users import Role, User
from ports.identity.api_keys import KeyAdded
from ports.identity.credential_store import RevokedIds, RolesChanged
from tests.conformance.identity import (
    END_EVENTS,
    NOW_MS,
    OnStores,
    Stores,
    a_session,
    a_user,
    an_event,
    identity,
)

__all__ = ["identity"]

LATER_MS = NOW_MS + 100


async def change(
    stores: Stores, user: User, *, version: int = 1, to: str = "$argon2id$two"
) -> RevokedIds | None:
    return await stores.credentials.change_password(
        user.id,
        expected_version=version,
        password_hash=to,
        known_devices=("this-one",),
        now_ms=LATER_MS,
        event=an_event(AuditAction.PASSWORD_CHANGED),
        end_events=END_EVENTS,
    )


async def remove(stores: Stores, user_id: str) -> RevokedIds | None:
    event = an_event(AuditAction.USER_DELETED)
    return await stores.credentials.remove_user(user_id, now_ms=LATER_MS, event=event, end_events=END_EVENTS)


def a_key(key_id: str, sponsor: User | None) -> ApiKey:
    return ApiKey(
        id=key_id,
        name="key",
        scopes=frozenset({Scope.CREDITS_READ}),
        book="main",
        secret_digest=b"d" * 32,
        created_ms=NOW_MS,
        created_by="system",
        sponsor_id=None if sponsor is None else sponsor.id,
    )


def an_administrator(name: str = "ada") -> User:
    return replace(a_user(name), roles=frozenset({Role.USER, Role.ADMIN}))


def test_another_password_ends_every_session_and_raises_the_version(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user, other = a_user("ada"), a_user("bob")
        for one in (user, other):
            await stores.users.add(one, an_event())
        first, second, theirs = (
            a_session(user, now_ms=NOW_MS),
            a_session(user, now_ms=NOW_MS + 1),
            a_session(other),
        )
        for session in (first, second, theirs):
            await stores.opened(session)
        await stores.sessions.revoke(first.id, now_ms=NOW_MS + 2, events=[an_event()])
        assert await change(stores, user) == RevokedIds(session_ids=(second.id,))
        kept = await stores.users.get(user.id)
        assert kept is not None
        assert (kept.password_hash, kept.credential_version) == ("$argon2id$two", 2)
        assert kept.known_devices == ("this-one",)
        assert await stores.sessions.get(first.id) == replace(first, revoked_ms=NOW_MS + 2)
        assert await stores.sessions.get(second.id) == replace(second, revoked_ms=LATER_MS)
        assert await stores.sessions.get(theirs.id) == theirs
        assert (await stores.actions()).count(AuditAction.PASSWORD_CHANGED) == 1
        # The first one had ended before.
        assert await stores.resources(AuditAction.SESSION_ENDED) == [f"session:{second.id}"]

    identity(body)


def test_a_change_from_another_version_or_of_nobody_does_nothing(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        assert await change(stores, user, version=2) is None
        assert await change(stores, a_user("nobody")) is None
        assert await stores.users.get(user.id) == user
        assert await stores.actions() == [AuditAction.USER_REGISTERED]

    identity(body)


def test_of_many_changes_of_one_version_one_wins(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        tasks = [
            stores.runtime.start(partial(change, stores, user, to=f"$argon2id${at}"), name="change")
            for at in range(5)
        ]
        changed = [await task.wait() for task in tasks]
        assert sum(ended is not None for ended in changed) == 1
        kept = await stores.users.get(user.id)
        assert kept is not None
        assert kept.password_hash == f"$argon2id${next(at for at in range(5) if changed[at] is not None)}"
        assert kept.credential_version == 2

    identity(body)


def test_logins_at_the_moment_of_a_change_leave_no_session_alive(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        sessions = [a_session(user) for _ in range(4)]
        logins = [stores.runtime.start(partial(stores.opened, one), name="login") for one in sessions]
        changing = stores.runtime.start(partial(change, stores, user), name="change")
        for login in logins:
            await login.wait()
        ended = await changing.wait()
        assert ended is not None
        living = await stores.sessions.list_of_user(user.id, now_ms=NOW_MS + 1, limit=9)
        assert list(living) == []

    identity(body)


def test_a_removed_user_leaves_no_name_no_living_session_and_no_key(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user, other = an_administrator("ada"), an_administrator("bob")
        for one in (user, other):
            await stores.users.add(one, an_event())
        mine, theirs = a_session(user), a_session(other)
        for session in (mine, theirs):
            await stores.opened(session)
        for key in (
            a_key("key_mine", user),
            a_key("key_theirs", other),
            a_key("key_system", None),
        ):
            assert await stores.api_keys.add(key, an_event()) is KeyAdded.ADDED
        ended = await remove(stores, user.id)
        assert ended == RevokedIds(session_ids=(mine.id,), api_key_ids=("key_mine",))
        assert await stores.users.get(user.id) is None
        assert await stores.users.find_by_username("ada") is None
        assert await stores.users.find_by_email("ada@example.com") is None
        kept = await stores.sessions.get(mine.id)
        assert kept == replace(mine, revoked_ms=LATER_MS, address="", user_agent="")
        assert list(await stores.sessions.revoked_since(LATER_MS, limit=9)) == [mine.id]
        assert await stores.sessions.get(theirs.id) == theirs
        revoked = [(await stores.api_keys.get(key_id)) for key_id in ("key_mine", "key_theirs", "key_system")]
        assert [key and key.revoked_ms for key in revoked] == [LATER_MS, None, None]
        assert (await stores.actions()).count(AuditAction.USER_DELETED) == 1
        assert await stores.resources(AuditAction.SESSION_ENDED) == [f"session:{mine.id}"]
        assert await stores.resources(AuditAction.API_KEY_REVOKED) == ["api_key:key_mine"]

        assert await remove(stores, user.id) is None
        assert (await stores.actions()).count(AuditAction.USER_DELETED) == 1
        assert await stores.opened(a_session(user)) is None

    identity(body)


async def take_role(stores: Stores, user_id: str, *roles: Role) -> RevokedIds | None:
    changed = await stores.credentials.change_roles(
        user_id,
        roles=frozenset(roles),
        now_ms=LATER_MS,
        event=an_event(AuditAction.ROLES_CHANGED),
        end_events=END_EVENTS,
    )
    return None if changed is None else changed.revoked


def test_keys_end_with_the_administration_of_their_sponsor(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = an_administrator()
        await stores.users.add(user, an_event())
        for key in (a_key("key_mine", user), a_key("key_system", None)):
            assert await stores.api_keys.add(key, an_event()) is KeyAdded.ADDED
        assert await take_role(stores, user.id, Role.USER, Role.ADMIN, Role.ANALYST) == RevokedIds()
        assert await take_role(stores, user.id, Role.USER) == RevokedIds(api_key_ids=("key_mine",))
        revoked = [await stores.api_keys.get(key_id) for key_id in ("key_mine", "key_system")]
        assert [key and key.revoked_ms for key in revoked] == [LATER_MS, None]
        assert await stores.resources(AuditAction.API_KEY_REVOKED) == ["api_key:key_mine"]
        late = await stores.api_keys.add(a_key("key_late", user), an_event(AuditAction.API_KEY_CREATED))
        assert late is KeyAdded.SPONSOR_GONE
        assert await stores.api_keys.get("key_late") is None
        assert AuditAction.API_KEY_CREATED not in await stores.actions()

    identity(body)


@pytest.mark.parametrize("end", [remove, take_role])
def test_keys_made_at_the_moment_of_their_sponsors_end_end_too(
    identity: OnStores, end: Callable[[Stores, str], Awaitable[RevokedIds | None]]
) -> None:
    async def body(stores: Stores) -> None:
        user = an_administrator()
        await stores.users.add(user, an_event())
        keys = [a_key(f"key_{number}", user) for number in range(4)]
        adding = [
            stores.runtime.start(partial(stores.api_keys.add, key, an_event()), name="add") for key in keys
        ]
        ending = stores.runtime.start(partial(end, stores, user.id), name="end")
        added = [await task.wait() for task in adding]
        ended = await ending.wait()
        assert ended is not None
        made = {key.id for key, is_made in zip(keys, added, strict=True) if is_made is KeyAdded.ADDED}
        assert set(ended.api_key_ids) == made
        assert await stores.resources(AuditAction.API_KEY_REVOKED) == sorted(f"api_key:{key}" for key in made)

    identity(body)


def test_other_roles_end_every_session_and_logins_under_way(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        session = a_session(user)
        await stores.opened(session)

        async def change(user_id: str) -> RolesChanged | None:
            return await stores.credentials.change_roles(
                user_id,
                roles=frozenset({Role.USER, Role.ANALYST}),
                now_ms=LATER_MS,
                event=an_event(AuditAction.ROLES_CHANGED),
                end_events=END_EVENTS,
            )

        changed = await change(user.id)
        kept = await stores.users.get(user.id)
        assert kept is not None
        assert changed == RolesChanged(kept, RevokedIds(session_ids=(session.id,)))
        assert (set(kept.roles), kept.credential_version) == ({Role.USER, Role.ANALYST}, 2)
        assert kept.password_hash == user.password_hash
        assert await stores.opened(a_session(user)) is None
        assert await change("usr_none") is None
        assert (await stores.actions()).count(AuditAction.ROLES_CHANGED) == 1
        assert await stores.resources(AuditAction.SESSION_ENDED) == [f"session:{session.id}"]

    identity(body)


def test_a_key_that_expired_or_was_revoked_before_does_not_end_again(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = an_administrator()
        await stores.users.add(user, an_event())
        keys = (
            replace(a_key("key_lives", user), expires_ms=LATER_MS + 1),
            replace(a_key("key_lapsed", user), expires_ms=LATER_MS),
            replace(a_key("key_revoked", user), revoked_ms=NOW_MS),
        )
        for key in keys:
            assert await stores.api_keys.add(key, an_event()) is KeyAdded.ADDED
        assert await remove(stores, user.id) == RevokedIds(api_key_ids=("key_lives",))
        assert await stores.resources(AuditAction.API_KEY_REVOKED) == ["api_key:key_lives"]

    identity(body)


def test_so_many_keys_live_in_one_name_and_all_end_with_it(
    identity: OnStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    for store in (adapters.memory.identity.api_keys, adapters.mongo.identity.api_keys):
        monkeypatch.setattr(store, "KEYS_PER_SPONSOR_MAX", 3)
    monkeypatch.setattr(adapters.mongo.audit, "EVENTS_A_MESSAGE", 2)

    async def body(stores: Stores) -> None:
        user, other = an_administrator("ada"), an_administrator("bob")
        for one in (user, other):
            await stores.users.add(one, an_event())

        async def add(key: ApiKey) -> KeyAdded:
            return await stores.api_keys.add(key, an_event(AuditAction.API_KEY_CREATED))

        await add(replace(a_key("key_lapsed", user), expires_ms=NOW_MS))
        tasks = [
            stores.runtime.start(partial(add, a_key(f"key_{number}", user)), name="add")
            for number in range(5)
        ]
        added = [await task.wait() for task in tasks]
        assert sorted(each.value for each in added) == ["added"] * 3 + ["too_many"] * 2
        # Others are not held up, nor are keys in nobody's name.
        assert await add(a_key("key_other", other)) is KeyAdded.ADDED
        assert [await add(a_key(f"key_free_{at}", None)) for at in range(4)] == [KeyAdded.ADDED] * 4
        ended = await remove(stores, user.id)
        assert ended is not None
        assert len(ended.api_key_ids) == 3
        assert await stores.resources(AuditAction.API_KEY_REVOKED) == [
            f"api_key:{key_id}" for key_id in ended.api_key_ids
        ]
        stored = [event.resource for event in stores.recorded if event.action is AuditAction.API_KEY_REVOKED]
        assert sorted(stored) == [f"api_key:{key_id}" for key_id in ended.api_key_ids]

    identity(body)
