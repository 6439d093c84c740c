"""One's own account, everybody's for administrators, and what the sessions show."""

from __future__ import annotations

from typing import Any

import pytest

from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.client import Client, Reply
from tests.adapters.web.service import PASSWORD, Options, TestService, open_service
from tests.conformance.runtimes import Driver

NEW = "staple battery horse"


async def put_password(service: TestService, headers: dict[str, str], **body: Any) -> Reply:
    wanted = {"current_password": PASSWORD, "new_password": NEW, **body}
    return await service.client.request("PUT", "/users/me/password", json=wanted, headers=headers)


async def try_login(service: TestService, password: str, username: str = "ada") -> int:
    body = {"username": username, "password": password}
    return (await service.client.request("POST", "/auth/login", json=body)).status


def test_one_changes_names_and_sees_them_changed(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        change = {"username": "Countess", "email": "ada@lovelace.example"}
        reply = await service.client.request("PATCH", "/users/me", json=change, headers=headers)
        assert reply.status == 200
        assert reply.json().items() >= change.items()
        me = await service.client.request("GET", "/users/me", headers=headers)
        assert me.json() == reply.json()
        assert await try_login(service, PASSWORD, "countess") == 200
        empty = await service.client.request("PATCH", "/users/me", json={}, headers=headers)
        assert (empty.status, empty.json()) == (200, me.json())

    run_real(body)


@pytest.mark.parametrize(
    "change",
    [
        {"role": "admin"}, {"roles": ["admin"]}, {"id": "usr_1"}, {"created_at": "2020-01-01T00:00:00Z"},
        {"password": "staple battery horse"}, {"password_hash": "x"}, {"credential_version": 0},
        {"known_devices": []}, {"username": None}, {"username": {"$ne": None}}, {"username": ["ada"]},
        {"$set": {"roles": ["admin"]}}, {"username.x": "y"}, {"email": 1}, {"username": "x" * 2_000},
    ],
)  # fmt: skip
def test_nothing_but_names_is_assigned_and_only_text(run_real: Driver, change: dict[str, Any]) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        before = await service.client.request("GET", "/users/me", headers=headers)
        reply = await service.client.request("PATCH", "/users/me", json=change, headers=headers)
        assert (reply.status, reply.code) == (400, "validation_failed")
        register = {"username": "bob", "email": "bob@example.com", "password": PASSWORD, **change}
        if change.keys() - {"password"}:
            reply = await service.client.request("POST", "/auth/register", json=register)
            assert (reply.status, reply.code) == (400, "validation_failed")
        after = await service.client.request("GET", "/users/me", headers=headers)
        assert after.json() == before.json()

    run_real(body)


def test_a_taken_name_is_told_and_nothing_changes(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register("bob")
        headers = await service.login()
        for change, code in (
            ({"username": "BOB"}, "username_taken"),
            ({"email": "Bob@Example.com", "username": "new"}, "email_taken"),
        ):
            reply = await service.client.request("PATCH", "/users/me", json=change, headers=headers)
            assert (reply.status, reply.code) == (409, code)
        me = (await service.client.request("GET", "/users/me", headers=headers)).json()
        assert (me["username"], me["email"]) == ("ada", "ada@example.com")

    run_real(body)


def test_another_password_ends_this_session_and_all_others(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        others = await service.login(register=False)
        assert (await put_password(service, headers)).status == 204
        for ended in (headers, others):
            reply = await service.client.request("GET", "/users/me", headers=ended)
            assert (reply.status, reply.code) == (401, "invalid_token")
        assert await try_login(service, PASSWORD) == 401
        assert await try_login(service, NEW) == 200

    run_real(body)


def test_a_password_is_changed_only_by_one_who_knows_it(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        wrong = await put_password(service, headers, current_password="wrong password")
        assert (wrong.status, wrong.code) == (401, "invalid_credentials")
        assert wrong.header("www-authenticate") == "Bearer"
        weak = await put_password(service, headers, new_password="PASSWORD1")
        assert (weak.status, weak.code) == (400, "validation_failed")
        assert weak.json()["field"] == "new_password"
        assert weak.json()["errors"] == [
            {"field": "new_password", "detail": "one of the passwords that are tried first"}
        ]
        own = await put_password(service, headers, new_password="ada@example.com")
        assert own.json()["field"] == "new_password"
        missing = await service.client.request(
            "PUT", "/users/me/password", json={"new_password": NEW}, headers=headers
        )
        assert (missing.status, missing.json()["field"]) == (400, "current_password")
        assert await try_login(service, PASSWORD) == 200

    run_real(body)


def test_a_stolen_token_guesses_no_password_fast(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(password="3/60s"))
        headers = await service.login()
        wrong = {"current_password": "wrong password", "new_password": NEW}
        replies = [
            await Client(service.guard, peer=f"198.51.{at}.7").request(
                "PUT", "/users/me/password", json=wrong, headers=headers
            )
            for at in range(4)
        ]
        assert [reply.status for reply in replies] == [401, 401, 401, 429]
        assert replies[-1].code == "quota_exceeded"
        assert int(replies[-1].header("retry-after")) >= 1
        # One address is stopped whoever's tokens it has.
        for name in ("bob", "eve", "joe"):
            others = await service.login(name)
            assert (await put_password(service, others, current_password="wrong password")).status == 401
        assert (await put_password(service, await service.login("sue"))).status == 429

    run_real(body)


def test_one_who_leaves_is_gone_at_once(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        assert (await service.client.request("DELETE", "/users/me", headers=headers)).status == 204
        for method, path in (("GET", "/users/me"), ("DELETE", "/users/me"), ("GET", "/auth/sessions")):
            reply = await service.client.request(method, path, headers=headers)
            assert (reply.status, reply.code) == (401, "invalid_token")
        assert await try_login(service, PASSWORD) == 401
        assert (await service.register("ada"))["username"] == "ada"

    run_real(body)


def test_administrators_list_show_and_delete_users(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        users = []
        for name in ("ada", "bob", "eve"):
            users.append(await service.register(name))
            service.clock.at_ms += 1
        reader = {"X-API-Key": (await service.key(Scope.USERS_READ)).text}
        writer = {"X-API-Key": (await service.key(Scope.USERS_WRITE)).text}
        seen: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await service.client.request("GET", f"/users?limit=2{cursor}", headers=reader)).json()
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == users[::-1]
        assert "password" not in str(seen)
        bob = f"/users/{users[1]['id']}"
        assert (await service.client.request("GET", bob, headers=reader)).json() == users[1]
        assert (await service.client.request("DELETE", bob, headers=reader)).status == 403
        assert (await service.client.request("GET", bob, headers=writer)).status == 403
        headers = await service.login("bob", register=False)
        assert (await service.client.request("DELETE", bob, headers=writer)).status == 204
        assert (await service.client.request("GET", "/users/me", headers=headers)).status == 401
        for method, caller in (("GET", reader), ("DELETE", writer)):
            reply = await service.client.request(method, bob, headers=caller)
            assert (reply.status, reply.code) == (404, "not_found")

    run_real(body)


def test_another_users_id_opens_nothing(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        bob = await service.login("bob")
        bobs = (await service.client.request("GET", "/users/me", headers=bob)).json()
        session = (await service.client.request("GET", "/auth/sessions", headers=bob)).json()["items"][0]
        eve = await service.login("eve")
        for method, path, status in (
            ("GET", f"/users/{bobs['id']}", 403),
            ("DELETE", f"/users/{bobs['id']}", 403),
            ("GET", "/users", 403),
            ("DELETE", f"/auth/sessions/{session['id']}", 404),
            ("DELETE", "/auth/sessions/ses_none", 404),
            ("DELETE", "/auth/sessions/%00", 404),
            ("PATCH", f"/users/{bobs['id']}", 403),
            ("PUT", f"/users/{bobs['id']}/password", 404),
        ):
            reply = await service.client.request(method, path, headers=eve)
            assert reply.status == status, (method, path, reply)
        for path in ("/users/me", "/auth/sessions"):
            assert (await service.client.request("GET", path, headers=bob)).status == 200
        # A key is nobody: it has no own account.
        key = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        for method, path in (
            ("GET", "/users/me"), ("PATCH", "/users/me"), ("DELETE", "/users/me"),
            ("PUT", "/users/me/password"), ("GET", "/auth/sessions"), ("DELETE", "/auth/sessions"),
            ("POST", "/auth/logout"),
        ):  # fmt: skip
            reply = await service.client.request(method, path, headers=key)
            assert (reply.status, reply.code) == (403, "forbidden")

    run_real(body)


def test_all_sessions_end_by_one_word(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        bob = await service.login("bob")
        headers = await service.login()
        others = await service.login(register=False)
        assert (await service.client.request("DELETE", "/auth/sessions", headers=headers)).status == 204
        for ended in (headers, others):
            assert (await service.client.request("GET", "/users/me", headers=ended)).status == 401
        assert (await service.client.request("GET", "/users/me", headers=bob)).status == 200

    run_real(body)


def test_a_session_shows_where_it_was_last_seen(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register()
        login = await service.client.request(
            "POST",
            "/auth/login",
            json={"username": "ada", "password": PASSWORD},
            headers={"User-Agent": "phone/1 " + "x" * 500},
        )
        tokens = login.json()
        service.clock.at_ms += 60_000
        elsewhere = Client(service.guard, peer="198.51.100.77")
        refreshed = await elsewhere.request(
            "POST",
            "/auth/refresh",
            json={"refresh_token": tokens["refresh_token"]},
            headers={"X-Device-Id": tokens["device_id"], "User-Agent": "phone/2"},
        )
        assert refreshed.status == 200
        headers = {
            "Authorization": f"Bearer {refreshed.json()['access_token']}",
            "X-Device-Id": tokens["device_id"],
        }
        (session,) = (await service.client.request("GET", "/auth/sessions", headers=headers)).json()["items"]
        assert (session["address"], session["user_agent"]) == ("198.51.100.77", "phone/2")
        assert session["last_seen_at"] > session["created_at"]
        assert session["current"] is True

    run_real(body)


def test_administrators_give_and_take_roles_at_once(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        writer = {"X-API-Key": (await service.key(Scope.USERS_WRITE)).text}
        user = await service.register()
        path = f"/users/{user['id']}"
        for wrong in (
            {"roles": ["root"]},
            {"roles": "admin"},
            {"role": "admin"},
            {},
            {"roles": [{"$ne": 1}]},
        ):
            reply = await service.client.request("PATCH", path, json=wrong, headers=admin)
            assert (reply.status, reply.code) == (400, "validation_failed")
        # Whoever may write users must not make administrators of them.
        roles = {"roles": ["admin"]}
        assert (await service.client.request("PATCH", path, json=roles, headers=writer)).status == 403
        plain = await service.login(register=False)
        assert (await service.client.request("PATCH", path, json=roles, headers=plain)).status == 403
        given = await service.client.request("PATCH", path, json=roles, headers=admin)
        assert (given.status, given.json()["roles"]) == (200, ["admin", "user"])
        assert (await service.client.request("GET", "/users/me", headers=plain)).status == 401
        ruling = await service.login(register=False)
        assert (await service.client.request("GET", "/users", headers=ruling)).status == 200
        # The same again ends nothing.
        await service.client.request("PATCH", path, json=roles, headers=admin)
        assert (await service.client.request("GET", "/users", headers=ruling)).status == 200
        taken = await service.client.request("PATCH", path, json={"roles": []}, headers=admin)
        assert taken.json()["roles"] == ["user"]
        assert (await service.client.request("GET", "/users", headers=ruling)).status == 401
        nobody = await service.client.request("PATCH", "/users/usr_none", json=roles, headers=admin)
        assert (nobody.status, nobody.code) == (404, "not_found")

    run_real(body)


@pytest.mark.parametrize("take", ["PATCH", "DELETE"])
def test_no_key_outlives_the_administrator_in_whose_name_it_was_made(run_real: Driver, take: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        root = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        path = f"/users/{(await service.register())['id']}"
        roles = {"roles": ["admin"]}
        assert (await service.client.request("PATCH", path, json=roles, headers=root)).status == 200
        ada = await service.login(register=False)
        wanted = {"name": "kept for later", "scopes": ["admin"]}

        async def key_by(headers: dict[str, str]) -> dict[str, str]:
            made = await service.client.request("POST", "/api-keys", json=wanted, headers=headers)
            assert made.status == 201
            return {"X-API-Key": made.json()["key"]}

        first = await key_by(ada)
        keys = (first, await key_by(first), await key_by(root))
        taken = await service.client.request(take, path, json={"roles": []}, headers=root)
        assert taken.status in (200, 204)
        answers = [await service.client.request("GET", "/users", headers=key) for key in keys]
        assert [answer.status for answer in answers] == [401, 401, 200]

    run_real(body)


def test_so_many_keys_live_in_one_name_and_one_that_is_revoked_makes_room(
    run_real: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.memory.identity.api_keys.KEYS_PER_SPONSOR_MAX", 2)

    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        machine = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        user = await service.register("ada")
        promoted = await service.client.request(
            "PATCH", f"/users/{user['id']}", json={"roles": ["admin"]}, headers=machine
        )
        assert promoted.status == 200
        ada = await service.login("ada", register=False)

        async def make(headers: dict[str, str]) -> Reply:
            wanted = {"name": "k", "scopes": ["credits:read"]}
            return await service.client.request("POST", "/api-keys", json=wanted, headers=headers)

        made = [await make(ada) for _ in range(2)]
        assert [reply.status for reply in made] == [201, 201]
        refused = await make(ada)
        assert (refused.status, refused.code) == (409, "too_many_api_keys")
        # A key in nobody's name ends with nobody.
        assert [(await make(machine)).status for _ in range(3)] == [201] * 3
        path = f"/api-keys/{made[0].json()['id']}"
        assert (await service.client.request("DELETE", path, headers=ada)).status == 204
        assert (await make(ada)).status == 201

    run_real(body)
