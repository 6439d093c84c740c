"""What every store promises of answers: each is stored by its write, or neither is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from domain.audit import AuditAction
from domain.idempotency import REMEMBERED_MS, RememberedAnswer
from domain.identity.api_keys import ApiKey, Scope
from ports.idempotency import AlreadyAnswered
from ports.identity.users import RenameRefused, UserAdded
from tests.conformance.identity import END_EVENTS, NOW_MS, OnStores, Stores, a_user, an_event, identity

__all__ = ["identity"]


def an_answer(id: str = "one", *, at_ms: int = NOW_MS) -> RememberedAnswer:
    return RememberedAnswer(id, b"\0fingerprint", 201, b"\xff sealed \0", at_ms)


def a_key(key_id: str) -> ApiKey:
    return ApiKey(key_id, "key", frozenset({Scope.ADMIN}), "main", b"d" * 32, NOW_MS, "system")


async def find(stores: Stores, id: str = "one", *, now_ms: int = NOW_MS) -> RememberedAnswer | None:
    return await stores.answers.find(id, now_ms=now_ms)


def test_an_answer_is_found_for_a_day(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        assert await find(stores) is None
        await stores.users.add(a_user(), an_event(), answer=an_answer())
        assert await find(stores) == an_answer()
        assert await find(stores, now_ms=NOW_MS + REMEMBERED_MS - 1) == an_answer()
        assert await find(stores, now_ms=NOW_MS + REMEMBERED_MS) is None
        assert await find(stores, "two") is None

    identity(body)


def test_a_forgotten_answer_makes_room_for_another_at_once(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        await stores.users.add(a_user("ada"), an_event(), answer=an_answer())
        later = an_answer(at_ms=NOW_MS + REMEMBERED_MS)
        assert await stores.users.add(a_user("bob"), an_event(), answer=later) is UserAdded.ADDED
        assert await find(stores, now_ms=later.at_ms) == later

    identity(body)


def test_whatever_is_written_under_a_key_that_was_answered_is_not(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        ada = a_user("ada")
        await stores.users.add(ada, an_event(), answer=an_answer())
        before = await stores.actions()
        other = replace(an_answer(at_ms=NOW_MS + 1), status=200)
        with pytest.raises(AlreadyAnswered):
            await stores.users.add(a_user("bob"), an_event(), answer=other)
        with pytest.raises(AlreadyAnswered):
            await stores.users.rename(
                ada.id,
                username="new",
                email=None,
                event=an_event(AuditAction.USER_RENAMED),
                answer=lambda _: other,
            )
        with pytest.raises(AlreadyAnswered):
            await stores.api_keys.add(a_key("key_1"), an_event(), answer=other)
        with pytest.raises(AlreadyAnswered):
            await stores.credentials.remove_user(
                ada.id, now_ms=NOW_MS, event=an_event(), end_events=END_EVENTS, answer=other
            )
        assert await stores.users.find_by_username("bob") is None
        assert await stores.api_keys.get("key_1") is None
        assert await stores.users.get(ada.id) == ada
        assert await stores.actions() == before
        assert await find(stores) == an_answer()

    identity(body)


def test_an_answer_is_remembered_by_itself_once(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        remember = stores.answers.remember
        await remember(an_answer())
        assert await find(stores) == an_answer()
        with pytest.raises(AlreadyAnswered):
            await remember(replace(an_answer(), status=204))
        assert await find(stores) == an_answer()
        later = an_answer(at_ms=NOW_MS + REMEMBERED_MS)
        await remember(later)
        assert await find(stores, now_ms=later.at_ms) == later

    identity(body)


def test_what_was_refused_is_not_remembered(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        ada = a_user("ada")
        await stores.users.add(ada, an_event())
        await stores.users.add(a_user("bob"), an_event())
        taken = await stores.users.add(a_user("ada"), an_event(), answer=an_answer("1"))
        assert taken is UserAdded.USERNAME_TAKEN
        rename = partial(stores.users.rename, email=None, event=an_event(AuditAction.USER_RENAMED))
        refused = await rename(ada.id, username="bob", answer=lambda _: an_answer("2"))
        assert refused is RenameRefused.USERNAME_TAKEN
        assert await rename("usr_none", username="new", answer=lambda _: an_answer("3")) is RenameRefused.GONE
        remove = partial(stores.credentials.remove_user, end_events=END_EVENTS)
        assert await remove("usr_none", now_ms=NOW_MS, event=an_event(), answer=an_answer("4")) is None
        for refused_id in "1234":
            assert await find(stores, refused_id) is None

    identity(body)


def test_of_many_writes_under_one_key_one_is_written(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        async def add(number: int) -> bool:
            key = a_key(f"key_{number}")
            try:
                await stores.api_keys.add(key, an_event(), answer=an_answer(at_ms=NOW_MS + number))
            except AlreadyAnswered:
                return False
            return True

        tasks = [stores.runtime.start(partial(add, number), name="add") for number in range(6)]
        written = [await task.wait() for task in tasks]
        assert written.count(True) == 1
        kept = [await stores.api_keys.get(f"key_{number}") is not None for number in range(6)]
        assert kept == written
        assert await find(stores) == an_answer(at_ms=NOW_MS + written.index(True))

    identity(body)
