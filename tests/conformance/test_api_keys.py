"""What every store of service keys promises."""

from __future__ import annotations

import secrets
from dataclasses import replace

from domain.audit import AuditAction
from domain.identity.api_keys import ApiKey, Scope, digest_of
from domain.ids import time_ordered_id
from tests.conformance.identity import NOW_MS, OnStores, Stores, an_event, identity

__all__ = ["identity"]


def a_key(name: str = "shop", *, now_ms: int = NOW_MS) -> ApiKey:
    return ApiKey(
        id=time_ordered_id("key", now_ms, secrets.token_bytes(10)),
        name=name,
        scopes=frozenset({Scope.CREDITS_READ, Scope.CREDITS_WRITE}),
        book="main",
        secret_digest=digest_of("secret"),
        created_ms=now_ms,
        created_by="system",
        expires_ms=now_ms + 1_000,
        signing_secret=b"sealed",
    )


def test_a_key_is_read_back_whole_with_its_event(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        key = a_key()
        await stores.api_keys.add(key, an_event(AuditAction.API_KEY_CREATED))
        assert await stores.api_keys.get(key.id) == key
        assert await stores.api_keys.get("key_none") is None
        assert await stores.actions() == [AuditAction.API_KEY_CREATED]

    identity(body)


def test_a_list_pages_through_all_keys_newest_first(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        keys = [a_key(f"k{at}", now_ms=NOW_MS + at) for at in range(5)]
        for key in keys:
            await stores.api_keys.add(key, an_event())
        seen: list[ApiKey] = []
        cursor, sizes = None, []
        while True:
            page = await stores.api_keys.list_page(limit=2, cursor=cursor)
            seen += page.items
            sizes.append(len(page.items))
            cursor = page.next_cursor
            if cursor is None:
                break
        assert sizes == [2, 2, 1]
        assert seen == list(reversed(keys))
        whole = await stores.api_keys.list_page(limit=5, cursor=None)
        assert whole.next_cursor is None

    identity(body)


def test_a_key_is_revoked_once(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        key = a_key()
        await stores.api_keys.add(key, an_event(AuditAction.API_KEY_CREATED))
        revoked = an_event(AuditAction.API_KEY_REVOKED, now_ms=NOW_MS + 5)
        assert await stores.api_keys.revoke(key.id, now_ms=NOW_MS + 5, event=revoked)
        again = an_event(AuditAction.API_KEY_REVOKED, now_ms=NOW_MS + 6)
        assert not await stores.api_keys.revoke(key.id, now_ms=NOW_MS + 6, event=again)
        nobody = an_event(AuditAction.API_KEY_REVOKED)
        assert not await stores.api_keys.revoke("key_none", now_ms=NOW_MS, event=nobody)
        assert await stores.api_keys.get(key.id) == replace(key, revoked_ms=NOW_MS + 5)
        assert await stores.actions() == [AuditAction.API_KEY_CREATED, AuditAction.API_KEY_REVOKED]

    identity(body)


def test_last_use_only_moves_forward(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        key, other = a_key("a"), a_key("b")
        for one in (key, other):
            await stores.api_keys.add(one, an_event())
        await stores.api_keys.touch({key.id: NOW_MS + 50, "key_none": NOW_MS})
        await stores.api_keys.touch({key.id: NOW_MS + 40})
        await stores.api_keys.touch({})
        assert await stores.api_keys.get(key.id) == replace(key, last_used_ms=NOW_MS + 50)
        assert await stores.api_keys.get(other.id) == other

    identity(body)


def test_what_was_revoked_since_a_moment_is_told_newest_first(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        keys = [a_key(f"k{at}", now_ms=NOW_MS + at) for at in range(4)]
        for at, key in enumerate(keys):
            await stores.api_keys.add(key, an_event())
            if at:
                await stores.api_keys.revoke(key.id, now_ms=NOW_MS + 100 * at, event=an_event())
        _, first, second, third = (key.id for key in keys)
        assert list(await stores.api_keys.revoked_since(NOW_MS + 100, limit=10)) == [third, second, first]
        assert list(await stores.api_keys.revoked_since(NOW_MS + 101, limit=10)) == [third, second]
        assert list(await stores.api_keys.revoked_since(NOW_MS, limit=1)) == [third]

    identity(body)


def test_keys_that_were_made_for_a_place_are_found_until_they_are_revoked(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        keys = [replace(a_key("bootstrap", now_ms=NOW_MS + at), made_for="host:/file") for at in range(3)]
        for key in (*keys, replace(a_key("bootstrap"), made_for="host:/other"), a_key()):
            await stores.api_keys.add(key, an_event())
        assert await stores.api_keys.get(keys[0].id) == keys[0]
        await stores.api_keys.revoke(keys[0].id, now_ms=NOW_MS, event=an_event())
        assert await stores.api_keys.living_made_for("host:/file", limit=5) == (keys[1].id, keys[2].id)
        assert await stores.api_keys.living_made_for("host:/file", limit=1) == (keys[1].id,)
        assert await stores.api_keys.living_made_for("host:/", limit=5) == ()

    identity(body)
