"""`X-Device-Id` names a device, or it is refused."""

from __future__ import annotations

from credit_system import DEVICE_COOKIE
from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.service import PASSWORD, open_service
from tests.conformance.runtimes import Driver

BAD_DEVICES = (
    [("X-Device-Id", "")],
    [("X-Device-Id", "short")],
    [("X-Device-Id", "x" * 65)],
    [("X-Device-Id", "no spaces in here")],
    [("X-Device-Id", "my-device-0123456\n")],
    [("X-Device-Id", "my-device-0123456"), ("X-Device-Id", "my-device-0123456")],
)


def test_a_header_that_names_no_device_is_refused_by_every_route_that_takes_it(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        login = {"username": "ada", "password": PASSWORD}
        ada = await service.login("ada")
        cookie = [
            ("Authorization", ada["Authorization"]),
            ("Cookie", f"{DEVICE_COOKIE}={ada['X-Device-Id']}"),
        ]
        key = [("X-API-Key", (await service.key(Scope.ADMIN)).text)]
        for bad in BAD_DEVICES:
            for reply in (
                await service.client.request("POST", "/auth/login", json=login, headers=bad),
                await service.client.request(
                    "POST", "/auth/refresh", json={"refresh_token": "x"}, headers=bad
                ),
                await service.client.request("GET", "/users", headers=[*key, *bad]),
                await service.client.request("GET", "/users/me", headers=[*cookie, *bad]),
            ):
                assert (reply.status, reply.code) == (400, "validation_failed"), bad
                assert reply.json()["field"] == "X-Device-Id"
            # Who is not let in learns that first, and who takes no device does not look at it.
            assert (await service.client.request("GET", "/users/me", headers=bad)).status == 401
            assert (await service.client.request("GET", "/", headers=bad)).status == 200
        assert (await service.client.request("GET", "/users/me", headers=cookie)).status == 200

    run_real(body)


def test_a_cookie_that_can_be_nobody_s_hides_no_header(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        ada = list((await service.login("ada")).items())
        for cookie in ("", "undefined", "abc", "x" * 65):
            headers = [*ada, ("Cookie", f"{DEVICE_COOKIE}={cookie}")]
            assert (await service.client.request("GET", "/users/me", headers=headers)).status == 200, cookie
        other = [*ada, ("Cookie", f"{DEVICE_COOKIE}=another-device-01")]
        assert (await service.client.request("GET", "/users/me", headers=other)).code == "device_mismatch"

    run_real(body)
