"""What attackers try at the door, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ports.runtime import Runtime
from tests.adapters.web.client import Client, Reply
from tests.adapters.web.service import PASSWORD, Options, TestService, open_service
from tests.conformance.runtimes import Driver

DEVICE = "device-of-ada-0001"


async def login(
    service: TestService,
    password: Any,
    *,
    peer: str = "203.0.113.9",
    device: str | None = None,
    **names: Any,
) -> Reply:
    headers = {} if device is None else {"X-Device-Id": device}
    body = {**(names or {"username": "ada"}), "password": password}
    return await Client(service.guard, peer=peer).request("POST", "/auth/login", json=body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        {"username": {"$ne": None}, "password": {"$ne": None}},
        {"username": {"$gt": ""}, "password": "correct horse battery"},
        {"username": "ada", "password": {"$ne": ""}},
        {"username": ["ada"], "password": "correct horse battery"},
        {"username": "ada", "password": "correct horse battery", "username.$ne": ""},
        {"username": "ada", "password": "correct horse battery", "$where": "1"},
        {"username.email": "ada", "password": "correct horse battery"},
        {"email": {"$regex": ".*"}, "password": "correct horse battery"},
        {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"},
        {"username": "ada", "password": None},
        {"username": True, "password": True},
    ],
)
def test_operators_and_dotted_names_are_no_login(run_real: Driver, body: dict[str, Any]) -> None:
    async def main(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register()
        reply = await service.client.request("POST", "/auth/login", json=body)
        assert (reply.status, reply.code) == (400, "validation_failed")

    run_real(main)


@pytest.mark.parametrize(
    "name", ["$ne", "ada.username", "a\0da", "ada\0", "*", "' or 1=1 --", "", " ada", "x" * 999]
)
def test_strange_names_are_nobodys(run_real: Driver, name: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register()
        for field in ("username", "email"):
            reply = await login(service, PASSWORD, **{field: name})
            assert (reply.status, reply.code) == (401, "invalid_credentials")

    run_real(body)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"username":"ada","password":"correct horse\\ud800"}',
        b'{"username":"\\udfffada","password":"correct horse battery"}',
        b'{"username":"ada","password":"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"}',
        b'{"username":"ada","password":"correct horse battery","password":"x"}',
        b"[" * 100_000,
    ],
)
def test_text_that_is_no_text_is_refused_clearly(run_real: Driver, raw: bytes) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        await service.register()
        for path in ("/auth/login", "/auth/register"):
            reply = await service.client.request(
                "POST", path, body=raw, headers={"Content-Type": "application/json"}
            )
            assert (reply.status, reply.code) in ((400, "malformed_json"), (400, "validation_failed"))

    run_real(body)


def test_a_nul_in_a_password_is_refused_at_the_first_and_wrong_later(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        wanted = {"username": "bob", "email": "bob@example.com", "password": PASSWORD + "\0"}
        reply = await service.client.request("POST", "/auth/register", json=wanted)
        assert (reply.status, reply.json()["field"]) == (400, "password")
        await service.register()
        # Nor does it end the text, as it would in C.
        assert (await login(service, PASSWORD + "\0tail")).status == 401

    run_real(body)


@pytest.mark.parametrize(("size", "status"), [(1_025, 400), (900_000, 400), (1_100_000, 413)])
def test_a_password_of_a_megabyte_is_never_hashed(run_real: Driver, size: int, status: int) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        big = "x" * size
        for method, path, wanted in (
            ("POST", "/auth/login", {"username": "ada", "password": big}),
            ("POST", "/auth/register", {"username": "bob", "email": "bob@example.com", "password": big}),
            ("PUT", "/users/me/password", {"current_password": PASSWORD, "new_password": big}),
            ("PUT", "/users/me/password", {"current_password": big, "new_password": PASSWORD}),
        ):
            reply = await service.client.request(method, path, json=wanted, headers=headers)
            assert reply.status == status

    run_real(body)


def test_a_spray_over_many_accounts_from_one_address_ends_in_a_ban_of_the_address_alone(
    run_real: Driver,
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(login="5/60s"))
        for number in range(20):
            await service.register(f"user{number}")
        statuses = [
            (await login(service, "spring2026!", username=f"user{number}")).status for number in range(20)
        ]
        assert statuses[:5] == [401] * 5
        assert set(statuses[5:]) == {429, 403}
        assert statuses[-1] == 403
        # Not one of the accounts is any the worse for it.
        for number in range(20):
            own = await login(service, PASSWORD, peer=f"198.51.100.{number}", username=f"user{number}")
            assert own.status == 200

    run_real(body)


def test_many_addresses_against_one_account_do_not_keep_its_owner_out(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(login="5/60s"))
        await service.register()
        assert (await login(service, PASSWORD, device=DEVICE)).status == 200
        replies = [await login(service, "guess no. 1", peer=f"198.51.{at}.7") for at in range(40)]
        refused = [reply for reply in replies if reply.status == 429]
        assert {reply.status for reply in replies} == {401, 429}
        assert len(refused) >= 34
        assert {reply.code for reply in refused} == {"quota_exceeded"}
        assert all(int(reply.header("retry-after")) >= 1 for reply in refused)
        # From anywhere: it is the device that is known.
        assert (await login(service, PASSWORD, peer="192.0.2.1", device=DEVICE)).status == 200
        assert (await login(service, PASSWORD, peer="192.0.2.2")).status == 429
        assert (await login(service, PASSWORD, peer="192.0.2.3", device="device-of-eve-0001")).status == 429
        assert service.metrics.value("credit_logins_total", "limited") == len(refused) + 2

    run_real(body)


def test_a_session_cannot_be_fixed_beforehand(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        """Whatever ids a victim is made to bring along, the session is a new one."""
        service = open_service(runtime)
        eve = (await login_of(service, "eve", device=DEVICE)).json()
        brought = {
            "X-Device-Id": DEVICE,
            "Cookie": f"session_id={eve['session_id']}; sid={eve['session_id']}",
            "Authorization": f"Bearer {eve['access_token']}",
        }
        await service.register("ada")
        reply = await service.client.request(
            "POST", "/auth/login", json={"username": "ada", "password": PASSWORD}, headers=brought
        )
        ada = reply.json()
        assert reply.status == 200
        assert ada["session_id"] != eve["session_id"]
        # The one who planted them is still nobody but herself.
        me = {"X-Device-Id": DEVICE, "Authorization": f"Bearer {eve['access_token']}"}
        assert (await service.client.request("GET", "/users/me", headers=me)).json()["username"] == "eve"
        for extra in ({"session_id": eve["session_id"]}, {"device_id": DEVICE}, {"sid": "x"}):
            fixed = {"username": "ada", "password": PASSWORD, **extra}
            assert (await service.client.request("POST", "/auth/login", json=fixed)).status == 400

    run_real(body)


async def login_of(service: TestService, name: str, *, device: str) -> Reply:
    await service.register(name)
    return await login(service, PASSWORD, device=device, username=name)


def test_each_token_opens_its_own_door_only(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        tokens = (await login_of(service, "ada", device=DEVICE)).json()
        headers = {"X-Device-Id": DEVICE, "Authorization": f"Bearer {tokens['access_token']}"}
        socket = await service.client.request("POST", "/auth/websocket-token", headers=headers)
        for wrong in (
            tokens["refresh_token"],
            socket.json()["token"],
            tokens["session_id"],
            tokens["device_id"],
        ):
            shown = {"X-Device-Id": DEVICE, "Authorization": f"Bearer {wrong}"}
            reply = await service.client.request("GET", "/users/me", headers=shown)
            assert (reply.status, reply.code) == (401, "invalid_token")
        for wrong in (tokens["access_token"], socket.json()["token"], tokens["session_id"]):
            reply = await service.client.request(
                "POST", "/auth/refresh", json={"refresh_token": wrong}, headers={"X-Device-Id": DEVICE}
            )
            assert (reply.status, reply.code) == (401, "invalid_token")

    run_real(body)


def test_fifty_refreshes_of_one_token_give_one_successor(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        tokens = (await login_of(service, "ada", device=DEVICE)).json()

        async def refresh() -> Reply:
            return await service.client.request(
                "POST",
                "/auth/refresh",
                json={"refresh_token": tokens["refresh_token"]},
                headers={"X-Device-Id": DEVICE},
            )

        tasks = [runtime.start(refresh, name="refresh") for _ in range(50)]
        replies = [await task.wait() for task in tasks]
        assert {reply.status for reply in replies} == {200}
        assert len({reply.json()["refresh_token"] for reply in replies}) == 1

    run_real(body)
