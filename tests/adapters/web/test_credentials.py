"""What a caller shows to say who it is: good, bad, expired, or not ours."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.client import Client
from tests.adapters.web.service import Options, open_service
from tests.conformance.runtimes import Driver


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([("Authorization", "Bearer nonsense")], "invalid_token"),
        ([("Authorization", "bearer nonsense")], "invalid_token"),
        ([("Authorization", "Bearer")], "invalid_token"),
        ([("Authorization", "Bearer ")], "invalid_token"),
        ([("Authorization", "Bearer ümlaut")], "invalid_token"),
        ([("Authorization", "Bearer " + "x" * 10_000)], "invalid_token"),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], "invalid_token"),
        ([("X-API-Key", "nonsense")], "invalid_credentials"),
        ([("X-API-Key", "")], "invalid_credentials"),
        ([("X-API-Key", "ck_" + "0" * 26 + "_" + "0" * 52)], "invalid_credentials"),
        ([("X-API-Key", "a"), ("X-API-Key", "b")], "invalid_credentials"),
        ([("X-API-Key", "ü")], "invalid_credentials"),
    ],
)
@pytest.mark.parametrize("path", ["/", "/users/me", "/auth/sessions", "/nowhere"])
def test_bad_credentials_are_refused_on_every_route_and_counted_by_address(
    run_real: Driver, headers: list[tuple[str, str]], code: str, path: str
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="2/60s"))
        replies = [await service.client.request("GET", path, headers=headers) for _ in range(3)]
        assert [reply.status for reply in replies] == [401, 401, 429]
        assert replies[0].code == code
        assert replies[0].header("www-authenticate").startswith("Bearer")
        assert replies[0].header("ratelimit-policy") == '"ip";q=2;w=60'

    run_real(body)


def test_a_good_key_does_not_excuse_a_bad_token(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        key = await service.key(Scope.ADMIN)
        headers = {"X-API-Key": key.text, "Authorization": "Bearer nonsense"}
        assert (await service.client.request("GET", "/", headers=headers)).code == "invalid_token"

    run_real(body)


def test_an_expired_token_is_refused(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        service.clock.at_ms += 299_000
        assert (await service.client.request("GET", "/users/me", headers=headers)).status == 200
        service.clock.at_ms += 1_000
        assert (await service.client.request("GET", "/users/me", headers=headers)).status == 401

    run_real(body)


def test_an_ended_session_stays_ended_without_the_limiter(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers, other = await service.login("ada"), await service.login("bob")
        await service.client.request("POST", "/auth/logout", headers=headers)
        service.limiter.is_away = True
        assert (await service.client.request("GET", "/", headers=headers)).code == "invalid_token"
        assert (await service.client.request("GET", "/", headers=other)).status == 200

    run_real(body)


def test_a_stolen_token_gets_its_thief_banned_and_not_its_owner(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        thief = Client(service.guard, peer="198.51.100.7")
        stolen = {**headers, "X-Device-Id": "device-of-eve-0001"}
        statuses = [(await thief.request("GET", "/users/me", headers=stolen)).status for _ in range(7)]
        assert statuses == [401] * 5 + [403] * 2
        assert (await service.client.request("GET", "/users/me", headers=headers)).status == 200

    run_real(body)


def test_an_allow_listed_address_is_not_blamed_for_a_stolen_token(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(allowlist=[ip_network("198.51.100.0/24")]))
        headers = await service.login()
        thief = Client(service.guard, peer="198.51.100.7")
        stolen = {**headers, "X-Device-Id": "device-of-eve-0001"}
        assert {(await thief.request("GET", "/users/me", headers=stolen)).status for _ in range(8)} == {401}
        assert service.metrics.value("credit_bans_total", "ip") == 0
        assert service.metrics.value("credit_foreign_devices_total", "refused") == 8

    run_real(body)


def test_a_websocket_s_upgrade_is_held_to_the_same_rule(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        token = {"Authorization": headers["Authorization"]}
        for shown, code in ((token, "device_mismatch"), ({"Authorization": "Basic x"}, "not_authenticated")):
            denied = await service.client.denied("/ws", headers=shown)
            assert (denied.status, denied.code) == (401, code)
        opened = await service.client.connect("/ws", headers=headers)
        assert opened[0]["type"] == "websocket.accept"

    run_real(body)


def test_a_cookie_names_a_device_and_nobody(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        cookie = {"Cookie": f"__Host-device={headers['X-Device-Id']}"}
        ask = service.client.request
        assert (await ask("GET", "/users/me", headers=cookie)).code == "not_authenticated"
        both = {**cookie, "Authorization": headers["Authorization"]}
        assert (await ask("GET", "/users/me", headers=both)).status == 200
        # Both name a device: the cookie's is taken.
        elsewhere = {**both, "X-Device-Id": "device-of-eve-0001"}
        assert (await ask("GET", "/users/me", headers=elsewhere)).status == 200

    run_real(body)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_taken_in_any_case_and_before_any_spaces(run_real: Driver, scheme: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = await service.login()
        token = headers["Authorization"].removeprefix("Bearer ")
        shown = {**headers, "Authorization": f"{scheme} {token} "}
        assert (await service.client.request("GET", "/users/me", headers=shown)).status == 200

    run_real(body)
