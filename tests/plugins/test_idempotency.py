"""`Idempotency-Key` on the writes of identity: sent again, answered again, done once."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from domain.idempotency import REMEMBERED_MS
from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.client import Client, Reply
from tests.adapters.web.service import PASSWORD, TestService, open_service
from tests.conformance.runtimes import Driver

ADA = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
KEY = {"name": "k", "scopes": ["credits:read"]}


async def ask(
    service: TestService,
    method: str,
    path: str,
    body: Any = None,
    *,
    key: str = "once-1",
    peer: str = "203.0.113.9",
    headers: dict[str, str] | None = None,
) -> Reply:
    client = Client(service.guard, peer=peer)
    return await client.request(method, path, json=body, headers={**(headers or {}), "Idempotency-Key": key})


def is_replayed(reply: Reply) -> bool:
    return reply.all("idempotent-replayed") == ["true"]


async def keys_of(service: TestService) -> int:
    return len((await service.api_keys.list_page(limit=99)).items)


def test_a_key_is_made_once_and_shown_again_to_who_made_it(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        other = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        first = await ask(service, "POST", "/api-keys", KEY, headers=admin)
        again = await ask(service, "POST", "/api-keys", KEY, headers=admin)
        assert (first.status, is_replayed(first)) == (201, False)
        assert (again.status, is_replayed(again)) == (201, True)
        assert again.json() == first.json()
        assert first.header("cache-control") == again.header("cache-control") == "no-store"
        assert first.header("content-type") == again.header("content-type")
        assert await keys_of(service) == 3
        # The key of one caller is nothing to another.
        theirs = await ask(service, "POST", "/api-keys", KEY, headers=other)
        assert (theirs.status, is_replayed(theirs)) == (201, False)
        assert theirs.json()["id"] != first.json()["id"]
        service.clock.at_ms += REMEMBERED_MS
        later = await ask(service, "POST", "/api-keys", KEY, headers=admin)
        assert (later.status, is_replayed(later)) == (201, False)

    run_real(body)


def test_the_secret_does_not_lie_open_in_what_is_remembered(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        made = await ask(service, "POST", "/api-keys", KEY, headers=admin)
        await ask(service, "POST", "/auth/register", ADA)
        kept = list(service.answers._answers.values())
        assert len(kept) == 2
        for answer in kept:
            assert made.json()["key"].encode() not in answer.sealed_body
            assert b"ada" not in answer.sealed_body

    run_real(body)


def test_the_same_key_with_another_request_is_a_conflict(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        user = await service.register("bob")
        await ask(service, "POST", "/api-keys", KEY, headers=admin)
        for method, path, other in (
            ("POST", "/api-keys", {**KEY, "name": "other"}),
            ("DELETE", f"/users/{user['id']}", None),
        ):
            reply = await ask(service, method, path, other, headers=admin)
            assert (reply.status, reply.code) == (409, "idempotency_conflict")
        assert (await service.users.profile(user["id"])) is not None

    run_real(body)


def test_a_deletion_sent_again_is_answered_again_and_of_another_user_is_not(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        ada, bob = await service.register("ada"), await service.register("bob")
        replies = [await ask(service, "DELETE", f"/users/{ada['id']}", headers=admin) for _ in range(2)]
        assert [(reply.status, reply.body, is_replayed(reply)) for reply in replies] == [
            (204, b"", False),
            (204, b"", True),
        ]
        reply = await ask(service, "DELETE", f"/users/{bob['id']}", headers=admin)
        assert (reply.status, reply.code) == (409, "idempotency_conflict")
        assert (await ask(service, "DELETE", f"/users/{ada['id']}", key="2", headers=admin)).status == 404

    run_real(body)


def test_a_registration_sent_again_is_answered_again_to_the_same_address(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        first = await ask(service, "POST", "/auth/register", ADA)
        again = await ask(service, "POST", "/auth/register", ADA)
        assert (first.status, again.status, is_replayed(again)) == (201, 201, True)
        assert again.json() == first.json()
        # Who does not know the password learns nothing, and strangers cannot spoil each other's keys.
        guess = await ask(service, "POST", "/auth/register", {**ADA, "password": "another password"})
        assert (guess.status, guess.code) == (409, "idempotency_conflict")
        bob = {"username": "bob", "email": "bob@example.com", "password": PASSWORD}
        elsewhere = await ask(service, "POST", "/auth/register", bob, peer="198.51.100.9")
        assert (elsewhere.status, is_replayed(elsewhere)) == (201, False)

    run_real(body)


def test_a_refusal_is_not_remembered(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        bob = await service.login("bob")
        rename = partial(ask, service, "PATCH", "/users/me", {"username": "ada"}, headers=bob)
        ada = await service.login("ada")
        assert (await rename()).code == "username_taken"
        assert (await service.client.request("DELETE", "/users/me", headers=ada)).status == 204
        done, again = await rename(), await rename()
        assert (done.status, done.json()["username"], is_replayed(done)) == (200, "ada", False)
        assert (again.json(), is_replayed(again)) == (done.json(), True)

    run_real(body)


def test_requests_at_once_under_one_key_make_one_thing(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        register = partial(ask, service, "POST", "/auth/register", ADA)
        tasks = [runtime.start(register, name="register") for _ in range(6)]
        replies = [await task.wait() for task in tasks]
        assert {reply.status for reply in replies} == {201}
        assert len({reply.json()["id"] for reply in replies}) == 1
        assert [is_replayed(reply) for reply in replies].count(False) == 1

    run_real(body)


def test_a_login_knows_no_key(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register()
        login = {"username": "ada", "password": PASSWORD}
        one, two = [await ask(service, "POST", "/auth/login", login) for _ in range(2)]
        assert one.json()["session_id"] != two.json()["session_id"]

    run_real(body)


@pytest.mark.parametrize("key", ["", "two words", "x" * 256])
def test_what_hands_out_tokens_does_not_even_look_at_a_key(run_real: Driver, key: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register()
        login = await ask(service, "POST", "/auth/login", {"username": "ada", "password": PASSWORD}, key=key)
        tokens = login.json()
        headers = {"Authorization": f"Bearer {tokens['access_token']}", "X-Device-Id": tokens["device_id"]}
        socket = await ask(service, "POST", "/auth/websocket-token", key=key, headers=headers)
        renewal = {"refresh_token": tokens["refresh_token"]}
        refresh = await ask(service, "POST", "/auth/refresh", renewal, key=key, headers=headers)
        assert [login.status, socket.status, refresh.status] == [200, 200, 200]

    run_real(body)
