"""Registration to logout, as a client sees it."""

from __future__ import annotations

import pytest

from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.client import Client
from tests.adapters.web.service import PASSWORD, Options, open_service
from tests.conformance.runtimes import Driver


def test_the_front_door_names_the_service_and_its_documents(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        reply = await service.client.request("GET", "/")
        assert reply.status == 200
        assert reply.json()["name"] == "credit-system"
        assert reply.json()["links"]["openapi"] == "/openapi.json"

    run_real(body)


def test_a_user_registers_logs_in_and_reads_who_they_are(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        user = await service.register("ada")
        assert user["username"] == "ada"
        assert user["email"] == "ada@example.com"
        assert "password" not in str(user)
        headers = await service.login("ada", register=False)
        me = await service.client.request("GET", "/users/me", headers=headers)
        assert me.status == 200
        assert me.json() == user

    run_real(body)


def test_a_login_by_email_gives_tokens_and_binds_the_device_by_cookie(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register("ada")
        reply = await service.client.request(
            "POST", "/auth/login", json={"email": "ADA@example.com", "password": PASSWORD}
        )
        tokens = reply.json()
        assert set(tokens) == {
            "access_token", "refresh_token", "token_type", "expires_in", "session_id", "device_id",
        }  # fmt: skip
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] == 300
        cookie, *attributes = reply.header("set-cookie").split("; ")
        assert cookie == f"__Host-device={tokens['device_id']}"
        assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} < set(attributes)
        # What browsers ask of the prefix: no other host ever sees or sets it.
        assert not [attribute for attribute in attributes if attribute.lower().startswith("domain")]
        assert reply.header("cache-control") == "no-store"
        by_cookie = {"Authorization": f"Bearer {tokens['access_token']}", "Cookie": f"a=b; {cookie}"}
        assert (await service.client.request("GET", "/users/me", headers=by_cookie)).status == 200

    run_real(body)


def test_a_token_on_another_device_is_refused(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        for device in ({}, {"X-Device-Id": "another-device-1"}):
            elsewhere = {"Authorization": headers["Authorization"], **device}
            reply = await service.client.request("GET", "/users/me", headers=elsewhere)
            assert (reply.status, reply.code) == (401, "device_mismatch")

    run_real(body)


def test_an_unknown_user_and_a_wrong_password_are_told_the_same(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register("ada")
        replies = [
            await service.client.request("POST", "/auth/login", json=login)
            for login in (
                {"username": "nobody", "password": PASSWORD},
                {"username": "ada", "password": "wrong password"},
                {"username": "ada", "password": ""},
                {"username": "ada", "password": "x" * 1000},
            )
        ]
        assert {(reply.status, reply.code, reply.json()["detail"]) for reply in replies} == {
            (401, "invalid_credentials", "There is no such user, or the password is wrong.")
        }
        assert {reply.header("www-authenticate") for reply in replies} == {"Bearer"}
        assert service.metrics.value("credit_logins_total", "rejected") == 4

    run_real(body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"username": "ADA"}, "username_taken"),
        ({"email": "Ada@Example.com"}, "email_taken"),
    ],
)
def test_names_are_taken_whatever_their_case(run_real: Driver, change: dict[str, str], code: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register("ada")
        other = {"username": "bob", "email": "bob@example.com", "password": PASSWORD, **change}
        reply = await service.client.request("POST", "/auth/register", json=other)
        assert (reply.status, reply.code) == (409, code)

    run_real(body)


def test_a_bad_registration_names_every_fault_at_once(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        reply = await service.client.request(
            "POST", "/auth/register", json={"username": "a", "email": "no", "password": "short"}
        )
        assert (reply.status, reply.code) == (400, "validation_failed")
        assert [error["field"] for error in reply.json()["errors"]] == ["username", "email", "password"]

    run_real(body)


def test_a_login_needs_exactly_one_name(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        for names in ({}, {"email": "a@b.example", "username": "ada"}):
            reply = await service.client.request("POST", "/auth/login", json={**names, "password": PASSWORD})
            assert (reply.status, reply.code) == (400, "validation_failed")

    run_real(body)


def test_a_device_id_of_a_wrong_form_is_refused_at_login(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register("ada")
        login = {"username": "ada", "password": PASSWORD}
        for device in ("short", "x" * 65, "no spaces in here", "ümlaut-ümlaut-ümlaut"):
            reply = await service.client.request(
                "POST", "/auth/login", json=login, headers={"X-Device-Id": device}
            )
            assert (reply.status, reply.code) == (400, "validation_failed")
        named = await service.client.request(
            "POST", "/auth/login", json=login, headers={"X-Device-Id": "my-device-0123456"}
        )
        assert named.json()["device_id"] == "my-device-0123456"

    run_real(body)


def test_a_refresh_token_gives_the_same_successor_again_until_that_was_used(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register("ada")
        login = await service.client.request(
            "POST", "/auth/login", json={"username": "ada", "password": PASSWORD}
        )
        first, device = login.json()["refresh_token"], {"X-Device-Id": login.json()["device_id"]}

        async def refresh(token: str) -> tuple[int, dict[str, str]]:
            reply = await service.client.request(
                "POST", "/auth/refresh", json={"refresh_token": token}, headers=device
            )
            return reply.status, reply.json()

        status, second = await refresh(first)
        assert status == 200
        assert (await refresh(first))[1]["refresh_token"] == second["refresh_token"]
        service.clock.at_ms += 60_000
        # Nobody has shown the successor: its answer may have been lost.
        assert (await refresh(first))[1]["refresh_token"] == second["refresh_token"]
        status, third = await refresh(second["refresh_token"])
        assert status == 200
        assert (await refresh(second["refresh_token"]))[1]["refresh_token"] == third["refresh_token"]
        status, problem = await refresh(first)
        assert (status, problem["code"]) == (401, "token_reused")
        status, problem = await refresh(second["refresh_token"])
        assert (status, problem["code"]) == (401, "invalid_token")
        assert service.metrics.value("credit_tokens_reused_total") == 1
        assert (await refresh("rt_made_up"))[1]["code"] == "invalid_token"

    run_real(body)


def test_logout_ends_the_tokens_at_once(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        reply = await service.client.request("POST", "/auth/logout", headers=headers)
        assert (reply.status, reply.body) == (204, b"")
        after = await service.client.request("GET", "/users/me", headers=headers)
        assert (after.status, after.code) == (401, "invalid_token")
        # On a public route too: what is presented must be good.
        assert (await service.client.request("GET", "/", headers=headers)).status == 401

    run_real(body)


def test_a_session_lists_and_ends_the_others_but_not_those_of_others(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        here = await service.login("ada")
        service.clock.at_ms += 1
        there = await service.login("ada", register=False)
        stranger = await service.login("bob")
        page = (await service.client.request("GET", "/auth/sessions", headers=here)).json()
        assert [session["current"] for session in page["items"]] == [False, True]
        assert page["next_cursor"] is None
        first = (await service.client.request("GET", "/auth/sessions?limit=1", headers=here)).json()
        rest = await service.client.request(
            "GET", f"/auth/sessions?limit=1&cursor={first['next_cursor']}", headers=here
        )
        assert first["items"] + rest.json()["items"] == page["items"]
        assert rest.json()["next_cursor"] is None
        target = f"/auth/sessions/{page['items'][0]['id']}"
        assert (await service.client.request("DELETE", target, headers=stranger)).status == 404
        assert (await service.client.request("DELETE", target, headers=here)).status == 204
        assert (await service.client.request("GET", "/users/me", headers=there)).status == 401
        assert (await service.client.request("GET", "/users/me", headers=here)).status == 200

    run_real(body)


def test_a_websocket_token_is_given_to_users_only(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        reply = await service.client.request("POST", "/auth/websocket-token", headers=headers)
        assert reply.json()["expires_in"] == 60
        # It is for sockets: as an access token it is worth nothing.
        misused = {**headers, "Authorization": f"Bearer {reply.json()['token']}"}
        assert (await service.client.request("GET", "/users/me", headers=misused)).code == "invalid_token"
        key = await service.key(Scope.ADMIN)
        machine = {"X-API-Key": key.text}
        reply = await service.client.request("POST", "/auth/websocket-token", headers=machine)
        assert (reply.status, reply.code) == (403, "forbidden")

    run_real(body)


def test_an_administrators_key_makes_lists_and_revokes_keys(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        wanted = {
            "name": "game server",
            "scopes": ["credits:read", "credits:write"],
            "book": "arena",
            "expires_at": "2030-01-01T01:00:00+01:00",
        }
        made = await service.client.request("POST", "/api-keys", json=wanted, headers=admin)
        assert made.status == 201
        assert made.json()["key"].startswith("ck_")
        assert made.json()["scopes"] == ["credits:read", "credits:write"]
        assert made.json()["book"] == "arena"
        assert made.json()["expires_at"] == "2030-01-01T00:00:00.000Z"
        listed = (await service.client.request("GET", "/api-keys", headers=admin)).json()
        assert {key["id"] for key in listed["items"]} > {made.json()["id"]}
        assert all("key" not in item for item in listed["items"])
        machine = {"X-API-Key": made.json()["key"]}
        assert (await service.client.request("GET", "/", headers=machine)).status == 200
        refused = await service.client.request("GET", "/api-keys", headers=machine)
        assert (refused.status, refused.code) == (403, "forbidden")
        target = f"/api-keys/{made.json()['id']}"
        assert (await service.client.request("DELETE", target, headers=admin)).status == 204
        after = await service.client.request("GET", "/", headers=machine)
        assert (after.status, after.code) == (401, "invalid_credentials")
        assert (await service.client.request("DELETE", "/api-keys/key_none", headers=admin)).status == 404

    run_real(body)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": ""}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["credits:everything"]}, "scopes[0]"),
        ({"book": "not a book"}, "book"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2030-01-01T00:00:00"}, "expires_at"),
        ({"expires_at": 1_900_000_000}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-01:00"}, "expires_at"),
    ],
)
def test_a_key_that_cannot_be_made_so_names_the_field(
    run_real: Driver, change: dict[str, object], field: str
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        wanted = {"name": "one", "scopes": ["admin"], **change}
        reply = await service.client.request("POST", "/api-keys", json=wanted, headers=admin)
        assert (reply.status, reply.code) == (400, "validation_failed")
        assert reply.json()["field"] == field

    run_real(body)


def test_plain_users_make_no_keys(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        body_ = {"name": "one", "scopes": ["admin"]}
        reply = await service.client.request("POST", "/api-keys", json=body_, headers=headers)
        assert (reply.status, reply.code) == (403, "forbidden")
        anonymous = await service.client.request("POST", "/api-keys", json=body_)
        assert (anonymous.status, anonymous.code) == (401, "not_authenticated")
        assert anonymous.header("www-authenticate") == "Bearer"

    run_real(body)


def test_an_account_name_is_registered_only_so_often(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(register="2/60s"))
        wanted = {"username": "ada", "email": "bad", "password": PASSWORD}
        statuses = []
        for number in range(3):
            client = Client(service.guard, peer=f"203.0.113.{number}")
            statuses.append((await client.request("POST", "/auth/register", json=wanted)).status)
        assert statuses == [400, 400, 429]

    run_real(body)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "limit=x", "cursor=", "cursor=%0A", "page=2"])
def test_a_list_is_asked_for_within_its_bounds(run_real: Driver, query: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        reply = await service.client.request("GET", f"/api-keys?{query}", headers=admin)
        assert (reply.status, reply.code) == (400, "validation_failed")

    run_real(body)


@pytest.mark.parametrize("path", ["/api-keys", "/users", "/auth/sessions"])
def test_a_cursor_that_no_page_of_the_list_gave_is_refused(run_real: Driver, path: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        headers = await service.login() if path == "/auth/sessions" else admin
        digits = "0" * 26
        for cursor in ("zzz", "0", digits, f"tok_{digits}", f"tok_{digits}0", "usr_", "key_8" + digits[1:]):
            reply = await service.client.request("GET", f"{path}?cursor={cursor}", headers=headers)
            assert (reply.status, reply.code) == (400, "validation_failed"), cursor
            assert reply.json()["field"] == "cursor"

    run_real(body)


def test_keys_are_listed_page_by_page(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        made = []
        for _ in range(5):
            made.append(await service.key(Scope.ADMIN))
            service.clock.at_ms += 1
        admin = {"X-API-Key": made[0].text}
        seen: list[str] = []
        cursor = ""
        while True:
            target = f"/api-keys?limit=2{cursor}"
            page = (await service.client.request("GET", target, headers=admin)).json()
            seen += [item["id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == [key.api_key.id for key in reversed(made)]

    run_real(body)
